//! Trackers that want to be left alone: they are, whoever would ask them, and no longer than they say.

use super::{checked, client};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, StatusCode},
    response::{IntoResponse, Response},
};
use journeyman::{
    clock,
    domain::linked_account::Provider,
    secrets::Secret,
    trackers::{
        client::TrackerClient,
        forge::{Forge, ForgeAccess, ForgeError, ForgeKind},
        voice::{Place, Voice},
    },
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpListener, time::Instant};

/// A status, headers and a text.
type Answer = (u16, Vec<(String, String)>, String);

/// An answer's status, headers and text, and whether who gives it is left alone.
type Told = (u16, Vec<(&'static str, String)>, &'static str, bool);

/// Answers everybody the same, and counts.
#[derive(Clone, Default)]
struct Tracker {
    answer: Arc<Mutex<Answer>>,
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl Tracker {
    async fn start() -> (Self, String) {
        let (own, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(own.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (own, url)
    }

    fn answers(&self, status: u16, headers: &[(&str, String)], text: &str) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        *self.answer.lock().unwrap() = (status, headers, text.to_owned());
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

async fn answer(State(tracker): State<Tracker>, _: Request) -> Response {
    tracker.asked.lock().unwrap().push(Instant::now());
    let (status, headers, text) = tracker.answer.lock().unwrap().clone();
    let mut response = (StatusCode::from_u16(status).unwrap(), text).into_response();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn github(url: &str, token: &str, client: TrackerClient) -> Forge {
    Forge::new(ForgeAccess::new(ForgeKind::Github, Some(url), Secret::new(token)).unwrap(), client)
}

async fn asks(forge: &Forge) -> ForgeError {
    forge.pull_request_of("team/calc", "journeyman/x").await.unwrap_err()
}

/// Seconds since 1970, so many from now on.
fn in_seconds(seconds: i64) -> i64 {
    clock::now().0.unix_timestamp() + seconds
}

#[tokio::test]
async fn a_tracker_is_left_alone_for_as_long_as_it_asks() {
    let (tracker, url) = Tracker::start().await;
    let client = client(&["127.0.0.1"]);
    let forge = github(&url, "a", client.clone());
    tracker.answers(429, &[("retry-after", "1".to_owned())], r#"{"message": "slow down"}"#);
    let begun = Instant::now();
    assert!(matches!(asks(&forge).await, ForgeError::Unavailable(_)));
    tracker.answers(200, &[], "[]");
    // Another that asks by the same token, and one by another.
    let again = asks(&github(&url, "a", client.with(checked(&["127.0.0.1"])))).await;
    assert!(again.to_string().contains("left alone until 20") && again.to_string().contains("slow down"), "{again}");
    assert!(!again.is_lasting());
    assert_eq!(tracker.asked(), 1);
    let other = github(&url, "b", client.clone());
    assert_eq!(other.pull_request_of("team/calc", "journeyman/x").await.unwrap(), None);
    assert_eq!(tracker.asked(), 2);
    while forge.pull_request_of("team/calc", "journeyman/x").await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is left alone for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(tracker.asked(), 3);
    let asked = tracker.asked.lock().unwrap().clone();
    assert!(asked[2] - asked[0] >= Duration::from_secs(1), "{:?}", asked[2] - asked[0]);
}

#[tokio::test]
async fn limits_are_understood_as_each_tracker_tells_of_them() {
    let date = "Sun, 22 Nov 2026 13:00:00 GMT".to_owned();
    let used_up =
        |remaining: &'static str, reset: &'static str, at: String| vec![(remaining, "0".to_owned()), (reset, at)];
    let millis = format!("{}000", in_seconds(50));
    let linear = used_up("x-ratelimit-requests-remaining", "x-ratelimit-requests-reset", millis);
    let limited = r#"{"message": "You have exceeded a secondary rate limit."}"#;
    let table: &[Told] = &[
        (403, used_up("x-ratelimit-remaining", "x-ratelimit-reset", in_seconds(50).to_string()), "{}", true),
        (429, used_up("ratelimit-remaining", "ratelimit-reset", in_seconds(50).to_string()), "Retry later", true),
        (400, linear, r#"{"errors": [{"message": "x", "extensions": {"code": "RATELIMITED"}}]}"#, true),
        (403, Vec::new(), limited, true),
        (503, vec![("retry-after", "Sun, 22 Nov 2026 13:00:42 GMT".to_owned()), ("date", date)], "{}", true),
        // A limit that is full again, one of which something is left, and no limit at all.
        (403, used_up("x-ratelimit-remaining", "x-ratelimit-reset", in_seconds(-50).to_string()), "{}", false),
        (
            403,
            vec![("x-ratelimit-remaining", "7".to_owned()), ("x-ratelimit-reset", in_seconds(50).to_string())],
            "{}",
            false,
        ),
        (403, Vec::new(), r#"{"message": "Resource not accessible"}"#, false),
        (429, Vec::new(), "{}", false),
        (500, vec![("retry-after", "50".to_owned())], "{}", false),
        (429, vec![("retry-after", "soon".to_owned())], "{}", false),
        (200, used_up("x-ratelimit-remaining", "x-ratelimit-reset", in_seconds(50).to_string()), "[]", false),
    ];
    for (status, headers, text, is_left_alone) in table {
        let (tracker, url) = Tracker::start().await;
        let forge = github(&url, "a", client(&["127.0.0.1"]));
        tracker.answers(*status, headers, text);
        let _ = forge.pull_request_of("team/calc", "journeyman/x").await;
        let asked = tracker.asked();
        let again = forge.pull_request_of("team/calc", "journeyman/x").await;
        assert_eq!(tracker.asked() == asked, *is_left_alone, "{status} {headers:?} {text}: {again:?}");
    }
}

#[tokio::test]
async fn every_tracker_is_left_alone() {
    for provider in Provider::ALL {
        let (tracker, url) = Tracker::start().await;
        let voice = Voice::new(provider, Some(&url), Secret::new("a:b"), client(&["127.0.0.1"])).unwrap();
        tracker.answers(429, &[("retry-after", "60".to_owned())], "{}");
        let place = Place { issue: "acme/calc#12".to_owned(), is_pull_request: false };
        for _ in 0..3 {
            let error = voice.say(&place, clock::new_id(), "Done.").await.unwrap_err();
            assert!(matches!(error, ForgeError::Unavailable(_)), "{provider:?}: {error:?}");
        }
        assert_eq!(tracker.asked(), 1, "{provider:?}");
    }
}

#[tokio::test]
async fn nobody_is_left_alone_for_longer_than_an_hour() {
    let (tracker, url) = Tracker::start().await;
    let forge = github(&url, "a", client(&["127.0.0.1"]));
    tracker.answers(429, &[("retry-after", "86400".to_owned())], "{}");
    asks(&forge).await;
    let told = asks(&forge).await.to_string();
    let until = told.split("until ").nth(1).and_then(|rest| rest.split(": ").next()).unwrap();
    let until = time::OffsetDateTime::parse(until, &time::format_description::well_known::Rfc3339).unwrap();
    let left = until - clock::now().0;
    assert!((3_500..=3_600).contains(&left.whole_seconds()), "{told}");
}
