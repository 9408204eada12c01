//! Working off what a tracker has told: a task is made, told something, or cancelled, in the transaction that says so of the
//! delivery. However many ask for the same, an issue has one task that lives.

use super::{
    people,
    request::{self, Request},
    work::DeliveryWork,
};
use crate::{
    clock,
    domain::{
        Principal, Status, TaskId, UserId,
        integration::{DeliveryState, Place, Seen, Spot, source_kind},
        limits::LimitsPatch,
        linked_account::Provider,
        task::{NetworkMode, NetworkPolicy, Source},
    },
    service::{
        Error, NetworkInput, NewTask, RepositoryInput, Service,
        actions::Said,
        given::{CheckInput, check_of_command},
    },
    store::{
        TeamTx, log, publishings,
        trackers::{
            answers::{self, NewAnswer},
            deliveries::{self, ClaimedDelivery, Outcome},
            issues::{self, TaskOf},
        },
    },
    trackers::{
        Comment, Issue, What,
        command::Command,
        rules::{self, Wanted},
    },
};

/// How long a pull request may take to be written down that the service has opened, in turns: some minutes.
const OPENING_TURNS_MAX: u32 = 60;
/// Of how many failed checks of a pull request its task is told: one that cannot mend them is not woken for ever.
const FAILURES_TOLD_MAX: u32 = 5;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worked {
    Done,
    /// What came before it about the issue has to be worked off first.
    Later,
    /// It is somebody else's by now.
    Lost,
}

/// What is to be written of a delivery.
struct Came {
    state: DeliveryState,
    reason: String,
    task: Option<TaskId>,
}

impl Came {
    fn ignored(reason: impl Into<String>) -> Self {
        Self { state: DeliveryState::Ignored, reason: reason.into(), task: None }
    }

    fn done(reason: impl Into<String>, task: TaskId) -> Self {
        Self { state: DeliveryState::Done, reason: reason.into(), task: Some(task) }
    }
}

impl Service {
    /// Does what a delivery asks for, and says in it what became of it.
    pub async fn work_off(&self, claimed: &ClaimedDelivery, work: &DeliveryWork) -> Result<Worked, Error> {
        let DeliveryWork { row, delivery, wanted, .. } = work;
        // Whatever else is asked for, and by whom: what is told from now on is told of where it is now.
        if let Some(issue) = &delivery.issue
            && let Some(from) = &issue.moved_from
        {
            let mut tx = self.store().team(row.team).await?;
            issues::moved(&mut tx, row.id, from, &issue.key).await?;
            answers::moved(&mut tx, row.id, from, &issue.key).await?;
            tx.commit().await?;
        }
        if people::needs_leave(wanted)
            && let Some(why) = work.sender.why_not(delivery.sender.as_ref())
        {
            return self.note(claimed, work, Came::ignored(why)).await;
        }
        let issue = match (&delivery.issue, wanted) {
            (_, Wanted::Nothing(reason)) => return self.note(claimed, work, Came::ignored(reason)).await,
            (_, Wanted::Moved) => {
                let reason = "it has another name now".to_owned();
                return self.note(claimed, work, Came { state: DeliveryState::Done, reason, task: None }).await;
            }
            (None, _) => return self.note(claimed, work, Came::ignored("it names no issue")).await,
            (Some(issue), _) => issue,
        };
        let mut tx = self.store().team(row.team).await?;
        let acting = Acting { service: self, claimed, work, issue };
        issues::ensure(&mut tx, row.team, row.id, &issue.key).await?;
        issues::lock(&mut tx, row.id, &issue.key).await?;
        let task = issues::task(&mut tx, row.id, &issue.key).await?;
        if let Some(TaskOf { task, .. }) = task
            && acting.was_told_otherwise(&mut tx).await?
        {
            acting.note_answer(&mut tx, task).await?;
            let reason = "its task was told by another event about the same comment";
            return acting.finish(tx, Came { task: Some(task), ..Came::ignored(reason) }).await;
        }
        match (wanted, task) {
            (Wanted::Task { command, trigger, comment, .. }, None) => {
                acting.make(tx, command, trigger, comment.as_ref()).await
            }
            (Wanted::Task { command, trigger, comment, session, once }, Some(TaskOf { task, status, .. })) => {
                let said = comment.clone().or_else(|| session.as_ref().map(|_| Comment::default()));
                match said.filter(|_| comment.is_some() || !command.text.is_empty()) {
                    Some(comment) => {
                        let body = if command.text.is_empty() { comment.body.clone() } else { command.text.clone() };
                        acting.tell(tx, task, "A comment", &Comment { body, ..comment }).await
                    }
                    None if status.is_end() && !once => acting.make(tx, command, trigger, None).await,
                    None => {
                        if session.is_some() {
                            acting.note_answer(&mut tx, task).await?;
                        }
                        let why = if *once { "the issue has a task" } else { "a task works on this issue already" };
                        let came = Came { task: Some(task), ..Came::ignored(why) };
                        acting.finish(tx, came).await
                    }
                }
            }
            (_, None) => {
                let opens = issue.may_be_own()
                    && claimed.attempts <= OPENING_TURNS_MAX
                    && publishings::any_opens(self.store(), row.team).await?;
                if opens || deliveries::earlier_waits(self.store(), row.id, &issue.key, claimed.id).await? {
                    return Ok(Worked::Later);
                }
                acting.finish(tx, Came::ignored("no task is about it")).await
            }
            (Wanted::Message { comment, trigger, addressed }, Some(TaskOf { task, status, ended })) => {
                // What people say to each other once it is over is not said to the task.
                let over = match ended {
                    Some(ended) => Some(format!("the pull request was {ended}")),
                    None if status.is_end() && !issue.is_pull_request => Some("the issue's task has ended".to_owned()),
                    None => None,
                };
                match over.filter(|_| !addressed) {
                    Some(over) => {
                        let reason = format!("{over}, and the comment does not speak to the agent");
                        acting.finish(tx, Came { task: Some(task), ..Came::ignored(reason) }).await
                    }
                    None => acting.tell(tx, task, &capital(trigger), comment).await,
                }
            }
            (Wanted::Failure { .. }, Some(TaskOf { task, ended: Some(ended), .. })) => {
                let reason = format!("the pull request was {ended}");
                acting.finish(tx, Came { task: Some(task), ..Came::ignored(reason) }).await
            }
            (Wanted::Failure { text }, Some(TaskOf { task, .. })) => acting.warn(tx, task, text).await,
            (Wanted::Cancel { trigger, ended }, Some(TaskOf { task, status, .. })) => {
                if *ended && issue.is_pull_request {
                    issues::end(&mut tx, row.id, &issue.key, Some("closed")).await?;
                    if status.is_end() {
                        return acting.finish(tx, Came::done("it is remembered that it was closed", task)).await;
                    }
                }
                acting.cancel(tx, (task, status), trigger).await
            }
            (Wanted::Merged { commit }, Some(TaskOf { task, .. })) => {
                issues::end(&mut tx, row.id, &issue.key, Some("merged")).await?;
                acting.merged(tx, task, commit).await
            }
            (Wanted::Reopened, Some(TaskOf { task, .. })) => {
                issues::end(&mut tx, row.id, &issue.key, None).await?;
                acting.finish(tx, Came::done("the pull request is open again", task)).await
            }
            (Wanted::Nothing(reason), _) => acting.finish(tx, Came::ignored(reason)).await,
            (Wanted::Moved, _) => acting.finish(tx, Came::ignored("it has another name now")).await,
        }
    }

    /// Says of a delivery that it could not be done.
    pub async fn give_delivery_up(&self, claimed: &ClaimedDelivery, reason: &str) -> Result<(), Error> {
        let mut tx = self.store().team(claimed.team).await?;
        let came = Outcome { state: DeliveryState::Failed, reason, task: None, user: None };
        deliveries::finish(&mut tx, claimed, came).await?;
        Ok(tx.commit().await?)
    }

    async fn note(&self, claimed: &ClaimedDelivery, work: &DeliveryWork, came: Came) -> Result<Worked, Error> {
        let mut tx = self.store().team(claimed.team).await?;
        let done = finish(&mut tx, claimed, work, &came).await?;
        tx.commit().await?;
        Ok(if done { Worked::Done } else { Worked::Lost })
    }
}

async fn finish(tx: &mut TeamTx, claimed: &ClaimedDelivery, work: &DeliveryWork, came: &Came) -> Result<bool, Error> {
    let Came { state, reason, task } = came;
    let outcome = Outcome { state: *state, reason, task: *task, user: work.sender.member() };
    Ok(deliveries::finish(tx, claimed, outcome).await?)
}

/// One delivery being done, with its issue locked.
struct Acting<'a> {
    service: &'a Service,
    claimed: &'a ClaimedDelivery,
    work: &'a DeliveryWork,
    issue: &'a Issue,
}

impl Acting<'_> {
    async fn finish(&self, mut tx: TeamTx, came: Came) -> Result<Worked, Error> {
        let done = finish(&mut tx, self.claimed, self.work, &came).await?;
        tx.commit().await?;
        Ok(if done { Worked::Done } else { Worked::Lost })
    }

    /// Whether another event has brought the same words: Linear tells of a comment, and of the agent session that it begins.
    async fn was_told_otherwise(&self, tx: &mut TeamTx) -> Result<bool, Error> {
        let (integration, key) = (self.work.row.id, &self.issue.key);
        if matches!(self.work.wanted, Wanted::Cancel { .. }) {
            return Ok(false);
        }
        Ok(match &self.work.delivery.what {
            What::Delegated { comment: Some(comment), .. }
            | What::Commented { comment: Comment { id: comment, session: Some(_), .. } } => {
                deliveries::was_done(tx, integration, &rules::meaning_of_comment(key, comment)).await?
            }
            What::Commented { comment } if self.work.row.tracker == Provider::Linear => {
                deliveries::session_was_done(tx, integration, key, &rules::meaning_of_session(key, &comment.id)).await?
            }
            _ => false,
        })
    }

    /// Makes the issue's task: the member's who asks for it, else the integration's owner's.
    async fn make(
        &self,
        mut tx: TeamTx,
        command: &Command,
        trigger: &str,
        comment: Option<&Comment>,
    ) -> Result<Worked, Error> {
        let DeliveryWork { row, .. } = self.work;
        let Some(principal) = self.principal(&mut tx).await? else { return self.nobody(tx).await };
        let Some(repository) = self.repository() else {
            let names = self.issue.project.iter().chain(self.issue.repository.as_ref().map(|r| &r.name));
            let names = names.cloned().collect::<Vec<_>>().join(" or ");
            let reason = format!("the integration's repositories have none for {names}");
            return self.finish(tx, Came { state: DeliveryState::Failed, reason, task: None }).await;
        };
        let new = self.new_task(command, trigger, comment, repository);
        let source = self.source();
        tx.in_the_name_of(principal.user).await?;
        let task = self.service.create_in(&mut tx, &principal, &principal, new, source).await?;
        issues::set_task(&mut tx, row.id, &self.issue.key, task).await?;
        self.note_answer(&mut tx, task).await?;
        if !finish(&mut tx, self.claimed, self.work, &Came::done("it made a task", task)).await? {
            return Ok(Worked::Lost);
        }
        tx.commit().await?;
        // Its first two events.
        self.service.committed(row.team, task, 2);
        Ok(Worked::Done)
    }

    fn new_task(
        &self,
        command: &Command,
        trigger: &str,
        comment: Option<&Comment>,
        repository: RepositoryInput,
    ) -> NewTask {
        let DeliveryWork { row, delivery, sender, author, .. } = self.work;
        let spec = &row.spec;
        let name = delivery.sender.as_ref().map_or("somebody", |person| person.login.as_str());
        let said = match comment {
            Some(comment) if command.text.is_empty() => Command { text: comment.body.clone(), ..command.clone() },
            _ => command.clone(),
        };
        let request = Request {
            tracker: row.tracker,
            issue: self.issue,
            sender: (name, sender),
            author,
            trigger,
            command: &said,
        };
        let checks: Vec<CheckInput> = command.checks.iter().map(|check| check_of_command(check)).collect();
        // Who wrote it could have it sent anywhere.
        let off = NetworkInput { mode: NetworkMode::Off, hosts: Vec::new(), methods: Vec::new(), max_mib: None };
        let network = if author.may() { spec.network.as_ref().map(network_input) } else { Some(off) };
        NewTask {
            request: request.text(),
            title: Some(request.title()),
            mode: None,
            repository: Some(repository),
            model: command.model.clone(),
            environment: spec.environment.clone(),
            checks: (!checks.is_empty()).then_some(checks),
            limits: (spec.limits != LimitsPatch::default()).then_some(spec.limits),
            approval: spec.approval,
            approval_deadline_seconds: None,
            approval_default: None,
            network,
            output_schema: None,
            priority: None,
            labels: None,
            on_behalf_of: None,
            outsider: false,
        }
    }

    fn source(&self) -> Source {
        let DeliveryWork { row, sender, author, .. } = self.work;
        Source {
            url: Some(self.issue.url.clone()).filter(|url| !url.is_empty()),
            integration: Some(row.id.0),
            outsider: sender.member().is_none() || author.member().is_none(),
            untrusted: !author.may(),
            ..Source::of(source_kind(row.tracker))
        }
    }

    /// Has the task answered where somebody has spoken of it, and this shown to have been seen.
    async fn note_answer(&self, tx: &mut TeamTx, task: TaskId) -> Result<(), Error> {
        let (row, issue) = (&self.work.row, self.issue);
        // Who appends has the head before he counts news.
        log::lock(tx, task).await?;
        let place = Place { issue: issue.key.clone(), is_pull_request: issue.is_pull_request };
        let spot = match &self.work.delivery.what {
            What::Commented { comment: Comment { id, session: Some(session), .. } } => {
                Some(Spot::Session { session: session.clone(), of: id.clone() })
            }
            What::Commented { comment } => Some(Spot::Comment(comment.id.clone())),
            What::ReviewComment { comment } => Some(Spot::ReviewComment(comment.id.clone())),
            What::Delegated { session, .. } => Some(Spot::Session { session: session.clone(), of: session.clone() }),
            What::Opened { .. } | What::Labelled { .. } | What::Assigned { .. } => Some(Spot::Issue),
            _ => None,
        };
        let session = match &spot {
            Some(Spot::Session { session, .. }) => Some(session.clone()),
            _ => None,
        };
        let seen = spot.map(|spot| Seen { integration: row.id, place: place.clone(), spot });
        let new = NewAnswer {
            team: row.team,
            task,
            id: clock::new_id(),
            integration: row.id,
            place: &place,
            session: session.as_deref(),
        };
        Ok(answers::note(tx, new, seen.as_ref()).await?)
    }

    /// By the integration's mapping, else as the forge says.
    fn repository(&self) -> Option<RepositoryInput> {
        let forge = self.issue.repository.as_ref();
        let names = [forge.map_or("", |one| one.name.as_str()), self.issue.project.as_deref().unwrap_or_default()];
        if let Some(mapped) = self.work.row.spec.repository(&names) {
            let (url, reference) = (Some(mapped.url.clone()), mapped.reference.clone());
            return Some(RepositoryInput { url, upload: None, reference });
        }
        let url = forge.map(|one| one.clone_url.clone()).filter(|url| !url.is_empty())?;
        Some(RepositoryInput { url: Some(url), upload: None, reference: None })
    }

    /// Tells the task what somebody has written who may.
    async fn tell(&self, mut tx: TeamTx, task: TaskId, trigger: &str, comment: &Comment) -> Result<Worked, Error> {
        let DeliveryWork { row, delivery, sender, .. } = self.work;
        let Some(principal) = self.principal(&mut tx).await? else { return self.nobody(tx).await };
        let name = delivery.sender.as_ref().map_or("somebody", |person| person.login.as_str());
        let text = request::message(name, sender, self.issue, trigger, comment);
        let user: Option<UserId> = sender.member();
        let author = match user {
            Some(_) => principal.user_name.clone(),
            None => request::author(row.tracker, delivery.sender.as_ref()),
        };
        if let Some(user) = user {
            tx.in_the_name_of(user).await?;
        }
        let came = Came::done("its task was told", task);
        if !finish(&mut tx, self.claimed, self.work, &came).await? {
            return Ok(Worked::Lost);
        }
        self.note_answer(&mut tx, task).await?;
        self.service.tell_in(tx, &principal, task, Said { text, author, user }).await?;
        Ok(Worked::Done)
    }

    /// Tells the task what a check of the forge came to.
    async fn warn(&self, mut tx: TeamTx, task: TaskId, text: &str) -> Result<Worked, Error> {
        if deliveries::failures(&mut tx, self.work.row.id, &self.issue.key).await? >= FAILURES_TOLD_MAX {
            let reason = format!("its task was told of {FAILURES_TOLD_MAX} failures already");
            return self.finish(tx, Came { task: Some(task), ..Came::ignored(reason) }).await;
        }
        let Some(principal) = self.principal(&mut tx).await? else { return self.nobody(tx).await };
        let came = Came::done("its task was told", task);
        if !finish(&mut tx, self.claimed, self.work, &came).await? {
            return Ok(Worked::Lost);
        }
        let said = Said { text: text.to_owned(), author: self.work.row.tracker.as_str().to_owned(), user: None };
        self.service.tell_in(tx, &principal, task, said).await?;
        Ok(Worked::Done)
    }

    async fn cancel(&self, mut tx: TeamTx, (task, status): (TaskId, Status), trigger: &str) -> Result<Worked, Error> {
        if status.is_end() {
            let reason = format!("{trigger}, and its task has ended already");
            return self.finish(tx, Came { task: Some(task), ..Came::ignored(reason) }).await;
        }
        let Some(principal) = self.principal(&mut tx).await? else { return self.nobody(tx).await };
        let DeliveryWork { row, delivery, .. } = self.work;
        let author = request::author(row.tracker, delivery.sender.as_ref());
        let came = Came::done(format!("its task was cancelled: {trigger}"), task);
        if !finish(&mut tx, self.claimed, self.work, &came).await? {
            return Ok(Worked::Lost);
        }
        self.service.cancel_in(tx, &principal, task, author).await?;
        Ok(Worked::Done)
    }

    /// Remembers what was merged, for what can be learnt from it.
    async fn merged(&self, mut tx: TeamTx, task: TaskId, commit: &str) -> Result<Worked, Error> {
        let Some(principal) = self.principal(&mut tx).await? else { return self.nobody(tx).await };
        if commit.is_empty() {
            return self.finish(tx, Came::done("it was merged, and the forge does not say as what", task)).await;
        }
        self.service.note_merge(&mut tx, &principal, task, commit).await?;
        self.finish(tx, Came::done(format!("it was merged as {commit}"), task)).await
    }

    /// The member who asks for it, else the integration's owner, if he is still one.
    async fn principal(&self, tx: &mut TeamTx) -> Result<Option<Principal>, Error> {
        let DeliveryWork { row, sender, .. } = self.work;
        people::principal(tx, row, sender.member().unwrap_or(row.owner)).await
    }

    async fn nobody(&self, tx: TeamTx) -> Result<Worked, Error> {
        let reason =
            "the integration's owner is no member any more: an admin who changes it becomes its owner".to_owned();
        self.finish(tx, Came { state: DeliveryState::Failed, reason, task: None }).await
    }
}

fn network_input(policy: &NetworkPolicy) -> NetworkInput {
    let NetworkPolicy { mode, hosts, methods, max_mib } = policy.clone();
    NetworkInput { mode, hosts, methods, max_mib }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
