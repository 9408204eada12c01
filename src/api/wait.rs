//! Long polls: `Prefer: wait=N` (RFC 7240) holds an answer until it differs.
//!
//! Who waits holds no connection of the database: he is woken by the hub and then looks.

use super::{
    ApiState,
    caller::Caller,
    error::ApiError,
    query::{FromQuery, Pairs},
    reply,
    vigil::Vigil,
};
use crate::{
    domain::{Seq, TaskId},
    service::TaskState,
};
use axum::{
    http::{HeaderMap, HeaderValue},
    response::Response,
};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::{str::FromStr, time::Duration};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, timeout_at},
};
use utoipa::ToSchema;

const WAIT_SECONDS_MAX: u64 = 60;

/// Changes of a team come in bursts: a list is read again at most this often.
const LIST_PAUSE: Duration = Duration::from_millis(200);

/// Between two looks at a list that nothing tells of.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a long poll waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Until {
    /// Of status, phase, `waiting_for` or verdict.
    #[default]
    Change,
    /// No longer queued or running.
    Rest,
    /// Succeeded, failed or cancelled.
    End,
}

impl FromStr for Until {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "change" => Ok(Self::Change),
            "rest" => Ok(Self::Rest),
            "end" => Ok(Self::End),
            _ => Err("must be change, rest or end"),
        }
    }
}

/// `?until=` alone.
pub(crate) struct UntilQuery(pub(crate) Until);

impl FromQuery for UntilQuery {
    fn from_query(query: &mut Pairs) -> Self {
        Self(query.one("until").unwrap_or_default())
    }
}

/// The tag of a task: its log says all that becomes of it, but for edits after its end.
pub(crate) fn task_tag(last_seq: i64, edits: i32) -> String {
    if edits == 0 { format!("\"{last_seq}\"") } else { format!("\"{last_seq}-{edits}\"") }
}

/// Seconds of the `wait` preference, at most 60; what cannot be read is no preference.
fn preferred(headers: &HeaderMap) -> Option<u64> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split([',', ';']))
        .find_map(|one| {
            let (name, seconds) = one.split_once('=')?;
            let seconds = seconds.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("wait") { seconds.parse::<u64>().ok() } else { None }
        })
        .map(|seconds| seconds.min(WAIT_SECONDS_MAX))
}

/// Says that the preference was honoured.
pub(crate) fn applied(headers: &HeaderMap, mut response: Response) -> Response {
    if let Some(value) = preferred(headers).and_then(|seconds| HeaderValue::from_str(&format!("wait={seconds}")).ok()) {
        response.headers_mut().insert("preference-applied", value);
    }
    response
}

fn reached(until: Until, first: &TaskState, now: &TaskState) -> bool {
    match until {
        Until::Change => {
            (now.status, now.phase, now.waiting_for, &now.verdict)
                != (first.status, first.phase, first.waiting_for, &first.verdict)
        }
        Until::Rest => now.status.is_rest(),
        Until::End => now.status.is_end(),
    }
}

/// Returns once the task is what the client waits for, or its time is up.
pub(crate) async fn task(
    state: &ApiState,
    caller: &Caller,
    id: TaskId,
    headers: &HeaderMap,
    until: Until,
) -> Result<(), ApiError> {
    let Some(seconds) = preferred(headers) else { return Ok(()) };
    let deadline = Instant::now() + Duration::from_secs(seconds);
    // Subscribed before the first look: no change falls between.
    let mut news = state.hub.watch(id);
    let first = state.service.stands(caller, id).await?;
    // The client's copy is old already: there is nothing to wait for.
    let stale =
        headers.contains_key("if-none-match") && !reply::has_tag(headers, &task_tag(first.last_seq, first.edits));
    if until == Until::Change && stale {
        return Ok(());
    }
    let mut now = first.clone();
    let mut vigil = Vigil::new(state, caller);
    while !reached(until, &first, &now) {
        tokio::select! {
            () = state.draining.cancelled() => return Ok(()),
            () = vigil.broken(state) => return Err(ApiError::ended()),
            woken = timeout_at(deadline, news.changed()) => match woken {
                Ok(Ok(())) => {}
                Ok(Err(_)) => news = state.hub.watch(id),
                Err(_) => return Ok(()),
            },
        }
        now = state.service.stands(caller, id).await?;
    }
    Ok(())
}

/// What a list changes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changes {
    /// Whatever changes it is in a task's log.
    WithTasks,
    /// By what people do elsewhere: it is looked at again and again.
    ByThemselves,
}

/// The list as its tag says; with `Prefer: wait=N` it is read until it differs from the client's copy, or his time is up.
pub(crate) async fn list<'a, T: Serialize>(
    state: &ApiState,
    caller: &Caller,
    headers: &HeaderMap,
    changes: Changes,
    read: impl Fn() -> BoxFuture<'a, Result<T, ApiError>>,
) -> Result<Response, ApiError> {
    let mut wait = ListWait::begin(state, caller, headers, changes);
    loop {
        let body = reply::body_of(&read().await?)?;
        let again = match &mut wait {
            Some(wait) => wait.again(state, headers, &body).await?,
            None => false,
        };
        if !again {
            return Ok(applied(headers, reply::tagged(headers, &reply::tag_of(&body), body)));
        }
    }
}

struct ListWait {
    deadline: Instant,
    changes: Receiver<(TaskId, Seq)>,
    by: Changes,
    vigil: Vigil,
    /// The tag of the first look.
    first: Option<String>,
}

impl ListWait {
    /// Begun before the first look, so that no change falls between; none where nobody waits.
    fn begin(state: &ApiState, caller: &Caller, headers: &HeaderMap, by: Changes) -> Option<Self> {
        let seconds = preferred(headers)?;
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let (changes, vigil) = (state.hub.team_changes(caller.team), Vigil::new(state, caller));
        Some(Self { deadline, changes, by, vigil, first: None })
    }

    /// Whether the list is to be read again, once something has changed.
    async fn again(&mut self, state: &ApiState, headers: &HeaderMap, body: &[u8]) -> Result<bool, ApiError> {
        let tag = reply::tag_of(body);
        let stale = headers.contains_key("if-none-match") && !reply::has_tag(headers, &tag);
        let first = self.first.get_or_insert_with(|| tag.clone());
        if stale || *first != tag {
            return Ok(false);
        }
        let look = match self.by {
            Changes::WithTasks => self.deadline,
            Changes::ByThemselves => self.deadline.min(Instant::now() + LOOK_EVERY),
        };
        tokio::select! {
            () = state.draining.cancelled() => return Ok(false),
            () = self.vigil.broken(state) => return Err(ApiError::ended()),
            woken = timeout_at(look, self.changes.recv()) => match woken {
                Err(_) if look < self.deadline => return Ok(true),
                Err(_) | Ok(Err(RecvError::Closed)) => return Ok(false),
                // One that lags looks at the list again.
                Ok(Ok(_) | Err(RecvError::Lagged(_))) => {}
            },
        }
        tokio::time::sleep_until(self.deadline.min(Instant::now() + LIST_PAUSE)).await;
        Ok(true)
    }
}
