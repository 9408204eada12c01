//! Tests of store: the log, the queue and tenancy, on a real Postgres.

use crate::support::{self, database::with_database};
use journeyman::{
    clock,
    domain::{
        BlobHash, EventData, Limits, Mode, ReplicaId, Role, Seq, Status, TaskId, TaskSpec, TeamId, UserId, WaitingFor,
        task::{ApprovalPolicy, NetworkPolicy, OnBusy, Source, SourceKind},
    },
    store::{
        Settings, Store, StoreError, accounts, baselines, blobs,
        jobs::{self, Claimed},
        log::{self, Appended, JobChange, Lease, NewEvent, TaskChange, VERSION},
        tasks,
    },
};
use sqlx::{Connection, Executor, PgConnection, Row};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use uuid::Uuid;

const TTL: Duration = Duration::from_secs(15);

struct House {
    store: Store,
    url: String,
    team: TeamId,
    user: UserId,
}

impl House {
    async fn new() -> Self {
        let url = support::database().await;
        let store = Store::connect(&Settings { connections: 8, ..Settings::new(url.clone()) }, true).await.unwrap();
        let team = accounts::ensure_team(&store, clock::new_id(), "one").await.unwrap();
        let house = Self { user: clock::new_id(), store, url, team };
        let user = house.user("ada").await;
        Self { user, ..house }
    }

    async fn user(&self, name: &str) -> UserId {
        let identity = accounts::Identity { issuer: "local", subject: name, name, email: None };
        let user = accounts::ensure_user(&self.store, clock::new_id(), identity).await.unwrap();
        accounts::set_member(&self.store, self.team, user, Role::Member).await.unwrap();
        user
    }

    async fn task(&self) -> TaskId {
        self.task_of(self.user, 0).await
    }

    async fn task_of(&self, user: UserId, priority: i16) -> TaskId {
        let id = clock::new_id();
        let spec = TaskSpec { priority, ..spec() };
        let new = tasks::NewTask { team: self.team, id, created_by: user, author: "ada", spec: &spec };
        let mut tx = self.store.team(self.team).await.unwrap();
        tasks::create(&mut tx, &new, None).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn claim(&self, replica: ReplicaId, limit: u32) -> Vec<Claimed> {
        jobs::claim_tasks(&self.store, replica, replica.0, VERSION, TTL, limit).await.unwrap()
    }

    async fn claim_one(&self) -> (ReplicaId, Claimed) {
        let replica = clock::new_id();
        (replica, self.claim(replica, 1).await[0])
    }

    async fn append(&self, claimed: Claimed, only_after: Option<Seq>, text: &str) -> Appended {
        let change = TaskChange::default();
        log::append(&self.store, lease(claimed), only_after, &[words(text)], &change, JobChange::Keep).await.unwrap()
    }

    /// As a use case does it: lock, append, queue, commit.
    async fn message(&self, task: TaskId) -> Result<Seq, StoreError> {
        let mut tx = self.store.team(self.team).await?;
        let locked = log::lock(&mut tx, task).await?.unwrap();
        jobs::put(&mut tx, &tasks::run_task(self.team, task, locked.created_by, 0)).await?;
        let last = log::append_locked(&mut tx, self.team, task, &[words("hello")], &TaskChange::default()).await?;
        tx.commit().await?;
        Ok(last)
    }

    async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    async fn seqs(&self, task: TaskId) -> Vec<Seq> {
        let records = log::records(&self.store, task, 0, 10_000).await.unwrap();
        records.iter().map(|record| record.event.seq).collect()
    }

    /// Lets leases run out without waiting for it.
    async fn age_leases(&self) {
        self.connection().await.execute("UPDATE jobs SET lease_until = now() - interval '1 second'").await.unwrap();
    }
}

pub(crate) fn spec() -> TaskSpec {
    TaskSpec {
        request: "mend it".to_owned(),
        title: "mend".to_owned(),
        mode: Mode::Auto,
        repository: None,
        model: "scripted".to_owned(),
        environment: None,
        pinned: None,
        checks: Vec::new(),
        limits: Limits::default(),
        approval: ApprovalPolicy::Never,
        approval_deadline_seconds: None,
        approval_default: None,
        network: NetworkPolicy::default(),
        output_schema: None,
        priority: 0,
        labels: [("team".to_owned(), "a".to_owned())].into(),
        source: Source::of(SourceKind::Api),
    }
}

fn words(text: &str) -> NewEvent {
    let data =
        EventData::MessageUser { text: text.to_owned(), author: "ada".to_owned(), user: None, on_busy: OnBusy::Steer };
    NewEvent { run: 1, turn: 0, data, private: None }
}

fn lease(claimed: Claimed) -> Lease {
    Lease { team: claimed.team, task: claimed.task, epoch: claimed.epoch }
}

/// Waits until some session of this database waits for a lock.
async fn someone_waits(connection: &mut PgConnection) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..1_000 {
        if connection.fetch_one(sql).await.unwrap().get::<i64, _>(0) > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nobody waits");
}

#[tokio::test]
async fn a_new_task_is_queued_with_its_first_events_and_is_claimed_once() {
    let house = House::new().await;
    let task = house.task().await;
    assert_eq!(house.seqs(task).await, [1, 2]);
    let (_, claimed) = house.claim_one().await;
    assert_eq!((claimed.task, claimed.epoch, claimed.last_seq, claimed.taken_over), (task, 1, 2, false));
    assert_eq!(house.claim(clock::new_id(), 10).await, []);
    assert_eq!(jobs::depth(&house.store).await.unwrap(), jobs::Depth { ready: 0, leased: 1 });
}

#[tokio::test]
async fn many_claimers_get_each_task_once() {
    let house = House::new().await;
    let mut tasks = BTreeSet::new();
    for _ in 0..60 {
        tasks.insert(house.task().await);
    }
    let claims = (0..6).map(|_| house.claim(clock::new_id(), 10));
    let mut claimed: Vec<TaskId> =
        futures::future::join_all(claims).await.into_iter().flatten().map(|claimed| claimed.task).collect();
    while let [one, ..] = house.claim(clock::new_id(), 1).await[..] {
        claimed.push(one.task);
    }
    assert_eq!(claimed.len(), 60);
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), tasks);
}

#[tokio::test]
async fn one_with_many_queued_tasks_does_not_make_another_wait() {
    let house = House::new().await;
    for _ in 0..30 {
        house.task().await;
    }
    let other = house.user("bob").await;
    let his = house.task_of(other, -100).await;
    let claimed = house.claim(clock::new_id(), 2).await;
    assert!(claimed.iter().any(|claimed| claimed.task == his), "{claimed:?}");
    // With one running each, the next places are shared again.
    let his = house.task_of(other, 0).await;
    let claimed = house.claim(clock::new_id(), 2).await;
    assert!(claimed.iter().any(|claimed| claimed.task == his), "{claimed:?}");
}

#[tokio::test]
async fn within_a_user_priority_goes_before_age() {
    let house = House::new().await;
    let older = house.task().await;
    let urgent = house.task_of(house.user, 50).await;
    let order = [house.claim_one().await.1.task, house.claim_one().await.1.task];
    assert_eq!(order, [urgent, older]);
}

#[tokio::test]
async fn a_log_newer_than_the_build_is_left_to_others() {
    let house = House::new().await;
    house.task().await;
    let replica: ReplicaId = clock::new_id();
    assert_eq!(jobs::claim_tasks(&house.store, replica, replica.0, VERSION - 1, TTL, 10).await.unwrap(), []);
}

#[tokio::test]
async fn seqs_have_no_gaps_however_many_write_at_once() {
    let house = House::new().await;
    let task = house.task().await;
    let (_, claimed) = house.claim_one().await;
    let worker = async {
        for _ in 0..40 {
            assert!(matches!(house.append(claimed, None, "worker").await, Appended::At { .. }));
        }
    };
    let people = async {
        for _ in 0..10 {
            futures::future::join_all((0..4).map(|_| house.message(task))).await.into_iter().for_each(|seq| {
                seq.unwrap();
            });
        }
    };
    futures::future::join(worker, people).await;
    assert_eq!(house.seqs(task).await, (1..=82).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_append_that_expects_an_older_log_changes_nothing() {
    let house = House::new().await;
    let task = house.task().await;
    let (_, claimed) = house.claim_one().await;
    house.message(task).await.unwrap();
    assert_eq!(house.append(claimed, Some(2), "end").await, Appended::Moved);
    assert!(matches!(house.append(claimed, Some(3), "end").await, Appended::At { first: 4, last: 4, .. }));
    assert_eq!(house.seqs(task).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_worker_whose_task_was_taken_over_writes_nothing_more() {
    let house = House::new().await;
    let task = house.task().await;
    let (first, old) = house.claim_one().await;
    assert_eq!(jobs::heartbeat(&house.store, first, &[task], TTL).await.unwrap(), [task]);
    house.age_leases().await;
    let (second, new) = house.claim_one().await;
    assert_eq!((new.task, new.epoch, new.taken_over, new.attempts), (task, old.epoch + 1, true, 2));
    assert_eq!(house.append(old, None, "late").await, Appended::Fenced);
    let change = TaskChange { status: Some((Status::Failed, None)), ..TaskChange::default() };
    for job in [JobChange::Remove, JobChange::Release] {
        let appended = log::append(&house.store, lease(old), None, &[words("late")], &change, job).await.unwrap();
        assert_eq!(appended, Appended::Fenced);
    }
    assert_eq!(jobs::heartbeat(&house.store, first, &[task], TTL).await.unwrap(), []);
    assert_eq!(jobs::heartbeat(&house.store, second, &[task], TTL).await.unwrap(), [task]);
    assert_eq!(house.seqs(task).await, [1, 2]);
}

#[tokio::test]
async fn a_lease_given_up_late_does_not_shorten_the_next_one() {
    let house = House::new().await;
    let task = house.task().await;
    let replica = clock::new_id();
    let old = house.claim(replica, 1).await[0];
    house.age_leases().await;
    // The same process claims it again before it has noticed.
    let new = house.claim(replica, 1).await[0];
    jobs::expire(&house.store, replica, old.task, old.epoch, Duration::ZERO).await.unwrap();
    assert_eq!(house.claim(clock::new_id(), 1).await, []);
    jobs::expire(&house.store, replica, task, new.epoch, Duration::ZERO).await.unwrap();
    house.age_leases().await;
    assert_eq!(house.claim(clock::new_id(), 1).await.len(), 1);
}

#[tokio::test]
async fn a_released_task_is_claimed_again_and_a_removed_one_is_not() {
    let house = House::new().await;
    let task = house.task().await;
    let (_, claimed) = house.claim_one().await;
    let keep = TaskChange::default();
    log::append(&house.store, lease(claimed), None, &[words("parked")], &keep, JobChange::Release).await.unwrap();
    let (_, claimed) = house.claim_one().await;
    assert_eq!((claimed.task, claimed.attempts, claimed.taken_over), (task, 1, false));
    let ended = TaskChange { status: Some((Status::Succeeded, None)), ..TaskChange::default() };
    log::append(&house.store, lease(claimed), None, &[words("done")], &ended, JobChange::Remove).await.unwrap();
    house.age_leases().await;
    assert_eq!(house.claim(clock::new_id(), 10).await, []);
}

#[tokio::test]
async fn leases_of_an_earlier_process_on_the_same_directory_are_taken_at_once() {
    let house = House::new().await;
    let (mine, others) = (house.task().await, house.task().await);
    let (host, elsewhere) = (clock::new_id::<Uuid>(), clock::new_id::<Uuid>());
    let dead = clock::new_id();
    let first = jobs::claim_tasks(&house.store, dead, host, VERSION, TTL, 1).await.unwrap()[0].task;
    let second = jobs::claim_tasks(&house.store, clock::new_id(), elsewhere, VERSION, TTL, 1).await.unwrap()[0].task;
    assert_eq!(BTreeSet::from([first, second]), BTreeSet::from([mine, others]));
    let alive = clock::new_id();
    assert_eq!(jobs::expire_host(&house.store, host, alive).await.unwrap(), 1);
    let taken = jobs::claim_tasks(&house.store, alive, host, VERSION, TTL, 10).await.unwrap();
    assert_eq!(taken.iter().map(|claimed| (claimed.task, claimed.taken_over)).collect::<Vec<_>>(), [(first, true)]);
    assert_eq!(jobs::expire_host(&house.store, host, alive).await.unwrap(), 0);
}

#[tokio::test]
async fn who_waited_for_a_task_sees_it_as_the_one_before_him_left_it() {
    let house = House::new().await;
    let task = house.task().await;
    let mut ending = house.connection().await;
    let mut transaction = ending.begin().await.unwrap();
    sqlx::query("UPDATE task_heads SET last_seq = 9 WHERE task = $1")
        .bind(task.0)
        .execute(&mut *transaction)
        .await
        .unwrap();
    sqlx::query("UPDATE tasks SET status = 'waiting', waiting_for = 'input', run = 4 WHERE id = $1")
        .bind(task.0)
        .execute(&mut *transaction)
        .await
        .unwrap();
    let (store, team) = (house.store.clone(), house.team);
    let message = tokio::spawn(async move {
        let mut tx = store.team(team).await.unwrap();
        log::lock(&mut tx, task).await.unwrap().unwrap()
    });
    someone_waits(&mut house.connection().await).await;
    transaction.commit().await.unwrap();
    let locked = message.await.unwrap();
    assert_eq!(
        (locked.last_seq, locked.status, locked.waiting_for, locked.run),
        (9, Status::Waiting, Some(WaitingFor::Input), 4),
        "a message that is decided from an older state is lost"
    );
}

#[tokio::test]
async fn a_claim_does_not_wait_for_a_task_that_somebody_writes_to() {
    let house = House::new().await;
    let (busy, free) = (house.task().await, house.task().await);
    let mut tx = house.store.team(house.team).await.unwrap();
    log::lock(&mut tx, busy).await.unwrap().unwrap();
    // With the head locked and the job wanted here, a claim that held the job and wanted the head
    // would be a deadlock.
    let replica = clock::new_id();
    let claimed =
        tokio::time::timeout(Duration::from_secs(5), house.claim(replica, 10)).await.expect("it does not wait");
    assert_eq!(claimed.iter().map(|claimed| claimed.task).collect::<Vec<_>>(), [free]);
    jobs::put(&mut tx, &tasks::run_task(house.team, busy, house.user, 0)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(house.claim(replica, 10).await[0].task, busy);
}

#[tokio::test]
async fn claims_messages_and_appends_at_once_end_in_no_deadlock() {
    let house = House::new().await;
    let mut tasks = Vec::new();
    for _ in 0..20 {
        tasks.push(house.task().await);
    }
    let people = futures::future::join_all(tasks.iter().flat_map(|task| [house.message(*task), house.message(*task)]));
    let workers = futures::future::join_all((0..4).map(|_| async {
        for _ in 0..5 {
            for claimed in house.claim(clock::new_id(), 4).await {
                let keep = TaskChange::default();
                let events = [words("worker")];
                log::append(&house.store, lease(claimed), None, &events, &keep, JobChange::Release).await.unwrap();
            }
        }
    }));
    let (sent, _) = futures::future::join(people, workers).await;
    sent.into_iter().for_each(|seq| {
        seq.unwrap();
    });
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(house.connection().await.fetch_one(sql).await.unwrap().get::<i64, _>(0), 0);
}

#[tokio::test]
async fn the_tail_finds_rows_of_a_transaction_that_was_slow_to_commit() {
    let house = House::new().await;
    let (slow, fast) = (house.task().await, house.task().await);
    let start = log::tail(&house.store, None).await.unwrap();
    assert!(start.tasks.is_empty());
    let mut tx = house.store.team(house.team).await.unwrap();
    log::lock(&mut tx, slow).await.unwrap();
    log::append_locked(&mut tx, house.team, slow, &[words("slow")], &TaskChange::default()).await.unwrap();
    house.message(fast).await.unwrap();
    let seen = log::tail(&house.store, Some(&start.horizon)).await.unwrap();
    // The horizon is the whole cluster's: another test's transaction may show older rows again.
    let told = |task, seq| seen.tasks.iter().any(|(_, t, s)| (*t, *s) == (task, seq));
    assert!(told(fast, 3) && !told(slow, 3), "{seen:?}");
    tx.commit().await.unwrap();
    let seen = log::tail(&house.store, Some(&seen.horizon)).await.unwrap();
    assert!(seen.tasks.iter().any(|(_, task, seq)| (*task, *seq) == (slow, 3)), "{seen:?}");
    let since = Instant::now();
    let mut horizon = seen.horizon;
    loop {
        let look = log::tail(&house.store, Some(&horizon)).await.unwrap();
        if look.tasks.is_empty() {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "{look:?}");
        horizon = look.horizon;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_is_appended_is_read_back_whole() {
    let house = House::new().await;
    let task = house.task().await;
    let (_, claimed) = house.claim_one().await;
    let text = "quotes \" and \\ and ünïcödé and \u{1F980} and a NUL \u{0}";
    house.append(claimed, None, text).await;
    let records = log::records(&house.store, task, 2, 10).await.unwrap();
    assert_eq!(records[0].event.data, words(text).data);
    let raw = log::follow(&house.store, task, 2, 10).await.unwrap();
    let public: serde_json::Value = serde_json::from_str(&raw[0].json(task)).unwrap();
    assert_eq!((&public["kind"], &public["data"]["text"]), (&"message.user".into(), &text.into()));
}

#[tokio::test]
async fn a_team_sees_nothing_of_another_and_without_a_team_there_is_nothing() {
    let house = House::new().await;
    let task = house.task().await;
    let other = accounts::ensure_team(&house.store, clock::new_id(), "two").await.unwrap();
    let mut tx = house.store.team(other).await.unwrap();
    assert_eq!(log::lock(&mut tx, task).await.unwrap(), None);
    assert_eq!(log::page(&mut tx, task, 0, 10).await.unwrap().len(), 0);
    drop(tx);
    let mut mine = house.store.team(house.team).await.unwrap();
    assert_eq!(log::page(&mut mine, task, 0, 10).await.unwrap().len(), 2);
    drop(mine);

    let mut connection = house.connection().await;
    let open =
        "SELECT coalesce(string_agg(c.relname, ', '), '') FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attname = 'team'
            AND NOT (c.relrowsecurity AND c.relforcerowsecurity)";
    assert_eq!(
        connection.fetch_one(open).await.unwrap().get::<String, _>(0),
        "",
        "tables of teams without row security"
    );
    connection.execute("SET ROLE journeyman_app").await.unwrap();
    for table in ["tasks", "task_heads", "task_events", "jobs", "members", "teams", "users"] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        assert_eq!(connection.fetch_one(sql).await.unwrap().get::<i64, _>(0), 0, "{table} without a team");
    }
}

#[tokio::test]
async fn a_content_is_stored_once_in_a_team_whatever_the_order() {
    let house = House::new().await;
    let contents: Vec<Vec<u8>> = (0..200_u32).map(|n| n.to_le_bytes().repeat(64)).collect();
    let named: Vec<(BlobHash, &[u8])> = contents.iter().map(|c| (BlobHash::of(c), c.as_slice())).collect();
    let backwards: Vec<(BlobHash, &[u8])> = named.iter().rev().cloned().collect();
    let puts = (0..6).map(|n| {
        blobs::put(&house.store, house.team, TaskId(clock::new_id()), if n % 2 == 0 { &named } else { &backwards })
    });
    for put in futures::future::join_all(puts).await {
        put.unwrap();
    }
    let stored = blobs::get(&house.store, house.team, &named[7].0).await.unwrap().unwrap();
    assert_eq!((stored.size, stored.content.as_deref()), (256, Some(contents[7].as_slice())));
    let other = accounts::ensure_team(&house.store, clock::new_id(), "two").await.unwrap();
    assert!(blobs::get(&house.store, other, &named[7].0).await.unwrap().is_none());
}

#[tokio::test]
async fn replicas_that_start_at_once_migrate_once() {
    let url = support::empty_database().await;
    let settings = Settings { connections: 2, ..Settings::new(url) };
    let error = Store::connect(&settings, false).await.unwrap_err();
    assert!(matches!(error, StoreError::Schema(_)), "{error}");
    for store in futures::future::join_all((0..4).map(|_| Store::connect(&settings, true))).await {
        store.unwrap().ready().await.unwrap();
    }
    Store::connect(&settings, false).await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_not_there_is_unavailable_and_not_an_error_of_ours() {
    let url = with_database(&support::empty_database().await, "x").replace("host=", "host=%2Fnowhere");
    let settings = Settings { acquire_timeout: Duration::from_millis(300), ..Settings::new(url) };
    let error = Store::connect(&settings, true).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_given_up_while_it_begins_leaves_none_open() {
    let house = House::new().await;
    for polls in (0..300).map(|round| round % 6) {
        let mut team = std::pin::pin!(house.store.team(house.team));
        let mut across = std::pin::pin!(house.store.across_teams());
        for _ in 0..polls {
            let done = (futures::poll!(team.as_mut()).is_ready(), futures::poll!(across.as_mut()).is_ready());
            if done != (false, false) {
                break;
            }
            std::thread::sleep(Duration::from_micros(30));
        }
    }
    let mut connection = PgConnection::connect(&house.url).await.unwrap();
    let begun = Instant::now();
    loop {
        let open: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        if open == 0 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{open} connections are in a transaction of nobody's");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn only_the_newest_runs_on_bases_are_kept_for_each_team() {
    let house = House::new().await;
    let other = accounts::ensure_team(&house.store, clock::new_id(), "two").await.unwrap();
    let run: journeyman::domain::check::CheckRun = serde_json::from_value(
        serde_json::json!({ "outcome": "pass", "exit_code": 0, "duration_ms": 1, "failing": [], "log": "" }),
    )
    .unwrap();
    for (team, rows) in [(house.team, 5), (other, 2)] {
        for row in 0..rows {
            baselines::put(&house.store, team, &format!("key {row}"), &run).await.unwrap();
        }
    }
    assert_eq!(baselines::trim(&house.store, 3).await.unwrap(), 2);
    for (team, key, is_there) in
        [(house.team, "key 1", false), (house.team, "key 2", true), (house.team, "key 4", true), (other, "key 0", true)]
    {
        assert_eq!(baselines::get(&house.store, team, key).await.unwrap().is_some(), is_there, "{key}");
    }
    assert_eq!(baselines::trim(&house.store, 3).await.unwrap(), 0);
}
