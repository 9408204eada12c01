//! Working off what trackers have told: claimed with a lease, done by `service`, tried again a few times, and given up where
//! an admin sees it. What a forge has to be asked is asked here, outside any transaction.

use super::{
    answers::VoiceOf,
    claims::{Turns, work_in_turn},
    publish::Shut,
};
use crate::{
    clock,
    domain::{IntegrationId, TeamId, integration::Place},
    service::{
        Error, Service,
        trackers::{DeliveryWork, Known, Worked},
    },
    shutdown::Shutdown,
    store::{
        Store, StoreError,
        trackers::deliveries::{self, ClaimedDelivery},
    },
    trackers::{
        forge::Standing,
        standing::{AskError, Standings},
        voice::Voice,
    },
};
use std::time::Duration;

/// How often to look for what no one in this process told of.
const POLL: Duration = Duration::from_millis(500);
/// Deliveries that are worked on at once.
const AT_ONCE: usize = 16;
/// Of those the ones of one integration: a tracker that is slow or away holds up no other.
const OF_INTEGRATION: u32 = 6;
/// Far longer than one takes, two questions to a forge included.
const LEASE: Duration = Duration::from_secs(90);
/// After so many failures it is given up: more than an hour later, when what forges let one ask in an hour is new.
const FAILURES_MAX: u32 = 14;
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// For what has to be done before it, longer at each try, up to twenty times that.
const TURN: Duration = Duration::from_millis(300);
/// Turns are waited for as long as what comes before may be tried.
const TURNS_MAX: u32 = 3_000;

/// What trackers are asked with.
#[derive(Clone)]
pub struct Asked {
    pub standings: Standings,
    pub voices: VoiceOf,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("standings", &self.standings).finish_non_exhaustive()
    }
}

/// Why one is not done yet.
enum NotDone {
    /// Once more after a while; why stands in it meanwhile.
    Later(String),
    /// Not before somebody changes something.
    Never(String),
    /// What came before it has its turn first.
    Turn,
}

/// Works until the shutdown drains.
pub async fn work_off_deliveries(store: Store, service: Service, asked: Asked, shutdown: Shutdown) {
    let turns = Turns { what: "deliveries", at_once: AT_ONCE, poll: POLL, woken: service.deliveries_come() };
    work_in_turn(
        turns,
        store.clone(),
        shutdown,
        |store, room| async move { deliveries::claim(&store, LEASE, room, OF_INTEGRATION).await },
        move |one: ClaimedDelivery| {
            let (store, service, asked) = (store.clone(), service.clone(), asked.clone());
            async move {
                if let Err(error) = work_off(&store, &service, &asked, &one).await {
                    tracing::warn!(delivery.id = %one.id, %error, "what became of a delivery could not be written: its lease runs out");
                }
            }
        },
    )
    .await;
}

async fn work_off(store: &Store, service: &Service, asked: &Asked, one: &ClaimedDelivery) -> Result<(), Error> {
    let not_done = match attempt(service, asked, one).await {
        Ok(()) => return Ok(()),
        Err(not_done) => not_done,
    };
    let (reason, given_up) = match &not_done {
        NotDone::Never(reason) => (reason.as_str(), true),
        NotDone::Later(reason) => (reason.as_str(), one.failures + 1 >= FAILURES_MAX),
        NotDone::Turn => ("what has to come before it is not done yet", one.attempts >= TURNS_MAX),
    };
    if given_up {
        tracing::warn!(delivery.id = %one.id, integration.id = %one.integration, reason, "a delivery is given up");
        return service.give_delivery_up(one, reason).await;
    }
    let (pause, failed) = match not_done {
        NotDone::Turn => (TURN * one.attempts.clamp(1, 20), false),
        _ => (FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(one.failures)).min(PAUSE_MAX), true),
    };
    Ok(deliveries::give_back(store, one, pause + clock::jitter(pause / 4), reason, failed).await?)
}

async fn attempt(service: &Service, asked: &Asked, one: &ClaimedDelivery) -> Result<(), NotDone> {
    // Its integration is gone, and it with that.
    let Some(mut work) = service.delivery_work(one).await.map_err(not_done)? else { return Ok(()) };
    read(service, &asked.voices, &mut work).await?;
    ask(&asked.standings, &mut work).await?;
    match service.work_off(one, &work).await.map_err(not_done)? {
        Worked::Done | Worked::Lost => Ok(()),
        Worked::Later => Err(NotDone::Turn),
    }
}

/// With what the tracker is asked; none where it lets nobody in.
async fn voice(
    voices: &VoiceOf,
    team: TeamId,
    integration: IntegrationId,
    place: &Place,
) -> Result<Option<Voice>, NotDone> {
    match voices(team, integration, place).await {
        Ok(found) => Ok(found.map(|(_, voice)| voice)),
        Err(Shut::ForGood(_)) => Ok(None),
        Err(Shut::ForNow(reason)) => Err(NotDone::Later(reason)),
    }
}

/// Asks the tracker what its delivery does not say. What the integration's token may not read is done without.
async fn read(service: &Service, voices: &VoiceOf, work: &mut DeliveryWork) -> Result<(), NotDone> {
    read_review(voices, work).await?;
    let Some((team, integration, place)) = work.unread() else { return Ok(()) };
    let Some(voice) = voice(voices, team, integration, &place).await? else { return Ok(()) };
    match voice.issue(&place).await {
        Ok(Some(issue)) => service.add_issue(work, issue).await.map_err(not_done),
        Ok(None) => Ok(()),
        Err(error) if error.is_lasting() => {
            tracing::warn!(integration.id = %integration, %error, "an issue could not be read");
            Ok(())
        }
        Err(error) => Err(NotDone::Later(format!("the issue could not be read: {error}"))),
    }
}

/// Asks the forge what a review says of the code. Without that it says what its delivery does.
async fn read_review(voices: &VoiceOf, work: &mut DeliveryWork) -> Result<(), NotDone> {
    let Some((team, integration, place, login, at)) = work.unread_review() else { return Ok(()) };
    let told = match voice(voices, team, integration, &place).await? {
        Some(voice) => voice.review(&place, login, at).await,
        None => Ok(Vec::new()),
    };
    let told = match told {
        Ok(told) => told,
        Err(error) if error.is_lasting() => {
            tracing::warn!(integration.id = %integration, %error, "a review could not be read");
            Vec::new()
        }
        Err(error) => return Err(NotDone::Later(format!("the review could not be read: {error}"))),
    };
    work.add_review(&told);
    Ok(())
}

/// Asks the forge who may. Of an issue's author the worst is held where it does not say.
async fn ask(standings: &Standings, work: &mut DeliveryWork) -> Result<(), NotDone> {
    for person in work.questions() {
        let answer = match (work.forge(), work.issue()) {
            (Some(forge), Some(issue)) => standings.ask(forge, issue, &person).await,
            _ => Err(AskError::Never("the forge cannot be asked".to_owned())),
        };
        let known = match answer {
            Ok(Standing::MayWrite) => Known::MayWrite,
            Ok(Standing::MayNot(why)) => Known::Stranger(why),
            Err(error) if !work.is_sender(&person) => Known::Stranger(error.to_string()),
            Err(AskError::Later(why)) => return Err(NotDone::Later(format!("who may could not be asked: {why}"))),
            Err(AskError::Never(why)) => return Err(NotDone::Never(format!("who may could not be asked: {why}"))),
        };
        let refused = work.is_sender(&person) && !known.may();
        work.answered(&person, &known);
        if refused {
            return Ok(());
        }
    }
    Ok(())
}

/// What a later try can mend, and what it cannot.
fn not_done(error: Error) -> NotDone {
    match error {
        Error::Invalid(faults) => {
            let told: Vec<String> = faults.iter().map(|fault| format!("{} {}", fault.pointer, fault.detail)).collect();
            NotDone::Never(format!("no task can be made of it: {}", told.join("; ")))
        }
        Error::Unavailable(_) | Error::InFlight | Error::TooMany { .. } | Error::QueueFull { .. } => {
            NotDone::Later(error.to_string())
        }
        Error::Internal(why) => {
            tracing::error!(error = %why, "a delivery failed");
            NotDone::Later("the service failed: see its log".to_owned())
        }
        other => NotDone::Never(other.to_string()),
    }
}

/// Removes what is old; how many.
pub(super) async fn trim(store: &Store) -> Result<u64, StoreError> {
    deliveries::trim(store, KEPT, IGNORED_KEPT, TRIMMED_MAX).await
}

const KEPT: Duration = Duration::from_secs(30 * 86_400);
const IGNORED_KEPT: Duration = Duration::from_secs(7 * 86_400);
/// Of one round.
const TRIMMED_MAX: u32 = 5_000;
