//! Answering at trackers: a reaction where something was seen, one comment that follows the task, and its patch published as
//! the integration says.
//!
//! `store::log` counts what is news to people; whoever claims the row says here how the task stands then. The comment is
//! made once: its row in the ledger (`store::outward`) is committed before it is tried, and where it is not known what came of
//! that it is looked for by its mark. A comment that somebody has deleted is not made again. Start with [`Answerer::run`].

mod text;

use super::{
    claims::{Turns, work_in_turn},
    publish::Shut,
};
use crate::{
    clock,
    domain::{
        IntegrationId, Status, TaskId, TeamId,
        approval::ApprovalKind,
        integration::{IntegrationSpec, Place, Seen},
        task::TaskDetail,
    },
    runner::Failpoint,
    service::{Error, Service},
    shutdown::Shutdown,
    store::{
        Store, StoreError, approvals,
        outward::{self, Act, ActKind},
        publishings, task_views,
        trackers::answers::{self, Came, ClaimedAnswer},
    },
    trackers::{forge::ForgeError, voice::Voice},
};
use futures::future::BoxFuture;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use text::Shown;

const POLL: Duration = Duration::from_millis(400);
/// Tasks that are answered at once, and those of one integration: a tracker that is slow or away holds up no other.
const AT_ONCE: usize = 12;
const OF_INTEGRATION: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// What an agent session is told in the end, by the parts of the comment.
const SESSION_TEXT: &str = "{status}\n\n{summary}\n\n{links}";
/// After so many failures in a row it is tried no more before something is new.
const FAILURES_MAX: u32 = 12;

/// What an integration says, and with what it is spoken at its tracker of an issue there; none where it is gone or has no token.
pub type VoiceOf = Arc<
    dyn Fn(TeamId, IntegrationId, &Place) -> BoxFuture<'static, Result<Option<(IntegrationSpec, Voice)>, Shut>>
        + Send
        + Sync,
>;

#[derive(Clone, Debug)]
pub struct AnswerSettings {
    /// Where people reach this service.
    pub public_url: String,
    /// How long one is held; what is said takes three quarters of that at most.
    pub lease: Duration,
}

/// Answers at trackers. Cheap to clone.
#[derive(Clone)]
pub struct Answerer {
    store: Store,
    service: Service,
    voices: VoiceOf,
    settings: Arc<AnswerSettings>,
    failpoint: Option<Failpoint>,
}

impl std::fmt::Debug for Answerer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answerer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Why one stops short of being done.
enum Stop {
    /// It may be done later.
    Later(String),
    /// Not before something is new.
    Ends(String),
    /// Somebody else has it, or its task is gone.
    Fenced,
    /// A failpoint says that the process ends here.
    Crashes,
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ForgeError> for Stop {
    fn from(error: ForgeError) -> Self {
        if error.is_lasting() { Self::Ends(error.to_string()) } else { Self::Later(error.to_string()) }
    }
}

impl From<Shut> for Stop {
    fn from(shut: Shut) -> Self {
        match shut {
            Shut::ForNow(reason) => Self::Later(reason),
            Shut::ForGood(reason) => Self::Ends(reason),
        }
    }
}

impl Answerer {
    pub fn new(store: Store, service: Service, voices: VoiceOf, settings: AnswerSettings) -> Self {
        Self { store, service, voices, settings: Arc::new(settings), failpoint: None }
    }

    /// Asks at each boundary whether to go on; a break leaves what is said as a crash would. For drills of recovery.
    #[must_use]
    pub fn failing_at(self, failpoint: Option<Failpoint>) -> Self {
        Self { failpoint, ..self }
    }

    /// Answers until the shutdown drains.
    pub async fn run(self, shutdown: Shutdown) {
        let turns = Turns { what: "answers", at_once: AT_ONCE, poll: POLL, woken: Arc::default() };
        let lease = self.settings.lease;
        work_in_turn(
            turns,
            self.store.clone(),
            shutdown,
            move |store, room| async move { answers::claim(&store, lease, room, OF_INTEGRATION).await },
            move |one: ClaimedAnswer| {
                let own = self.clone();
                async move { own.settle(&one).await }
            },
        )
        .await;
    }

    /// Works on one, and lets go of it.
    async fn settle(&self, one: &ClaimedAnswer) {
        let way = Way { answerer: self, one, boundaries: AtomicU32::new(0) };
        // First: a tracker that is away keeps nothing from its host, nor the other way about.
        let published = way.publish().await;
        let (said, stop) = match (way.answer().await, published) {
            (Ok(said), published) => (said, published.err()),
            (Err(Stop::Ends(_)), Err(Stop::Later(reason))) => (None, Some(Stop::Later(reason))),
            (Err(stop), _) => (None, Some(stop)),
        };
        let said = said.as_deref();
        let finish = |reason: Option<String>| async move {
            let came = Came { said, reason: reason.as_deref() };
            answers::finish(&self.store, one, came).await
        };
        let done = match stop {
            None => finish(None).await,
            Some(Stop::Ends(reason)) => {
                tracing::warn!(task.id = %one.task, integration.id = %one.integration, "not answered: {reason}");
                finish(Some(reason)).await
            }
            Some(Stop::Later(reason)) if one.failures + 1 >= FAILURES_MAX => {
                finish(Some(format!("given up after {FAILURES_MAX} tries: {reason}"))).await
            }
            Some(Stop::Later(reason)) => {
                tracing::info!(task.id = %one.task, "not answered yet: {reason}");
                let pause = FIRST_PAUSE.saturating_mul(3_u32.saturating_pow(one.failures)).min(PAUSE_MAX);
                answers::give_back(&self.store, one, said, pause + clock::jitter(pause / 4), &reason).await
            }
            Some(Stop::Store(error)) => Err(error),
            // Its lease runs out.
            Some(Stop::Fenced | Stop::Crashes) => Ok(()),
        };
        if let Err(error) = done {
            tracing::warn!(task.id = %one.task, %error, "what was answered could not be written: its lease runs out");
        }
    }
}

/// One answer under way.
struct Way<'a> {
    answerer: &'a Answerer,
    one: &'a ClaimedAnswer,
    boundaries: AtomicU32,
}

impl Way<'_> {
    /// Has what the task came to published, and is given back where that met what others had changed.
    async fn publish(&self) -> Result<(), Stop> {
        let one = self.one;
        let published = self.answerer.service.publish_for_tracker(one.team, one.task, one.integration).await;
        published.map_err(|error| match error {
            Error::Internal(_)
            | Error::Unavailable(_)
            | Error::QueueFull { .. }
            | Error::TooMany { .. }
            | Error::InFlight => Stop::Later(error.to_string()),
            error => Stop::Ends(error.to_string()),
        })
    }

    /// Says what is due; the hash of what the comment says now, where it says something else.
    async fn answer(&self) -> Result<Option<String>, Stop> {
        let (answerer, one) = (self.answerer, self.one);
        for seen in &one.seen {
            self.react(seen).await?;
        }
        let Some((spec, voice)) = (answerer.voices)(one.team, one.integration, &one.place).await? else {
            return Ok(None);
        };
        if !spec.answers.enabled {
            return Ok(None);
        }
        let shown = self.shown().await?;
        let text = shown.text(spec.answers.template.as_deref());
        let hash = hash(&text);
        let said = if one.said.as_deref() == Some(&hash) {
            Ok(None)
        } else {
            self.say(&voice, &text, &hash).await.map(|()| Some(hash))
        };
        // A comment that is gone keeps nothing from its session.
        let concluded = self.conclude(&voice, &shown).await;
        let said = said?;
        concluded.map(|()| said)
    }

    /// Tells the agent session that waits what became of it. The activity's id follows from what it says, so that it is said once.
    async fn conclude(&self, voice: &Voice, shown: &Shown) -> Result<(), Stop> {
        let (Some(session), Some(end)) = (&self.one.session, shown.session_end()) else { return Ok(()) };
        let once = format!("{session} {} {} {end:?} {}", self.one.task, shown.run, shown.questions.join("\n"));
        self.timely(voice.conclude(session, &once, end, &shown.text(Some(SESSION_TEXT)))).await
    }

    /// Shows that something was seen. What the tracker does not take is left out.
    async fn react(&self, seen: &Seen) -> Result<(), Stop> {
        let (answerer, one) = (self.answerer, self.one);
        let found = match (answerer.voices)(one.team, seen.integration, &seen.place).await {
            Err(Shut::ForGood(reason)) => {
                tracing::warn!(task.id = %one.task, integration.id = %seen.integration, "no reaction: {reason}");
                None
            }
            found => found?,
        };
        if let Some((_, voice)) = found.filter(|(spec, _)| spec.answers.enabled) {
            match self.timely(voice.react(&seen.place, &seen.spot)).await {
                Err(Stop::Ends(reason)) => {
                    tracing::warn!(task.id = %one.task, integration.id = %seen.integration, "no reaction: {reason}");
                }
                done => done?,
            }
        }
        Ok(answers::shown(&answerer.store, one).await?)
    }

    /// Makes the comment, or has it say something else.
    async fn say(&self, voice: &Voice, text: &str, hash: &str) -> Result<(), Stop> {
        let (store, one) = (&self.answerer.store, self.one);
        let key = one.id.to_string();
        let act = Act { team: one.team, task: one.task, kind: ActKind::Comment, key: &key };
        let intent = json!({ "says": hash });
        let comment = match &one.comment {
            Some(comment) => Some(comment.clone()),
            None => self.made_before(voice, act).await?,
        };
        if !answers::hold(store, one, self.answerer.settings.lease).await? {
            return Err(Stop::Fenced);
        }
        outward::intend(store, act, clock::new_id(), &one.place.issue, &intent).await?;
        self.boundary()?;
        let comment = match comment {
            Some(comment) => {
                match self.timely(voice.edit(&one.place, &comment, one.id, text)).await {
                    Err(Stop::Ends(reason)) => return Err(Stop::Ends(format!("its comment stays as it is: {reason}"))),
                    done => done?,
                }
                comment
            }
            None => self.timely(voice.say(&one.place, one.id, text)).await?,
        };
        self.boundary()?;
        outward::came(store, act, &json!({ "comment": comment, "says": hash })).await?;
        self.boundary()?;
        Ok(answers::commented(store, one, &comment).await?)
    }

    /// The comment that an earlier try has made.
    async fn made_before(&self, voice: &Voice, act: Act<'_>) -> Result<Option<String>, Stop> {
        let Some(row) = outward::get(&self.answerer.store, act).await? else { return Ok(None) };
        let outcome = row.outcome.and_then(|outcome| serde_json::from_str::<serde_json::Value>(&outcome).ok());
        match outcome.as_ref().and_then(|outcome| outcome["comment"].as_str()) {
            Some(comment) => Ok(Some(comment.to_owned())),
            None => Ok(voice.find(&self.one.place, self.one.id).await?),
        }
    }

    /// How the task stands.
    async fn shown(&self) -> Result<Shown, Stop> {
        let one = self.one;
        let mut tx = self.answerer.store.team(one.team).await?;
        let row = task_views::get(&mut tx, one.task).await?.ok_or(Stop::Fenced)?;
        let asked = approvals::list(&mut tx, Some(one.task), true, None, 10).await?;
        let published = publishings::last_of(&mut tx, one.task).await?;
        tx.commit().await?;
        let corrupt = |column| Stop::Store(StoreError::corrupt("tasks", column, one.task));
        let detail: TaskDetail = if row.detail == "{}" {
            TaskDetail::default()
        } else {
            serde_json::from_str(&row.detail).map_err(|_| corrupt("detail"))?
        };
        let status: Status = row.status.parse().map_err(|_| corrupt("status"))?;
        let questions = asked.iter().map(|row| &row.approval).filter(|asked| asked.kind == ApprovalKind::Question);
        let questions = questions.flat_map(|asked| asked.subject["questions"].as_array().into_iter().flatten());
        Ok(Shown {
            status,
            waiting_for: row.waiting_for.map(|word| word.parse().map_err(|_| corrupt("waiting_for"))).transpose()?,
            phase: row.phase.parse().map_err(|_| corrupt("phase"))?,
            run: row.run as u32,
            detail,
            questions: questions.filter_map(|asked| asked["question"].as_str().map(str::to_owned)).collect(),
            published,
            link: link(&self.answerer.settings.public_url, one.task),
        })
    }

    /// What is said while the lease holds: after that somebody else looks whether it was.
    async fn timely<T>(&self, said: impl Future<Output = Result<T, ForgeError>>) -> Result<T, Stop> {
        match tokio::time::timeout(self.answerer.settings.lease * 3 / 4, said).await {
            Ok(said) => Ok(said?),
            Err(_) => Err(Stop::Later("the tracker takes too long".to_owned())),
        }
    }

    /// Where a crash is to be survived: before and after each act outward.
    fn boundary(&self) -> Result<(), Stop> {
        let number = self.boundaries.fetch_add(1, Ordering::Relaxed) + 1;
        match &self.answerer.failpoint {
            Some(failpoint) if failpoint(self.one.task, number) == ControlFlow::Break(()) => Err(Stop::Crashes),
            _ => Ok(()),
        }
    }
}

fn link(public_url: &str, task: TaskId) -> String {
    format!("{}/v1/tasks/{task}", public_url.trim_end_matches('/'))
}

fn hash(text: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(text).iter().take(16).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
