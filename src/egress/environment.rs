//! What programs in a workspace are told of the proxy, by the variables that they know.

use super::secret::BrokerSecret;

/// Where the proxy listens on the workspace's loopback.
pub const PORT: u16 = 3128;
/// Where the certificates lie that programs in the workspace are to trust.
pub const BUNDLE: &str = "/etc/journeyman/ca-certificates.crt";

const NO_PROXY: &str = "localhost,127.0.0.1,::1";
/// Variables that name a file of all certificates to trust; `NODE_EXTRA_CA_CERTS` of some beside its own.
const BUNDLES: [&str; 13] = [
    "AWS_CA_BUNDLE",
    "BUNDLE_SSL_CA_CERT",
    "CARGO_HTTP_CAINFO",
    "CURL_CA_BUNDLE",
    "DENO_CERT",
    "GIT_SSL_CAINFO",
    "NIX_SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "UV_SSL_CERT_FILE",
    // A machine's own npmrc may name a file, in whose place npm then heeds no other.
    "npm_config_cafile",
];

pub(super) fn environment(secrets: &[BrokerSecret], bundle: bool) -> Vec<(String, String)> {
    let url = format!("http://127.0.0.1:{PORT}");
    let java = || {
        let of = |scheme: &str| format!("-D{scheme}.proxyHost=127.0.0.1 -D{scheme}.proxyPort={PORT}");
        format!("{} {} -Dhttp.nonProxyHosts=localhost|127.*|[::1]", of("http"), of("https"))
    };
    let mut all: Vec<(String, String)> = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]
        .into_iter()
        .map(|name| (name.to_owned(), url.clone()))
        .collect();
    all.extend(["NO_PROXY", "no_proxy"].map(|name| (name.to_owned(), NO_PROXY.to_owned())));
    // Node's own fetch heeds the variables above only when it is told to.
    all.push(("NODE_USE_ENV_PROXY".to_owned(), "1".to_owned()));
    // Not JAVA_TOOL_OPTIONS: every Java program would write a line about it.
    all.extend(["MAVEN_OPTS", "GRADLE_OPTS", "SBT_OPTS"].map(|name| (name.to_owned(), java())));
    if bundle {
        all.extend(BUNDLES.map(|name| (name.to_owned(), BUNDLE.to_owned())));
    }
    all.extend(secrets.iter().map(|secret| (secret.name.clone(), secret.handle.clone())));
    all
}
