//! A real identity provider in a process of its own, and a browser that signs in there.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};
use url::Url;

/// Steps of one login, redirects and pages together.
const STEPS_MAX: usize = 20;

/// `oidc-provider`, with accounts that can change.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    file: tempfile::NamedTempFile,
    told: Value,
    child: Child,
    /// Held open: it says more than its address.
    _says: BufReader<ChildStdout>,
}

impl Provider {
    /// `told`: `client` with its metadata, and `accounts` by their names with their claims.
    pub(crate) fn start(told: Value) -> Self {
        let packages = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("test-tools/oidc");
        assert!(
            packages.join("node_modules/oidc-provider").is_dir(),
            "there is no oidc-provider in {}: install it with `make setup-tests`",
            packages.display()
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), told.to_string()).unwrap();
        let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/fixtures/oidc/provider.mjs"].iter().collect();
        let mut child = Command::new("node")
            .args([&script, &packages])
            .arg(file.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node is there: install it with `make setup-tests`");
        let mut issuer = String::new();
        let mut says = BufReader::new(child.stdout.take().unwrap());
        says.read_line(&mut issuer).unwrap();
        let issuer = issuer.trim().to_owned();
        assert!(issuer.starts_with("http://"), "the provider starts: {issuer:?}");
        Self { issuer, file, told, child, _says: says }
    }

    /// From the next login on.
    pub(crate) fn set(&mut self, account: &str, claim: &str, value: Value) {
        self.told["accounts"][account][claim] = value;
        std::fs::write(self.file.path(), self.told.to_string()).unwrap();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a page was answered with.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: u16,
    pub(crate) location: Option<Url>,
    pub(crate) cookies: Vec<String>,
    pub(crate) body: String,
}

impl Page {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// Keeps cookies by their names, and follows redirects when it is told to.
pub(crate) struct Browser {
    http: reqwest::Client,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { http, cookies: BTreeMap::new() }
    }

    pub(crate) fn request(&self, method: reqwest::Method, url: &str) -> reqwest::RequestBuilder {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.http.request(method, url).header("cookie", cookies.join("; "))
    }

    pub(crate) async fn send(&mut self, request: reqwest::RequestBuilder) -> Page {
        let answer = request.send().await.unwrap();
        let (url, status) = (answer.url().clone(), answer.status().as_u16());
        let of = |name: &str| -> Vec<String> {
            answer.headers().get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
        };
        let (cookies, location) = (of("set-cookie"), of("location").first().map(|place| url.join(place).unwrap()));
        for cookie in &cookies {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() || cookie.contains("Max-Age=0") || cookie.contains("expires=Thu, 01 Jan 1970") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Page { url, status, location, cookies, body: answer.text().await.unwrap() }
    }

    pub(crate) async fn get(&mut self, url: &str) -> Page {
        let request = self.request(reqwest::Method::GET, url);
        self.send(request).await
    }

    /// Goes through the provider's pages as `account`, until it sends the browser to `callback`; that address, not asked yet.
    pub(crate) async fn up_to_callback(&mut self, login: &str, account: &str, callback: &str) -> Url {
        let mut page = self.get(login).await;
        for _ in 0..STEPS_MAX {
            if let Some(next) = page.location.take() {
                if next.as_str().starts_with(callback) {
                    return next;
                }
                page = self.get(next.as_str()).await;
                continue;
            }
            let part = |before: &str| {
                let rest = page.body.split_once(before).unwrap_or_else(|| panic!("no {before} in {page:?}")).1;
                rest.split('"').next().unwrap().to_owned()
            };
            let (action, prompt) = (part("action=\""), part("name=\"prompt\" value=\""));
            let action = page.url.join(&action).unwrap();
            let form = [("prompt", prompt.as_str()), ("login", account), ("password", "any")];
            let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            let request = self.request(reqwest::Method::POST, action.as_str());
            let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
            page = self.send(request).await;
        }
        panic!("the login comes to no end: {page:?}")
    }
}
