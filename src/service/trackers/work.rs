//! What a claimed delivery asks for, and what of that has to be asked elsewhere before it can be done.

use super::people::{self, Known};
use crate::{
    domain::{IntegrationId, TeamId, integration::Place},
    secrets::Secret,
    service::{Error, Service},
    store::{
        sealed,
        trackers::{
            deliveries::ClaimedDelivery,
            integrations::{self, IntegrationRow},
        },
    },
    trackers::{
        Delivery, Issue, Person, What,
        forge::ReviewComment,
        rules::{self, Wanted},
        standing::Forge,
    },
};

/// A delivery with all that is known of it: what only a forge can say is asked for between.
#[derive(Debug)]
pub struct DeliveryWork {
    pub(super) row: IntegrationRow,
    pub(super) delivery: Delivery,
    pub(super) wanted: Wanted,
    pub(super) sender: Known,
    pub(super) author: Known,
    token: Option<Secret>,
}

impl DeliveryWork {
    /// The people of whom a forge is to be asked whether they may write, and the issue that it is about.
    pub fn questions(&self) -> Vec<Person> {
        let (sender, issue) = (self.delivery.sender.as_ref(), self.delivery.issue.as_ref());
        let author = issue.and_then(|issue| issue.author.as_ref());
        let of = |person: Option<&Person>, known: &Known| person.filter(|_| *known == Known::Unasked).cloned();
        let author = of(author, &self.author).filter(|_| matches!(self.wanted, Wanted::Task { .. }));
        let sender = of(sender, &self.sender).filter(|_| people::needs_leave(&self.wanted));
        let mut all: Vec<Person> = sender.into_iter().chain(author).collect();
        all.dedup_by(|one, other| one.login.eq_ignore_ascii_case(&other.login));
        all
    }

    /// What the forge said of somebody.
    pub fn answered(&mut self, person: &Person, known: &Known) {
        let is_he = |other: Option<&Person>| other.is_some_and(|other| other.login.eq_ignore_ascii_case(&person.login));
        if is_he(self.delivery.sender.as_ref()) && self.sender == Known::Unasked {
            self.sender = known.clone();
        }
        let author = self.delivery.issue.as_ref().and_then(|issue| issue.author.as_ref());
        if is_he(author) && self.author == Known::Unasked {
            self.author = known.clone();
        }
    }

    /// Whether it is the sender of whom something is asked: without an answer nothing can be done.
    pub fn is_sender(&self, person: &Person) -> bool {
        self.delivery.sender.as_ref().is_some_and(|sender| sender.login.eq_ignore_ascii_case(&person.login))
    }

    /// The issue whose text and author its delivery does not have and its task needs: of which integration, and where.
    pub fn unread(&self) -> Option<(TeamId, IntegrationId, Place)> {
        let issue = self.delivery.issue.as_ref()?;
        let lacks = issue.body.is_empty() && issue.author.is_none() && matches!(self.wanted, Wanted::Task { .. });
        let place = Place { issue: issue.key.clone(), is_pull_request: issue.is_pull_request };
        lacks.then_some((self.row.team, self.row.id, place))
    }

    /// The review whose comments on the code its delivery does not have: of which integration, of which pull request, whose, and
    /// when.
    pub fn unread_review(&self) -> Option<(TeamId, IntegrationId, Place, &str, &str)> {
        let (issue, sender) = (self.delivery.issue.as_ref()?, self.delivery.sender.as_ref()?);
        let unread = matches!(self.delivery.what, What::Review { unread: true, .. });
        let place = Place { issue: issue.key.clone(), is_pull_request: issue.is_pull_request };
        unread.then_some((self.row.team, self.row.id, place, &sender.login, &issue.updated_at))
    }

    /// Adds what the review says of the code.
    pub fn add_review(&mut self, told: &[ReviewComment]) {
        self.delivery.add_review(told);
        self.wanted = rules::wanted(&self.delivery, &self.row.spec.rules);
    }

    pub fn issue(&self) -> Option<&Issue> {
        self.delivery.issue.as_ref()
    }

    /// The forge: of which integration, where, and what it is asked with.
    pub fn forge(&self) -> Option<Forge<'_>> {
        let IntegrationRow { id: integration, tracker, spec, .. } = &self.row;
        let (integration, tracker, base_url) = (*integration, *tracker, spec.base_url.as_deref());
        Some(Forge { integration, tracker, base_url, app: spec.app.as_ref(), token: self.token.as_ref()? })
    }
}

impl Service {
    /// Reads what a claimed delivery asks for, by the rules as they are now. None where its integration is gone.
    pub async fn delivery_work(&self, claimed: &ClaimedDelivery) -> Result<Option<DeliveryWork>, Error> {
        let mut tx = self.store().team(claimed.team).await?;
        let Some(row) = integrations::get(&mut tx, claimed.integration).await? else { return Ok(None) };
        let mut delivery: Delivery = serde_json::from_str(&claimed.content).map_err(Error::internal)?;
        delivery.complete(row.tracker);
        let sender = people::known(&mut tx, &row, delivery.sender.as_ref()).await?;
        let author = match &delivery.issue {
            Some(issue) => people::known_author(&mut tx, &row, issue).await?,
            None => people::known(&mut tx, &row, None).await?,
        };
        tx.commit().await?;
        let token = integrations::token(self.store(), row.team, row.id).await?;
        let owner = sealed::of_integration(row.team, row.id.0, integrations::TOKEN);
        let token = token.map(|value| self.keyring().open(&owner, &value)).transpose().map_err(Error::internal)?;
        let wanted = rules::wanted(&delivery, &row.spec.rules);
        Ok(Some(DeliveryWork { row, delivery, wanted, sender, author, token }))
    }

    /// Adds what the tracker says of the issue.
    pub async fn add_issue(&self, work: &mut DeliveryWork, told: Issue) -> Result<(), Error> {
        let mut tx = self.store().team(work.row.team).await?;
        work.author = people::known_author(&mut tx, &work.row, &told).await?;
        tx.commit().await?;
        if let Some(issue) = &mut work.delivery.issue {
            let title = if told.title.is_empty() { std::mem::take(&mut issue.title) } else { told.title };
            let Issue { body, author, in_the_name_of, .. } = told;
            *issue = Issue { title, body, author, in_the_name_of, ..std::mem::take(issue) };
        }
        Ok(())
    }
}
