//! Signing in with a browser, at a real identity provider.

use crate::support::{
    oidc::{Browser, Page, Provider},
    service::{Ground, TestService, say},
};
use journeyman::app::Role;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What is promised of endings.
const WITHIN: Duration = Duration::from_secs(5);

struct House {
    _ground: Ground,
    provider: Provider,
    service: TestService,
}

impl House {
    async fn new() -> Self {
        let mut ground = Ground::new(&json!({ "sequence": [say("Done.")] })).await;
        // Browsers come back to an address that is known before the service starts.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let base = format!("http://127.0.0.1:{port}");
        let client = json!({
            "client_id": "journeyman", "client_secret": "a secret of the tests: with / and +",
            "redirect_uris": [format!("{base}/auth/callback")],
        });
        let accounts = json!({
            "jane": { "name": "Jane", "email": "jane@example.org", "email_verified": true, "groups": ["web", "on-call"] },
            "joe": { "name": "Joe", "email": "ceo@example.org", "email_verified": false, "groups": ["web"] },
            "nobody": { "name": "Nobody", "groups": ["unknown"] },
        });
        let provider = Provider::start(json!({ "client": client, "accounts": accounts }));
        let settings = format!(
            "[oidc]\nissuer = \"{}\"\nclient_id = \"journeyman\"\nclient_secret = \"a secret of the tests: with / and +\"\n\
             scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\
             [[groups]]\ngroup = \"web\"\nteam = \"Web\"\nrole = \"member\"\n\
             [[groups]]\ngroup = \"on-call\"\nteam = \"Web\"\nrole = \"admin\"\n\
             [[groups]]\ngroup = \"on-call\"\nteam = \"Ops\"\nrole = \"viewer\"\n",
            provider.issuer
        );
        let path = ground.data.path().join("settings.toml");
        std::fs::write(&path, settings).unwrap();
        for (name, value) in [
            ("JOURNEYMAN_CONFIG", path.display().to_string()),
            ("JOURNEYMAN_LISTEN", format!("127.0.0.1:{port}")),
            ("JOURNEYMAN_PUBLIC_URL", base),
            ("JOURNEYMAN_PRIVATE_HOSTS", "127.0.0.1".to_owned()),
        ] {
            ground.variables.push((name.to_owned(), value));
        }
        let service = ground.start_as(Role::Api, ground.data.path(), None).await;
        Self { _ground: ground, provider, service }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.service.base)
    }

    /// Where the provider sends the browser, not asked yet.
    async fn callback(&self, browser: &mut Browser, account: &str) -> String {
        let login = self.url("/auth/login?return_to=/v1/me%3Fx");
        browser.up_to_callback(&login, account, &self.url("/auth/callback")).await.into()
    }

    async fn sign_in(&self, account: &str) -> Browser {
        let mut browser = Browser::new();
        let callback = self.callback(&mut browser, account).await;
        let page = browser.get(&callback).await;
        assert_eq!(page.status, 303, "{page:?}");
        browser
    }

    async fn me(&self, browser: &mut Browser) -> Page {
        browser.get(&self.url("/v1/me")).await
    }
}

fn teams(me: &Value) -> Vec<(&str, &str)> {
    let all = me["teams"].as_array().unwrap().iter();
    all.map(|team| (team["name"].as_str().unwrap(), team["role"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_with_a_browser_and_out_again() {
    let house = House::new().await;
    let mut browser = Browser::new();
    let callback = house.callback(&mut browser, "jane").await;
    let page = browser.get(&callback).await;
    assert_eq!((page.status, page.location.as_ref().unwrap().as_str()), (303, house.url("/v1/me?x").as_str()));
    let cookie =
        |name: &str| page.cookies.iter().find(|cookie| cookie.starts_with(name)).unwrap_or_else(|| panic!("{page:?}"));
    assert!(cookie("journeyman_session=").contains("SameSite=Lax; HttpOnly"), "{page:?}");
    assert!(cookie("journeyman_csrf=").contains("SameSite=Lax") && !cookie("journeyman_csrf=").contains("HttpOnly"));
    assert!(cookie("journeyman_login=;").contains("Max-Age=0"), "the login is over");

    let me = house.me(&mut browser).await.json();
    assert_eq!((&me["user"]["name"], &me["user"]["email"]), (&json!("Jane"), &json!("jane@example.org")));
    assert_eq!(teams(&me), [("Ops", "viewer"), ("Web", "admin")], "the highest role that a group gives");
    assert_eq!((&me["team"]["name"], &me["operator"], &me["api_key"]), (&json!("Ops"), &json!(false), &Value::Null));

    // She works in one team at a time, and chooses which.
    let choose = async |browser: &mut Browser, team: &str| {
        let request = browser.request(Method::GET, &house.url("/v1/me")).header("journeyman-team", team);
        browser.send(request).await
    };
    let web = choose(&mut browser, "Web").await.json();
    assert_eq!((&web["team"]["name"], &web["role"]), (&json!("Web"), &json!("admin")));
    assert_eq!(choose(&mut browser, "default").await.status, 403);

    // What changes something has to come from a page of our own.
    let csrf = browser.cookies["journeyman_csrf"].clone();
    for (token, status) in [(None, 403), (Some("forged".to_owned()), 403), (Some(csrf.clone()), 201)] {
        let mut request = browser.request(Method::POST, &house.url("/v1/tasks")).header("journeyman-team", "Web");
        if let Some(token) = token {
            request = request.header("x-csrf-token", token);
        }
        let page = browser.send(request.json(&json!({ "request": "x" }))).await;
        assert_eq!(page.status, status, "{page:?}");
        assert_eq!(page.json()["code"] == "csrf", status == 403, "{page:?}");
    }

    // Another's token is none of hers.
    let joes = house.sign_in("joe").await;
    let request = browser
        .request(Method::POST, &house.url("/auth/logout"))
        .header("x-csrf-token", &joes.cookies["journeyman_csrf"]);
    assert_eq!(browser.send(request).await.status, 403);

    let sessions = browser.get(&house.url("/v1/sessions")).await.json();
    assert_eq!((sessions["data"].as_array().unwrap().len(), &sessions["data"][0]["current"]), (1, &json!(true)));
    let before = browser.cookies.clone();
    let request = browser.request(Method::POST, &house.url("/auth/logout")).header("x-csrf-token", csrf);
    assert_eq!(browser.send(request.header("journeyman-team", "Web")).await.status, 204);
    assert!(!browser.cookies.contains_key("journeyman_session"));
    browser.cookies = before;
    assert_eq!(house.me(&mut browser).await.status, 401, "the cookie is of no more use");
    let mut again = house.sign_in("jane").await;
    let request = again.request(Method::GET, &house.url("/v1/audit_log?action=session.ended"));
    let log = again.send(request.header("journeyman-team", "Web")).await.json();
    let subjects: Vec<_> = log["data"].as_array().unwrap().iter().map(|entry| &entry["subject"]["id"]).collect();
    assert_eq!(subjects, [&sessions["data"][0]["id"]], "{log}");
    house.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_another_browser_began_or_somebody_forged_signs_nobody_in() {
    let house = House::new().await;
    let mut browser = Browser::new();
    let callback = house.callback(&mut browser, "jane").await;
    let code = |page: Page, status: u16, code: &str| {
        assert_eq!((page.status, page.json()["code"].as_str().unwrap()), (status, code), "{page:?}");
        assert!(!page.cookies.iter().any(|cookie| cookie.starts_with("journeyman_session=")), "{page:?}");
    };
    // A link with somebody's code, opened in a browser that began no login or another one.
    code(Browser::new().get(&callback).await, 400, "login_not_begun");
    let mut other = Browser::new();
    house.callback(&mut other, "joe").await;
    code(other.get(&callback).await, 400, "login_not_begun");
    let mut tampered = Browser::new();
    tampered.cookies.clone_from(&browser.cookies);
    let login = tampered.cookies.get_mut("journeyman_login").unwrap();
    let last = if login.pop() == Some('A') { 'B' } else { 'A' };
    login.push(last);
    code(tampered.get(&callback).await, 400, "login_not_begun");
    // Another server's answer, mixed in (RFC 9207).
    let mixed = callback.replace("iss=http%3A%2F%2F127.0.0.1", "iss=http%3A%2F%2Fevil.example.org");
    assert_ne!(mixed, callback);
    let kept = browser.cookies.clone();
    code(browser.get(&mixed).await, 403, "login_distrusted");
    browser.cookies.clone_from(&kept);
    code(browser.get(&format!("{}&error=access_denied", callback.replace("code=", "x="))).await, 403, "login_refused");
    browser.cookies.clone_from(&kept);
    assert_eq!(browser.get(&callback).await.status, 303, "the login itself holds");
    // A code holds once.
    browser.cookies.clone_from(&kept);
    code(browser.get(&callback).await, 403, "login_refused");
    for wrong in ["https://evil.example.org", "//evil.example.org", "/\\evil.example.org", "x", "/\t/evil.example.org"]
    {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("return_to", wrong).finish();
        let page = Browser::new().get(&house.url(&format!("/auth/login?{query}"))).await;
        assert_eq!(page.status, 422, "{wrong}: {page:?}");
    }
    // Groups that give nothing make nobody a member of anything.
    let mut nobody = Browser::new();
    let callback = house.callback(&mut nobody, "nobody").await;
    code(nobody.get(&callback).await, 403, "login_refused");
    // An address that nobody has checked is not his.
    let mut joe = house.sign_in("joe").await;
    assert_eq!(house.me(&mut joe).await.json()["user"]["email"], Value::Null);
    house.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memberships_follow_groups_and_what_an_admin_did_stays() {
    let mut house = House::new().await;
    let mut first = house.sign_in("jane").await;
    let csrf = first.cookies["journeyman_csrf"].clone();
    let request = first.request(Method::POST, &house.url("/v1/api_keys")).header("journeyman-team", "Web");
    let made = first.send(request.header("x-csrf-token", csrf).json(&json!({ "name": "hers" }))).await.json();
    let key = made["key"].as_str().unwrap().to_owned();
    let own = house.url("/v1/me");
    let with_key = async || {
        let answer = reqwest::Client::new().get(&own).bearer_auth(&key).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(with_key().await, 200);
    // She is no longer on call.
    house.provider.set("jane", "groups", json!(["web"]));
    let mut second = house.sign_in("jane").await;
    let me = house.me(&mut second).await.json();
    assert_eq!(teams(&me), [("Web", "member")]);
    let since = Instant::now();
    while house.me(&mut first).await.json()["team"]["name"] != "Web" {
        assert!(since.elapsed() < WITHIN, "her other browser hears of it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A role by hand is no group's to change.
    let admin = house.service.api();
    let jane = me["user"]["id"].as_str().unwrap();
    let (status, made) = admin.post("/v1/members", &json!({ "user": { "id": jane }, "role": "viewer" })).await;
    assert_eq!((status, &made["origin"]), (201, &json!("manual")), "{made}");
    house.provider.set("jane", "groups", json!([]));
    let mut third = house.sign_in("jane").await;
    assert_eq!(teams(&house.me(&mut third).await.json()), [("default", "viewer")]);
    let since = Instant::now();
    while with_key().await != 401 {
        assert!(since.elapsed() < WITHIN, "her key of the team ends with the group");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Who is deactivated is signed out everywhere, and signs in no more.
    let (status, gone) = admin.post(&format!("/v1/users/{jane}/deactivate"), &json!({})).await;
    assert_eq!(status, 200, "{gone}");
    assert_eq!(house.me(&mut third).await.status, 401);
    let mut again = Browser::new();
    let callback = house.callback(&mut again, "jane").await;
    let page = again.get(&callback).await;
    assert_eq!((page.status, &page.json()["code"]), (403, &json!("login_refused")), "{page:?}");
    let House { service, .. } = house;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_provider_is_set_there_is_no_login() {
    let ground = Ground::new(&json!({ "sequence": [say("Done.")] })).await;
    let service = ground.start().await;
    for path in ["/auth/login", "/auth/callback?code=x&state=y"] {
        assert_eq!(Browser::new().get(&format!("{}{path}", service.base)).await.status, 404, "{path}");
    }
    service.stop().await;
}
