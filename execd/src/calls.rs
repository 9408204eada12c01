//! What is done for each call: at once, by a command, or on a thread.

use crate::{
    apply,
    connection::{Connection, refused},
    disk::Disk,
    files, list,
    relay::Relays,
    run::Runs,
    search,
    walk::Walker,
    worker::{Cancelled, Finished, Given, Workers},
};
use execd::message::{Answer, Command, Configure, Failure, Request, RunOutcome};
use std::{
    collections::{HashMap, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

/// Whatever the server says, it is asked for signs of life no more and no less often.
const BEAT_MS_MIN: u64 = 100;
const BEAT_MS_MAX: u64 = 600_000;

/// The whole state of a workspace, but for its connection.
#[derive(Debug)]
pub(crate) struct Calls {
    root: PathBuf,
    /// What every command gets beneath what the server says.
    environment: Vec<(String, String)>,
    configure: Configure,
    configured: bool,
    pub(crate) runs: Runs,
    pub(crate) relays: Relays,
    pub(crate) workers: Workers,
    /// Of the calls that are on a thread.
    threaded: HashMap<u32, Threaded>,
    /// Changes that an earlier connection asked for and that may be under way.
    unsettled: Vec<Cancelled>,
    /// What this connection asked for meanwhile.
    waiting: VecDeque<Waiting>,
    walker: Arc<Mutex<Walker>>,
    /// Held for writing by an `apply`, so that no walk or search sees half of it.
    changes: Arc<RwLock<()>>,
    disk: Disk,
}

#[derive(Debug)]
struct Threaded {
    cancelled: Cancelled,
    /// It changes files.
    changes: bool,
}

/// A request that has to come after what was before it.
#[derive(Debug)]
struct Waiting {
    stream: u32,
    json: Vec<u8>,
    attached: Vec<u8>,
}

impl Calls {
    pub(crate) fn new(root: &Path, environment: Vec<(String, String)>) -> io::Result<Self> {
        Ok(Self {
            root: root.to_owned(),
            environment,
            configure: Configure::default(),
            configured: false,
            runs: Runs::default(),
            relays: Relays::default(),
            workers: Workers::start()?,
            threaded: HashMap::new(),
            unsettled: Vec::new(),
            waiting: VecDeque::new(),
            walker: Arc::new(Mutex::new(Walker::new(root))),
            changes: Arc::default(),
            disk: Disk::new(root, u64::MAX),
        })
    }

    pub(crate) fn output_limit_bytes(&self) -> u64 {
        self.configure.output_bytes
    }

    /// How often the server is to be asked whether it is there, as it has said itself.
    pub(crate) fn beat(&self) -> Option<Duration> {
        self.configure.heartbeat_ms.map(|beat_ms| Duration::from_millis(beat_ms.clamp(BEAT_MS_MIN, BEAT_MS_MAX)))
    }

    /// Takes a request up once nothing is changed any more that an earlier connection asked for: whoever comes
    /// back finds the files as they will stay. A connection has no more of them than calls.
    pub(crate) fn request(&mut self, stream: u32, json: Vec<u8>, attached: Vec<u8>, connection: &mut Connection) {
        if self.unsettled.is_empty() {
            self.take_up(Waiting { stream, json, attached }, connection);
        } else {
            self.waiting.push_back(Waiting { stream, json, attached });
        }
    }

    fn take_up(&mut self, Waiting { stream, json, attached }: Waiting, connection: &mut Connection) {
        let result = match serde_json::from_slice(&json) {
            Ok(request) => self.begin(stream, request, attached, connection),
            Err(error) => Err(refused(format!("not a request: {error}"))),
        };
        match result {
            Ok(None) => {}
            Ok(Some(answer)) => connection.answer(stream, Ok(answer)),
            Err(failure) => connection.answer(stream, Err(failure)),
        }
    }

    /// `None`: the answer comes later.
    fn begin(
        &mut self,
        stream: u32,
        request: Request,
        attached: Vec<u8>,
        connection: &mut Connection,
    ) -> Result<Option<Answer>, Failure> {
        if !self.configured && !matches!(request, Request::Configure(_)) {
            return Err(refused("configure comes first"));
        }
        let root = self.root.clone();
        let changes = Arc::clone(&self.changes);
        match request {
            Request::Configure(mut configure) => {
                self.disk = Disk::new(&self.root, configure.disk_bytes);
                configure.env.splice(..0, self.environment.iter().cloned());
                self.configure = configure;
                self.configured = true;
                connection.beats(self.beat());
                return Ok(Some(Answer::Configured));
            }
            Request::Run(command) => self.runs.run(stream, &command, &self.configure, &self.root)?,
            Request::Start(command) => {
                let process = self.runs.start(&command, &self.configure, &self.root, None)?;
                return Ok(Some(Answer::Started { process }));
            }
            Request::Connect(command) => return self.connect(&command, connection).map(Some),
            Request::WriteStdin { process, wait_ms } => self.runs.write_stdin(stream, process, &attached, wait_ms)?,
            Request::Kill { process } => return self.runs.kill(process).map(Some),
            Request::Listen { port } => return self.relays.listen(port).map(Some),
            Request::Read { path, max_bytes, entry: false } => {
                self.thread(stream, move |_| files::read(&root, &path, max_bytes));
            }
            Request::Read { path, max_bytes, entry: true } => {
                self.thread(stream, move |_| files::read_entry(&root, &path, max_bytes));
            }
            Request::Apply { changes: asked } => {
                let cancelled = self.workers.call(stream, move |cancelled| {
                    let _held = changes.write().unwrap_or_else(PoisonError::into_inner);
                    cancelled.check()?;
                    apply::apply(&root, &asked, &attached).map(|()| (Vec::new(), Answer::Applied))
                });
                self.threaded.insert(stream, Threaded { cancelled, changes: true });
            }
            Request::Search { pattern, path, glob, limit } => self.thread(stream, move |cancelled| {
                let _held = changes.read().unwrap_or_else(PoisonError::into_inner);
                search::search(&root, &pattern, path.as_deref(), glob.as_deref(), limit, cancelled)
            }),
            Request::List { path, depth, glob, limit } => self.thread(stream, move |cancelled| {
                let _held = changes.read().unwrap_or_else(PoisonError::into_inner);
                list::list(&root, path.as_deref(), depth, glob.as_deref(), limit, cancelled)
            }),
            Request::LaidOut { mtime_seconds, before_ns } => {
                let walker = Arc::clone(&self.walker);
                self.thread(stream, move |_| {
                    let mut walker = walker.lock().unwrap_or_else(PoisonError::into_inner);
                    walker.laid_out(mtime_seconds, before_ns, &attached).map(|()| (Vec::new(), Answer::Noted))
                });
            }
            Request::Walk { since, tracked } => {
                let walker = Arc::clone(&self.walker);
                self.thread(stream, move |cancelled| {
                    let _held = changes.read().unwrap_or_else(PoisonError::into_inner);
                    let mut walker = walker.lock().unwrap_or_else(PoisonError::into_inner);
                    if tracked {
                        walker.track(&attached)?;
                    }
                    walker.walk(since, cancelled)
                });
            }
        }
        Ok(None)
    }

    /// Starts a process whose stdin and stdout are a stream to the server.
    fn connect(&mut self, command: &Command, connection: &mut Connection) -> Result<Answer, Failure> {
        let (own, theirs) = crate::relay::pair()?;
        let process = self.runs.start(command, &self.configure, &self.root, Some(&theirs))?;
        let stream = self.relays.carry(own, connection);
        Ok(Answer::Connected { process, stream })
    }

    fn thread(&mut self, stream: u32, work: impl FnOnce(&Cancelled) -> Given + Send + 'static) {
        let cancelled = self.workers.call(stream, work);
        self.threaded.insert(stream, Threaded { cancelled, changes: false });
    }

    pub(crate) fn cancel(&mut self, stream: u32, connection: &mut Connection) {
        self.runs.cancel(stream, connection);
        self.relays.cancel(stream, connection);
        if let Some(threaded) = self.threaded.get(&stream) {
            threaded.cancelled.set();
        }
        self.waiting.retain(|waiting| {
            if waiting.stream == stream {
                connection.answer(stream, Err(refused("the call was given up")));
            }
            waiting.stream != stream
        });
    }

    /// The server is gone: ends what it waited for. What runs in the background stays, and ports stay
    /// open.
    pub(crate) fn disconnect(&mut self) {
        self.runs.disconnect();
        self.relays.disconnect();
        self.waiting.clear();
        for Threaded { cancelled, changes } in std::mem::take(&mut self.threaded).into_values() {
            cancelled.set();
            if changes {
                self.unsettled.push(cancelled);
            }
        }
    }

    /// Takes what the threads have done.
    pub(crate) fn collect(&mut self, connection: &mut Connection) {
        for finished in self.workers.finished() {
            match finished {
                Finished::Call { stream, cancelled, given } => {
                    // One of an earlier connection is nobody's, though a later one may have its number.
                    if !self.threaded.get(&stream).is_some_and(|known| known.cancelled.is(&cancelled)) {
                        self.unsettled.retain(|known| !known.is(&cancelled));
                        continue;
                    }
                    self.threaded.remove(&stream);
                    let result = given.map(|(data, answer)| {
                        connection.data(stream, &data);
                        answer
                    });
                    connection.answer(stream, result);
                }
                Finished::Measured(measure) => {
                    if self.disk.measured(Instant::now(), measure) {
                        self.runs.kill_all(RunOutcome::DiskLimit);
                    }
                }
            }
        }
        while self.unsettled.is_empty()
            && let Some(waiting) = self.waiting.pop_front()
        {
            self.take_up(waiting, connection);
        }
    }

    /// Called whenever something has happened.
    pub(crate) fn look_at_disk(&mut self, now: Instant) {
        if let Some(root) = self.disk.due(now, !self.runs.is_anything_alive()) {
            let server = self.runs.server();
            self.workers.measure(move || crate::disk::measure(&root, server));
        }
    }
}
