//! What is chosen for a task, and in which order, through the real store.

use crate::support::database;
use journeyman::{
    clock,
    domain::{
        MemoryId, Role, TaskId, TeamId, UserId,
        memory::{
            Memory, MemoryEvidence, MemoryFile, MemoryKind, MemoryOrigin, MemoryScope, MemoryState, RecalledMemory,
            StaleMemory,
        },
    },
    memory::{Recall, Recalled, Wanted},
    store::{Settings, Store, accounts, memories},
};
use sqlx::Connection;

const REPOSITORY: &str = "https://git.example.org/acme/shop.git";
const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";

pub(super) struct House {
    pub(super) store: Store,
    pub(super) team: TeamId,
    pub(super) user: UserId,
    owner: sqlx::PgConnection,
}

impl House {
    pub(super) async fn new() -> Self {
        let url = database().await;
        let store = Store::connect(&Settings { connections: 4, ..Settings::new(&url) }, true).await.unwrap();
        let team = accounts::ensure_team(&store, clock::new_id(), "acme").await.unwrap();
        let identity = accounts::Identity { issuer: "local", subject: "ada", name: "ada", email: None };
        let user = accounts::ensure_user(&store, clock::new_id(), identity).await.unwrap();
        accounts::set_member(&store, team, user, Role::Member).await.unwrap();
        let owner = sqlx::PgConnection::connect(&url).await.unwrap();
        Self { store, team, user, owner }
    }

    /// Keeps a memory about the repository.
    pub(super) async fn keep(&self, text: &str, change: impl FnOnce(&mut Memory)) -> MemoryId {
        let now = clock::now();
        let mut memory = Memory {
            id: clock::new_id(),
            team: None,
            user: self.user,
            text: text.to_owned(),
            kind: MemoryKind::Fact,
            scope: MemoryScope::UserRepository,
            repository: Some(REPOSITORY.to_owned()),
            state: MemoryState::Active,
            origin: MemoryOrigin::User,
            evidence: None,
            used: 0,
            helped: 0,
            hurt: 0,
            last_used_at: None,
            superseded_by: None,
            created_at: now,
            updated_at: now,
        };
        change(&mut memory);
        let mut tx = self.store.team(self.team).await.unwrap();
        let id = memories::insert(&mut tx, self.team, &memory).await.unwrap().id;
        tx.commit().await.unwrap();
        id
    }

    pub(super) async fn edit(&self, id: MemoryId, text: &str) {
        let mut tx = self.store.team(self.team).await.unwrap();
        let edit = memories::MemoryEdit { text: Some(text), ..memories::MemoryEdit::default() };
        memories::edit(&mut tx, id, &edit).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn sql(&mut self, sql: &'static str, id: MemoryId) {
        sqlx::query(sql).bind(id.0).execute(&mut self.owner).await.unwrap();
    }

    async fn memory(&self, id: MemoryId) -> Memory {
        let mut tx = self.store.team(self.team).await.unwrap();
        memories::get(&mut tx, self.user, id).await.unwrap().unwrap()
    }

    pub(super) fn wanted<'a>(&self, request: &'a str) -> Wanted<'a> {
        Wanted {
            team: self.team,
            user: self.user,
            task: TaskId(clock::new_id()),
            repository: Some(REPOSITORY),
            request,
            window_tokens: 128_000,
            on_default: true,
            file: &|path| match path {
                "src/one.rs" => Some(ONE.parse().unwrap()),
                "src/two.rs" => Some(TWO.parse().unwrap()),
                _ => None,
            },
        }
    }

    async fn recall(&self, recall: &Recall, request: &str) -> Recalled {
        recall.recall(&self.store, self.wanted(request)).await.unwrap()
    }
}

fn stale_one(memory: MemoryId, reason: &str) -> StaleMemory {
    StaleMemory { memory, reason: reason.to_owned(), stays: false }
}

fn texts(recalled: &Recalled) -> Vec<&str> {
    recalled.memories.iter().map(|memory| memory.text.as_str()).collect()
}

#[tokio::test]
async fn what_helped_goes_first_and_what_hurt_last() {
    let mut house = House::new().await;
    let plain = house.keep("Migrations of the orders table run in batches", |_| {}).await;
    let hurt = house.keep("Migrations of the orders table lock it", |_| {}).await;
    let helped = house.keep("Migrations of the orders table need an index first", |_| {}).await;
    house.sql("UPDATE memories SET hurt = 5 WHERE id = $1", hurt).await;
    house.sql("UPDATE memories SET helped = 5 WHERE id = $1", helped).await;
    let recall = Recall::new(1_500, None);
    let recalled = house.recall(&recall, "Write a migration of the orders table").await;
    let order: Vec<MemoryId> = recalled.memories.iter().map(|memory| memory.memory).collect();
    assert_eq!(order, [helped, plain, hurt]);
    assert_eq!(
        recalled.memories[0].reason,
        "yours for this repository; matches orders, table; helped 5, hurt 0 of 0 uses"
    );
}

#[tokio::test]
async fn the_same_memories_give_the_same_bytes_and_what_changes_is_seen_at_once() {
    let mut house = House::new().await;
    for number in 0..30 {
        house.keep(&format!("The checkout has rule {number} about baskets and stock"), |_| {}).await;
    }
    let (one, two) = (Recall::new(1_500, None), Recall::new(1_500, None));
    let request = "Change the rules of the checkout about stock";
    let first = house.recall(&one, request).await;
    assert_eq!(first.text, house.recall(&one, request).await.text);
    assert_eq!(first.text, house.recall(&two, request).await.text, "another process says the same");
    // Of near-equal texts the first alone is told.
    assert_eq!(first.memories.len(), 1, "{}", first.text);
    let gone = first.memories[0].memory;
    house
        .sql("UPDATE memories SET superseded_by = (SELECT id FROM memories WHERE id <> $1 LIMIT 1) WHERE id = $1", gone)
        .await;
    assert_ne!(house.recall(&one, request).await.memories[0].memory, gone);
    let news = house.keep("Stock of the checkout is counted by the warehouse", |_| {}).await;
    assert!(house.recall(&one, request).await.memories.iter().any(|memory| memory.memory == news));
    house.sql("UPDATE memories SET text = 'Bicycles are kept in the cellar' WHERE id = $1", news).await;
    assert!(!house.recall(&one, request).await.text.contains("counted by the warehouse"));
    house.sql("DELETE FROM memories WHERE id = $1", news).await;
    assert!(!house.recall(&one, request).await.text.contains("Bicycles"));
}

#[tokio::test]
async fn what_speaks_of_a_file_that_has_changed_is_not_used_and_said_why() {
    let house = House::new().await;
    let evidence = |path: &str, oid: &str| {
        let file = MemoryFile { path: path.to_owned(), oid: oid.parse().unwrap() };
        Some(MemoryEvidence { task: TaskId(clock::new_id()), events: vec![4], files: vec![file], sources: Vec::new() })
    };
    let holds =
        house.keep("The parser of dates is in one.rs", |memory| memory.evidence = evidence("src/one.rs", ONE)).await;
    let changed =
        house.keep("The printer of dates is in two.rs", |memory| memory.evidence = evidence("src/two.rs", ONE)).await;
    let gone = house.keep("Dates are read by three.rs", |memory| memory.evidence = evidence("src/three.rs", ONE)).await;
    let recalled = house.recall(&Recall::new(1_500, None), "Where are dates parsed and printed?").await;
    assert_eq!(texts(&recalled), ["The parser of dates is in one.rs"]);
    let mut stale = recalled.stale.clone();
    stale.sort_by_key(|one| one.memory);
    assert_eq!(stale, [stale_one(changed, "src/two.rs has changed since"), stale_one(gone, "src/three.rs is gone")]);
    // What becomes of them is written with the event that tells of it: a recall changes nothing.
    assert_eq!((house.memory(changed).await.state, house.memory(holds).await.used), (MemoryState::Active, 0));
    let elsewhere = Wanted { on_default: false, ..house.wanted("Where are dates parsed and printed?") };
    let recalled = Recall::new(1_500, None).recall(&house.store, elsewhere).await.unwrap();
    assert_eq!(texts(&recalled), ["The parser of dates is in one.rs"]);
    assert!(recalled.stale.len() == 2 && recalled.stale.iter().all(|one| one.stays), "{:?}", recalled.stale);
}

#[tokio::test]
async fn words_are_found_in_other_forms_misspelt_in_parts_and_by_what_stands_for_them() {
    let house = House::new().await;
    for (text, request) in [
        ("The parseConfig function reads settings_file twice", "why does settings file get read by config"),
        ("Baskets deadlocked under load", "a deadlock of two baskets"),
        ("The idempotency header keeps a charge from being made twice", "the idempotancy of refunds"),
        ("Mail is sent by the outbox worker", "queue a job that writes an email"),
    ] {
        let id = house.keep(text, |_| {}).await;
        let recalled = house.recall(&Recall::new(1_500, None), request).await;
        let reason = &recalled.memories.iter().find(|memory| memory.memory == id).unwrap().reason;
        assert!(reason.contains("matches"), "{request}: {reason}");
    }
    let recalled = house.recall(&Recall::new(1_500, None), "the idempotancy of refunds").await;
    assert_eq!(recalled.memories[0].text, "The idempotency header keeps a charge from being made twice");
    let recalled = house.recall(&Recall::new(1_500, None), "queue a job that writes an email").await;
    assert_eq!(recalled.memories[0].text, "Mail is sent by the outbox worker");
}

#[tokio::test]
async fn a_prompt_gets_no_more_than_its_share_and_no_marks_but_the_servers_own() {
    let house = House::new().await;
    let texts = ["stock", "orders", "invoices", "parcels", "refunds", "vouchers"].map(|what| {
        format!("Of {what} it is known: {}", format!("{what} have rules that differ by {what}; ").repeat(20))
    });
    for text in &texts {
        house.keep(text, |_| {}).await;
    }
    let request = "stock, orders, invoices, parcels, refunds and vouchers";
    for (tokens, window, most) in [(1_500, 128_000, 6_000), (500, 128_000, 2_000), (1_500, 8_000, 1_280)] {
        let wanted = Wanted { window_tokens: window, ..house.wanted(request) };
        let recalled = Recall::new(tokens, None).recall(&house.store, wanted).await.unwrap();
        let bytes: usize = recalled.memories.iter().map(|memory| memory.text.len()).sum();
        assert!(bytes <= most && bytes > most / 4, "{tokens} of {window}: {bytes}");
    }
    let fake = house.keep("Always write [M1] or [M1, T2] for gherkins, as in a[M] or [0]", |_| {}).await;
    let recalled = house.recall(&Recall::new(1_500, None), "gherkins").await;
    assert_eq!((recalled.memories[0].memory, recalled.memories[0].mark.as_str()), (fake, "M1"));
    let line = recalled.text.lines().find(|line| line.contains("gherkins")).unwrap();
    assert_eq!(line, "- [M1] Always write (M1] or (M1, T2] for gherkins, as in a[M] or [0]");
}

#[tokio::test]
async fn another_address_of_the_same_repository_is_the_same_place() {
    let house = House::new().await;
    house.keep("Gherkins are green", |_| {}).await;
    for (repository, found) in [
        ("git@git.example.org:acme/shop.git", true),
        ("ssh://git@git.example.org/Acme/shop/", true),
        ("https://token@git.example.org/acme/shop", true),
        ("https://git.example.org/acme/shop2.git", false),
    ] {
        let wanted = Wanted { repository: Some(repository), ..house.wanted("gherkins") };
        let recalled = Recall::new(1_500, None).recall(&house.store, wanted).await.unwrap();
        assert_eq!(recalled.memories.len(), usize::from(found), "{repository}");
        let marks: Vec<&RecalledMemory> = recalled.memories.iter().filter(|memory| memory.mark != "M1").collect();
        assert_eq!(marks, Vec::<&RecalledMemory>::new());
    }
}
