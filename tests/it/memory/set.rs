//! The evaluation set of recall (tests/fixtures/memory), in a real store: also for `make bench`.

use journeyman::{
    clock,
    domain::{
        MemoryId, Role, TaskId, TeamId, UserId,
        memory::{EmbeddingOutcome, Memory, MemoryKind, MemoryOrigin, MemoryScope, MemoryState},
    },
    llm::{Client, ClientSettings, Embedder},
    memory::{Embeddings, Recall, Wanted},
    scripted::{self, Script},
    store::{Store, accounts, memories},
};
use serde::Deserialize;
use serde_json::json;
use sqlx::Connection;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What the best of the recalled are taken for: recall at 5.
pub(crate) const TOP: usize = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Set {
    pub(crate) memories: Vec<SetMemory>,
    pub(crate) requests: Vec<SetRequest>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetMemory {
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) scope: MemoryScope,
    pub(crate) kind: MemoryKind,
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) repository: Option<String>,
    #[serde(default)]
    pub(crate) state: Option<MemoryState>,
    #[serde(default)]
    pub(crate) superseded_by: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetRequest {
    /// `paraphrase`: hardly a word in common; `related`; `named`: it names what the memory is about.
    pub(crate) wording: String,
    pub(crate) user: String,
    pub(crate) repository: String,
    pub(crate) text: String,
    pub(crate) expect: Vec<String>,
}

impl Set {
    /// `set`, by which the weights were chosen, or `held_out`, which was written without a look at any score.
    pub(crate) fn read(name: &str) -> Self {
        let file = fixtures().join(format!("{name}.json"));
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    }
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/memory")
}

/// The set in a database.
pub(crate) struct Filled {
    pub(crate) store: Store,
    pub(crate) team: TeamId,
    pub(crate) users: BTreeMap<String, UserId>,
    /// The set's names by id.
    pub(crate) names: BTreeMap<MemoryId, String>,
}

/// Puts the set into the database at `url`.
pub(crate) async fn fill(store: Store, url: &str, set: &Set) -> Filled {
    let team = accounts::ensure_team(&store, clock::new_id(), "acme").await.unwrap();
    let mut users = BTreeMap::new();
    for name in set.memories.iter().map(|memory| &memory.user).collect::<BTreeSet<_>>() {
        let identity = accounts::Identity { issuer: "local", subject: name, name, email: None };
        let user: UserId = accounts::ensure_user(&store, clock::new_id(), identity).await.unwrap();
        accounts::set_member(&store, team, user, Role::Member).await.unwrap();
        users.insert(name.clone(), user);
    }
    let mut ids = BTreeMap::new();
    let mut tx = store.team(team).await.unwrap();
    for memory in &set.memories {
        let id: MemoryId = clock::new_id();
        ids.insert(memory.id.clone(), id);
        memories::insert(&mut tx, team, &row(id, users[&memory.user], memory)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut owner = sqlx::PgConnection::connect(url).await.unwrap();
    for memory in &set.memories {
        let Some(by) = &memory.superseded_by else { continue };
        sqlx::query("UPDATE memories SET superseded_by = $2 WHERE id = $1")
            .bind(ids[&memory.id].0)
            .bind(ids[by].0)
            .execute(&mut owner)
            .await
            .unwrap();
    }
    owner.close().await.unwrap();
    Filled { store, team, users, names: ids.into_iter().map(|(name, id)| (id, name)).collect() }
}

fn row(id: MemoryId, user: UserId, memory: &SetMemory) -> Memory {
    let now = clock::now();
    Memory {
        id,
        team: None,
        user,
        text: memory.text.clone(),
        kind: memory.kind,
        scope: memory.scope,
        repository: memory.repository.clone(),
        state: memory.state.unwrap_or(MemoryState::Active),
        origin: MemoryOrigin::User,
        evidence: None,
        used: 0,
        helped: 0,
        hurt: 0,
        last_used_at: None,
        superseded_by: None,
        created_at: now,
        updated_at: now,
    }
}

/// The share of what was to be found that was among the first, over all requests and by their wording; and what was
/// found.
#[derive(Debug, Default)]
pub(crate) struct Scores {
    pub(crate) all: f64,
    pub(crate) by_wording: BTreeMap<String, f64>,
    pub(crate) missed: Vec<String>,
}

/// Recalls for every request. What is not to come is refused at once.
pub(crate) async fn evaluate(filled: &Filled, recall: &Recall, set: &Set) -> Scores {
    let memories: BTreeMap<&str, &SetMemory> = set.memories.iter().map(|memory| (memory.id.as_str(), memory)).collect();
    let (mut sums, mut scores) = (BTreeMap::<String, (f64, f64)>::new(), Scores::default());
    for request in &set.requests {
        let wanted = Wanted {
            team: filled.team,
            user: filled.users[&request.user],
            task: TaskId(clock::new_id()),
            repository: Some(&request.repository),
            request: &request.text,
            window_tokens: 128_000,
            on_default: true,
            file: &|_| None,
        };
        let recalled = recall.recall(&filled.store, wanted).await.unwrap();
        // Without its vector a request is found by its words.
        let vector = recalled.embeddings.as_ref().map(|used| used.outcome);
        assert!(vector.is_none_or(|outcome| outcome == EmbeddingOutcome::Used), "{vector:?} for {:?}", request.text);
        let found: Vec<&str> = recalled.memories.iter().map(|memory| filled.names[&memory.memory].as_str()).collect();
        for name in &found {
            let memory = memories[name];
            let own = memory.scope == MemoryScope::TeamRepository || memory.user == request.user;
            let here = memory.repository.as_ref().is_none_or(|repository| *repository == request.repository);
            let holds = memory.superseded_by.is_none() && memory.state.is_none();
            assert!(own && here && holds, "{name} came for {:?}", request.text);
        }
        let top = &found[..found.len().min(TOP)];
        let hits = request.expect.iter().filter(|name| top.contains(&name.as_str())).count();
        let share = hits as f64 / request.expect.len() as f64;
        for wording in [&request.wording, "all"] {
            let sum = sums.entry(wording.to_owned()).or_default();
            *sum = (sum.0 + share, sum.1 + 1.0);
        }
        if share < 1.0 {
            scores.missed.push(format!("{:?} wants {:?}, had {top:?}", request.text, request.expect));
        }
    }
    scores.by_wording = sums.into_iter().map(|(wording, (sum, count))| (wording, sum / count)).collect();
    scores.all = scores.by_wording.remove("all").unwrap_or_default();
    scores
}

/// A server of the vectors that the real model made of a set, for as long as `stop` is not cancelled.
pub(crate) async fn vectors(name: &str, stop: &CancellationToken) -> String {
    let file = fixtures().join(format!("{name}_vectors.json"));
    let vectors: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let script = json!({ "embeddings": { "vectors": vectors["vectors"] } });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(scripted::serve(Script::from_json(&script.to_string()).unwrap(), listener, stop.clone()));
    url
}

/// What asks the server at `url` for vectors.
pub(crate) fn embeddings(url: &str, model: &str) -> Embeddings {
    let embedder = Embedder {
        model: model.to_owned(),
        url: url.parse().unwrap(),
        key: None,
        dimensions: None,
        price_usd: 0.0,
        timeout: Duration::from_secs(60),
        retries: 2,
    };
    Embeddings::new(Client::new(ClientSettings::default()).unwrap(), embedder, Box::new(str::to_owned))
}

/// Gives every memory its vector.
pub(crate) async fn embed_all(store: &Store, embeddings: &Embeddings) {
    while !embeddings.round(store).await.unwrap().done {}
}
