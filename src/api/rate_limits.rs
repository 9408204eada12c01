//! Rate limits by the class of the key, told in `RateLimit` and `RateLimit-Policy` as draft-ietf-httpapi-ratelimit-headers-10
//! has them. Each replica counts for itself; who has no credential that holds is not counted.
//!
//! A quota comes back bit by bit (GCRA, by `governor`): `r` requests may come at once, and within `t` seconds all of them are
//! there again.

use super::error::ApiError;
use crate::domain::{ApiKeyId, Principal, Scope, UserId};
use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::StateInformationMiddleware,
    state::keyed::HashMapStateStore,
};
use std::{
    num::NonZeroU32,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// After so many requests those who have rested for a window are forgotten.
const REQUESTS_PER_CLEARING: u64 = 4_096;

/// So many requests in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub requests: NonZeroU32,
    pub window: Duration,
}

/// The rate of each class of keys; absent: as many as come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Of a person: his token or session, whichever it is.
    pub person: Option<Rate>,
    /// Of an API key.
    pub key: Option<Rate>,
    /// Of an API key with the scope `tasks:delegate`, which serves many.
    pub tool: Option<Rate>,
}

/// Who is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Holder {
    Key(ApiKeyId),
    User(UserId),
}

type Limiter = RateLimiter<Holder, HashMapStateStore<Holder>, MonotonicClock, StateInformationMiddleware>;

#[derive(Debug)]
struct Class {
    name: &'static str,
    rate: Rate,
    limiter: Limiter,
    asked: AtomicU64,
}

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct RateLimits {
    person: Option<Arc<Class>>,
    key: Option<Arc<Class>>,
    tool: Option<Arc<Class>>,
}

/// How a caller stands after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    class: &'static str,
    rate: Rate,
    remaining: u32,
    /// Seconds until another request may come; of one that was refused.
    wait_seconds: Option<u64>,
}

impl RateLimits {
    pub(super) fn new(rates: Rates) -> Self {
        let class = |name, rate: Option<Rate>| {
            let rate = rate?;
            let quota = Quota::with_period(rate.window / rate.requests.get())?.allow_burst(rate.requests);
            let limiter: Limiter = RateLimiter::new(quota, HashMapStateStore::default(), MonotonicClock);
            Some(Arc::new(Class { name, rate, limiter, asked: AtomicU64::new(0) }))
        };
        Self { person: class("person", rates.person), key: class("key", rates.key), tool: class("tool", rates.tool) }
    }

    /// Counts a request of the principal's; absent: nobody counts them.
    pub(super) fn count(&self, principal: &Principal) -> Option<Standing> {
        let delegates = principal.api_key.is_some() && principal.has(Scope::TasksDelegate);
        let (class, holder) = match principal.api_key {
            Some(key) if delegates => (&self.tool, Holder::Key(key)),
            Some(key) => (&self.key, Holder::Key(key)),
            None => (&self.person, Holder::User(principal.user)),
        };
        class.as_ref().map(|class| class.count(holder))
    }
}

impl Class {
    fn count(&self, holder: Holder) -> Standing {
        if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(REQUESTS_PER_CLEARING) {
            self.limiter.retain_recent();
        }
        let (remaining, wait_seconds) = match self.limiter.check_key(&holder) {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(until) => (0, Some(until.wait_time_from(MonotonicClock.now()).as_secs_f64().ceil().max(1.0) as u64)),
        };
        Standing { class: self.name, rate: self.rate, remaining, wait_seconds }
    }
}

impl Standing {
    /// # Errors
    /// 429 where the request was one too many.
    pub(super) fn admits(&self) -> Result<(), ApiError> {
        let Some(seconds) = self.wait_seconds else { return Ok(()) };
        let Rate { requests, window } = self.rate;
        let detail = format!("more than {requests} requests in {} s: come again in {seconds} s", window.as_secs());
        let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
            .with_fact("violated-policies", vec![self.class]);
        Err(error)
    }

    fn tell(&self, headers: &mut HeaderMap) {
        let Rate { requests, window } = self.rate;
        let window = window.as_secs();
        let taken = u64::from(requests.get() - self.remaining.min(requests.get()));
        let again = (taken * window).div_ceil(u64::from(requests.get()));
        let policy = format!("\"{}\";q={requests};w={window}", self.class);
        let limit = format!("\"{}\";r={};t={again}", self.class, self.remaining);
        for (name, text) in [(POLICY, policy), (LIMIT, limit)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
    }
}

/// Where the extractor of the caller leaves how he stands, for the answer's headers.
pub(super) type Told = Arc<OnceLock<Standing>>;

/// Tells the caller how he stands, however his request is answered.
pub(super) async fn layer(mut request: Request, next: Next) -> Response {
    let told = Told::default();
    request.extensions_mut().insert(Arc::clone(&told));
    let mut response = next.run(request).await;
    if let Some(standing) = told.get() {
        standing.tell(response.headers_mut());
    }
    response
}
