//! Why something was not passed on: short for the log, with the mend for whoever asked.

use super::Target;
use crate::domain::network::NetworkOutcome;
use http::StatusCode;

/// Why a connection or a request was not passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the network is off")]
    Off,
    #[error("not among the allowed hosts")]
    NotListed {
        /// For the text: what is.
        allowed: String,
    },
    #[error("port not allowed")]
    Port,
    #[error("beyond what the operator allows")]
    Capped,
    #[error("an address instead of a name")]
    Literal,
    /// The address rules: what they say of it.
    #[error("{0}")]
    Address(String),
    #[error("method {method} not allowed")]
    Method { method: String, allowed: String },
    #[error("not TLS")]
    NotTls,
    #[error("TLS without a server name")]
    NoName,
    #[error("TLS for another name ({0})")]
    OtherName(String),
    #[error("the Host header names another host")]
    OtherHost,
    #[error("more than {0} MiB")]
    Bytes(u64),
    #[error("too many connections at once")]
    Busy,
    /// The secret, by its name.
    #[error("the secret {0} does not fit into a header")]
    Secret(String),
    /// The answer is encoded, so that a secret could not be seen in it.
    #[error("an encoded answer to a request with a secret")]
    Encoded,
    #[error("not reached: {0}")]
    Unreached(String),
}

impl Refusal {
    pub(super) fn outcome(&self) -> NetworkOutcome {
        match self {
            Self::Unreached(_) | Self::Encoded => NetworkOutcome::Failed,
            _ => NetworkOutcome::Refused,
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Unreached(_) | Self::Encoded => StatusCode::BAD_GATEWAY,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::OtherHost => StatusCode::MISDIRECTED_REQUEST,
            _ => StatusCode::FORBIDDEN,
        }
    }

    /// For a model: what was refused, why, and what can be done. `asks`: people can be asked for hosts.
    pub(super) fn text(&self, target: &Target, asks: bool) -> String {
        let ask = if asks {
            "ask for it with the tool request_network if the work cannot be done without"
        } else {
            "do without it, and say in your last words that the task's network would have to allow it"
        };
        let mend = match self {
            Self::Off => "this command has no network; do without it".to_owned(),
            Self::NotListed { allowed } if allowed.is_empty() => format!("no host is allowed; {ask}"),
            Self::NotListed { allowed } => format!("allowed are {allowed}; use one of them, or {ask}"),
            Self::Port => format!("only the ports 80 and 443, or one that is listed with the host; {ask}"),
            Self::Capped => "the operator's settings do not let any task reach it; do without it".to_owned(),
            Self::Literal => "addresses are refused unless they are listed; use the host's name".to_owned(),
            Self::Address(_) => "such addresses are not reached from here; do without it".to_owned(),
            Self::Method { allowed, .. } => format!("allowed are {allowed}; do without it"),
            Self::NotTls | Self::NoName | Self::OtherName(_) => {
                "a tunnel must begin with TLS whose server name is the host".to_owned()
            }
            Self::OtherHost => "the Host header must name the host that was connected to".to_owned(),
            Self::Bytes(_) => {
                "the limit of this task's network is reached; load less, and do without the rest".to_owned()
            }
            Self::Busy => "close connections, or make fewer at once, and try again".to_owned(),
            Self::Secret(_) => "the secret has to be set anew".to_owned(),
            Self::Encoded => "the host must answer without Content-Encoding".to_owned(),
            Self::Unreached(_) => "it is allowed and did not answer; try once more, then do without it".to_owned(),
        };
        let what = if self.outcome() == NetworkOutcome::Refused { "refused" } else { "failed" };
        format!("network {what}: {target}: {self}. What to do: {mend}. Do not repeat the same request.\n")
    }
}
