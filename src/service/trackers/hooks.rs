//! What trackers send: verified, written down once, and answered at once. Nothing is done about it here.

use super::people;
use crate::{
    clock,
    domain::{DeliveryId, IntegrationId, integration::DeliveryState},
    secrets::Secret,
    service::{Error, Service},
    store::{
        publishings, sealed,
        trackers::{
            intake::{Inserted, NewDelivery},
            integrations::IntegrationRow,
            issues,
        },
    },
    trackers::{
        self, Delivery, What,
        rules::{self, Wanted},
    },
};
use http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

/// What is held against a hook that does not exist, so that time does not tell it from one that does.
const NOBODYS_SECRET: &str = "the secret of no integration at all";

/// How a tracker's request is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryAnswer {
    /// `GET /v1/integrations/{id}/deliveries` tells what becomes of it.
    pub delivery: DeliveryId,
    pub state: DeliveryState,
    /// It was known: by its id, or because it means the same as another.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// Why nothing is done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl DeliveryAnswer {
    /// It is new, and something is to be done about it.
    pub fn is_new(&self) -> bool {
        !self.duplicate && self.state == DeliveryState::Waiting
    }
}

impl Service {
    /// Takes in what a tracker sends to the hook of an integration. None: it is not believed, whatever the reason.
    pub async fn take_delivery(
        &self,
        id: IntegrationId,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Option<DeliveryAnswer>, Error> {
        let now_ms = (clock::now().0.unix_timestamp_nanos() / 1_000_000) as i64;
        let Some(hook) = self.inner.intake.hook(id).await? else {
            let nobodys = [Secret::new(NOBODYS_SECRET)];
            let _ = trackers::verify(crate::domain::linked_account::Provider::Jira, headers, body, &nobodys, now_ms);
            return Ok(None);
        };
        let row = &hook.row;
        let mut secrets = Vec::with_capacity(hook.secrets.len());
        for (name, value) in &hook.secrets {
            let owner = sealed::of_integration(row.team, row.id.0, name);
            secrets.push(self.keyring().open(&owner, value).map_err(Error::internal)?);
        }
        if let Err(refused) = trackers::verify(row.tracker, headers, body, &secrets, now_ms) {
            tracing::info!(integration.id = %id, tracker = row.tracker.as_str(), %refused, "a delivery is not believed");
            return Ok(None);
        }
        let mut delivery = trackers::parse(row.tracker, headers, body);
        self.complete(row, &mut delivery).await?;
        let wanted = rules::wanted(&delivery, &row.spec.rules);
        let nothing = match &wanted {
            Wanted::Nothing(reason) => Some(reason.clone()),
            wanted => self.asks_in_vain(row, &delivery, wanted).await?,
        };
        self.write_down(row, delivery, &wanted, nothing).await.map(Some)
    }

    /// Finds the pull request of a branch or a commit where that is all that is told.
    async fn complete(&self, row: &IntegrationRow, delivery: &mut Delivery) -> Result<(), Error> {
        let Some(issue) = delivery.issue.as_mut().filter(|issue| issue.key.is_empty()) else { return Ok(()) };
        let commit = match &delivery.what {
            What::CheckFailed { commit, .. } => commit.as_str(),
            _ => "",
        };
        let Some(repository) = issue.repository.as_ref().filter(|_| issue.branch.is_some() || !commit.is_empty())
        else {
            of_no_request(delivery);
            return Ok(());
        };
        let (name, branch) = (repository.name.as_str(), issue.branch.as_deref());
        let found = issues::of_publishing(self.store(), row.id, name, branch, commit).await?;
        // As the tracker writes the repository's name.
        match found.as_deref().and_then(|key| key.get(name.len()..)) {
            Some(number) => issue.key = format!("{name}{number}"),
            None => of_no_request(delivery),
        }
        Ok(())
    }

    /// Why nothing can come of it, as far as that is seen at once.
    async fn asks_in_vain(
        &self,
        row: &IntegrationRow,
        delivery: &Delivery,
        wanted: &Wanted,
    ) -> Result<Option<String>, Error> {
        let Some(issue) = delivery.issue.as_ref().filter(|issue| issue.moved_from.is_none()) else { return Ok(None) };
        let may_have_task = || async {
            // A pull request may be one that the service has made and not written down yet.
            Ok::<_, Error>(
                issues::has_task(self.store(), row.id, &issue.key).await?
                    || (issue.may_be_own() && publishings::any_opens(self.store(), row.team).await?),
            )
        };
        if !matches!(wanted, Wanted::Task { .. }) && !may_have_task().await? {
            let what = if issue.is_pull_request { "pull request" } else { "issue" };
            return Ok(Some(format!("no task is about this {what}")));
        }
        // Whoever a forge knows is asked about later: that may take a while.
        if !people::needs_leave(wanted) || people::can_be_asked_about(row) {
            return Ok(None);
        }
        let mut tx = self.store().team(row.team).await?;
        let known = people::known(&mut tx, row, delivery.sender.as_ref()).await?;
        tx.commit().await?;
        Ok(known.why_not(delivery.sender.as_ref()))
    }

    async fn write_down(
        &self,
        row: &IntegrationRow,
        delivery: Delivery,
        wanted: &Wanted,
        nothing: Option<String>,
    ) -> Result<DeliveryAnswer, Error> {
        let meaning = rules::meaning(&delivery, wanted).filter(|_| nothing.is_none());
        // Of what is not known nothing is kept.
        let kept = !matches!(delivery.what, What::Ignored { .. } | What::Ping);
        let content = kept.then(|| serde_json::to_string(&delivery)).transpose().map_err(Error::internal)?;
        let state = if nothing.is_some() { DeliveryState::Ignored } else { DeliveryState::Waiting };
        let id: DeliveryId = clock::new_id();
        let new = NewDelivery {
            team: row.team,
            id,
            integration: row.id,
            delivery: delivery.id.clone(),
            meaning,
            event: delivery.event,
            sender: delivery.sender.map(|sender| sender.login).unwrap_or_default(),
            issue: delivery.issue.map(|issue| issue.key),
            content,
            state,
            reason: nothing.clone().unwrap_or_default(),
        };
        let known = match self.inner.intake.write_down(new).await? {
            Inserted::New => {
                if state == DeliveryState::Waiting {
                    self.deliveries_come().notify_one();
                }
                return Ok(DeliveryAnswer { delivery: id, state, duplicate: false, reason: nothing });
            }
            Inserted::Known(known) => known,
            // Whoever sends it again is believed again.
            Inserted::Gone => return Err(Error::Unavailable("a delivery went while it was looked at".to_owned())),
        };
        let reason = match (known.delivery == delivery.id, known.reason.is_empty()) {
            (_, false) => known.reason,
            (true, true) => "it has come already".to_owned(),
            (false, true) => "another delivery has asked for the same".to_owned(),
        };
        let (delivery, state) = (known.id, known.state);
        Ok(DeliveryAnswer { delivery, state, duplicate: true, reason: Some(reason) })
    }
}

fn of_no_request(delivery: &mut Delivery) {
    delivery.issue = None;
    delivery.what = What::Ignored { reason: "a check of no pull request of the service's".to_owned() };
}
