//! One attempt: the request, and what it was answered.

use super::schedule::decide;
use crate::{
    clock,
    domain::webhook::DeliveryState,
    net::{self, Beginning, CheckedClient, FetchError, NetError},
    secrets::Redactor,
    store::webhooks::{Claimed, Outcome},
};
use reqwest::{Method, header};
use std::time::Duration;
use url::Url;

/// How much of an answer is read, and kept.
const ANSWER_BYTES_MAX: usize = 4 << 10;
const ANSWER_CHARS_MAX: usize = 1_000;
const ERROR_CHARS_MAX: usize = 500;

/// What attempts are made with. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Attempts {
    pub(super) client: CheckedClient,
    pub(super) redactor: Redactor,
    pub(super) timeout: Duration,
    /// Pauses between attempts.
    pub(super) pauses: std::sync::Arc<[Duration]>,
}

/// An attempt's outcome, and whether its endpoint is to hear of nothing any more.
#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) outcome: Outcome,
    pub(super) gone: bool,
}

impl Attempts {
    /// Sends a delivery with these signatures. An error is the reason why there are none.
    pub(super) async fn make(&self, one: &Claimed, signatures: Result<String, String>, timestamp: i64) -> Attempted {
        let clock = clock::Stopwatch::start();
        let answered = match signatures {
            Ok(signatures) => {
                let sending = self.send(one, &signatures, timestamp);
                tokio::time::timeout(self.timeout, sending).await.unwrap_or_else(|_| {
                    Err(FetchError::Failed(format!("no answer within {} s", self.timeout.as_secs_f64())))
                })
            }
            Err(reason) => Err(FetchError::Failed(reason)),
        };
        let attempted = self.judge(one, answered, clock.elapsed());
        let result = match attempted.outcome.state {
            DeliveryState::Delivered => "delivered",
            DeliveryState::Pending => "failed",
            DeliveryState::Dead => "dead",
        };
        metrics::counter!("journeyman_webhook_attempts_total", "result" => result).increment(1);
        metrics::histogram!("journeyman_webhook_attempt_seconds").record(attempted.outcome.duration.as_secs_f64());
        attempted
    }

    async fn send(&self, one: &Claimed, signatures: &str, timestamp: i64) -> Result<Beginning, FetchError> {
        let url = Url::parse(&one.url).map_err(|_| NetError::InvalidUrl { reason: "it cannot be read" })?;
        self.client.vet(&url).await?;
        let request = self
            .client
            .request(Method::POST, &url)?
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("journeyman/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", one.id.to_string())
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures)
            .body(one.body.clone());
        net::fetch_beginning(request, ANSWER_BYTES_MAX).await
    }

    fn judge(&self, one: &Claimed, answered: Result<Beginning, FetchError>, duration: Duration) -> Attempted {
        let (status, retry_after, answer, error) = match answered {
            Ok(Beginning { status, retry_after, body }) => {
                let text = self.shown(&String::from_utf8_lossy(&body), ANSWER_CHARS_MAX);
                let error = (!(200..300).contains(&status)).then(|| format!("it answered {status}"));
                (Some(status), retry_after, (!text.is_empty()).then_some(text), error)
            }
            Err(error) => (None, None, None, Some(self.shown(&error.to_string(), ERROR_CHARS_MAX))),
        };
        let decision = decide(&self.pauses, one.round, status, retry_after);
        let outcome = Outcome {
            team: one.team,
            id: one.id,
            claim: one.claim,
            state: decision.state,
            again_in: clock::jitter(decision.pause).max(decision.at_least),
            status_code: status,
            error,
            answer,
            duration,
        };
        Attempted { outcome, gone: decision.gone }
    }

    /// A text of others as it is kept: without secrets, without what the database does not take, and cut.
    fn shown(&self, text: &str, limit_chars: usize) -> String {
        let text = self.redactor.redact(text);
        text.chars().filter(|c| !c.is_control() || *c == '\n').take(limit_chars).collect()
    }
}
