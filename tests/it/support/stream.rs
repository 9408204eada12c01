//! Server-sent events as a browser sees them, and watchers who come and go.

use super::service::Api;
use futures::StreamExt;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;
use std::time::Duration;
use tokio::sync::watch;

/// How long a watcher follows one task.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two tries to reach a server that is away.
const AGAIN: Duration = Duration::from_millis(50);

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) id: Option<i64>,
    pub(crate) event: String,
    pub(crate) data: Value,
}

impl Seen {
    /// Whether it says that the task's run has ended.
    pub(crate) fn is_end(&self) -> bool {
        self.event == "task.status"
            && matches!(self.data["data"]["status"].as_str(), Some("succeeded" | "failed" | "cancelled"))
    }
}

/// One connection.
pub(crate) struct Stream {
    body: futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: Vec<u8>,
}

impl Stream {
    pub(crate) fn of(answer: reqwest::Response) -> Self {
        Self { body: answer.bytes_stream().boxed(), buffer: Vec::new() }
    }

    /// The events of a task after a seq; the status where there is no stream.
    pub(crate) async fn open(api: &Api, task: &str, after: Option<i64>) -> reqwest::Result<Result<Self, u16>> {
        let mut request = api
            .http
            .get(format!("{}/v1/tasks/{task}/events", api.base))
            .bearer_auth(&api.key)
            .header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        Ok(if status == 200 { Ok(Self::of(answer)) } else { Err(status) })
    }

    /// The next event; none once the stream has closed or broken.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let frame: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(seen) = parse(std::str::from_utf8(&frame).unwrap()) {
                    return Some(seen);
                }
                continue;
            }
            let piece = tokio::time::timeout(Duration::from_secs(30), self.body.next()).await.expect("news in time")?;
            self.buffer.extend_from_slice(&piece.ok()?);
        }
    }

    pub(crate) async fn rest(mut self) -> Vec<Seen> {
        let mut all = Vec::new();
        while let Some(seen) = self.next().await {
            all.push(seen);
        }
        all
    }
}

fn parse(frame: &str) -> Option<Seen> {
    let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some(Seen {
        id: field("id:").map(|id| id.parse().unwrap()),
        event: field("event:")?.to_owned(),
        data: serde_json::from_str(field("data:")?).unwrap(),
    })
}

/// Where the random numbers of a test begin: told where it fails, and taken from
/// `JOURNEYMAN_TEST_SEED` where that is set.
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    pub(crate) fn new() -> Self {
        let given = std::env::var("JOURNEYMAN_TEST_SEED").ok();
        Self(given.map_or_else(rand::random, |seed| seed.parse().unwrap()))
    }

    pub(crate) fn random(&self, stream: u64) -> StdRng {
        StdRng::seed_from_u64(self.0 ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

#[expect(clippy::print_stderr, reason = "the harness shows it with the test that failed")]
impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was with JOURNEYMAN_TEST_SEED={}", self.0);
        }
    }
}

/// Follows one task until its end, breaks off at random places and comes back with the id of the
/// last event that it has seen whole.
pub(crate) struct Watcher {
    /// The server's address, which changes when it is started again.
    pub(crate) base: watch::Receiver<String>,
    pub(crate) key: String,
    pub(crate) task: String,
    pub(crate) random: StdRng,
}

/// What a watcher has seen.
pub(crate) struct Watched {
    /// The stored events, in the order in which they came.
    pub(crate) events: Vec<Value>,
    /// The live pieces, likewise.
    pub(crate) pieces: Vec<Seen>,
    pub(crate) connections: u32,
}

impl Watcher {
    pub(crate) async fn watch(self) -> Watched {
        let task = self.task.clone();
        tokio::time::timeout(PATIENCE, self.follow()).await.unwrap_or_else(|_| panic!("{task} does not end"))
    }

    async fn follow(mut self) -> Watched {
        let mut watched = Watched { events: Vec::new(), pieces: Vec::new(), connections: 0 };
        let mut last = None;
        // One client: to make one costs more than all else here.
        let mut api = Api { base: String::new(), key: self.key.clone(), http: reqwest::Client::new() };
        loop {
            api.base.clone_from(&self.base.borrow_and_update());
            let mut stream = match Stream::open(&api, &self.task, last).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(status)) => panic!("{status} instead of a stream"),
                // Killed, and not started again yet.
                Err(_) => {
                    let _ = tokio::time::timeout(AGAIN, self.base.changed()).await;
                    continue;
                }
            };
            watched.connections += 1;
            let (most, span) = (self.random.random_range(1..16), self.random.random_range(5..700));
            let breaks_off = tokio::time::sleep(Duration::from_millis(span));
            tokio::pin!(breaks_off);
            for _ in 0..most {
                let seen = tokio::select! {
                    seen = stream.next() => seen,
                    () = &mut breaks_off => None,
                };
                let Some(seen) = seen else { break };
                match seen.id {
                    Some(id) => last = Some(id),
                    None => {
                        watched.pieces.push(seen);
                        continue;
                    }
                }
                let ended = seen.is_end();
                watched.events.push(seen.data);
                if ended {
                    assert_eq!(stream.next().await, None, "nothing comes after the end");
                    return watched;
                }
            }
        }
    }
}

/// Asserts that these are a log from its first event to its last.
pub(crate) fn assert_whole(seen: &[Value], log: &[Value], what: &str) {
    let seqs = |events: &[Value]| events.iter().map(|e| e["seq"].as_i64().unwrap()).collect::<Vec<_>>();
    assert_eq!(seqs(log), (1..=log.len() as i64).collect::<Vec<_>>(), "the log has gaps: {what}");
    assert_eq!(seqs(seen), seqs(log), "{what}");
    for (seen, event) in seen.iter().zip(log) {
        assert_eq!(seen, event, "the stream tells it otherwise than the log: {what}");
    }
}
