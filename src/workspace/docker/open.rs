//! Makes containers, connects to the execd in them, ends them, and finds those that an earlier server
//! left.

use super::{
    container::{self, DOOR, EXECD_INSIDE, LABEL_INSTANCE, Shape, Users},
    engine::{Engine, EngineError},
    examine::{self, Examined},
    image::{self, Image},
    settings::DockerSettings,
};
use crate::workspace::{
    Capabilities, OpenSandbox, SandboxSettings, Workspace, WorkspaceError,
    backend::{Pipe, Reader, Started, complain, setup},
    roll::Roll,
};
use ::execd::message::Configure;
use bollard::{
    container::LogOutput,
    errors::Error,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    models::ContainerCreateBody,
    query_parameters::{
        AttachContainerOptions, CreateContainerOptions, InspectContainerOptions, ListContainersOptions,
        RemoveContainerOptions, StartContainerOptions,
    },
};
use futures::{Stream, TryStreamExt, future::ready};
use std::{
    collections::HashMap,
    fmt::Write as _,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Semaphore, oneshot},
    time::{Instant, sleep},
};
use tokio_util::io::StreamReader;

/// Containers that are being made at once: an engine takes them one after the other anyway.
const STARTS_MAX: usize = 8;
/// What the engine's client takes in at once.
const READ_BYTES: usize = 64 * 1024;
/// How long the removal of a container is waited for.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(10);
const REMOVAL_LOOK: Duration = Duration::from_millis(20);
/// Of the image's environment, what is another user's or another machine's.
const NOT_OURS: &[&str] = &["HOME", "HOSTNAME", "LOGNAME", "PWD", "TMPDIR", "USER"];
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// All containers of one service. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::workspace) struct Docker(Arc<Service>);

#[derive(Debug)]
struct Service {
    engine: Engine,
    /// With an execd that needs no library.
    settings: SandboxSettings,
    /// Marks the containers of this data directory.
    instance: String,
    roll: Roll,
    starts: Semaphore,
    /// As [`Shape::ownerless`], once that was found out.
    ownerless: AtomicBool,
    /// What was seen in a workspace of each image, by its name.
    examined: Mutex<HashMap<String, Arc<Examined>>>,
}

/// One container.
#[derive(Clone, Debug)]
pub(in crate::workspace) struct Container {
    engine: Engine,
    name: String,
    /// The user that the server's connections come as.
    server: u32,
}

impl Docker {
    /// `settings` with paths that are absolute, canonical and UTF-8. Asks the engine nothing.
    pub(in crate::workspace) fn new(
        settings: SandboxSettings,
        docker: DockerSettings,
        instance: &str,
        roll: Roll,
    ) -> Result<Self, WorkspaceError> {
        let execd = super::find_static(&settings.execd)?;
        Ok(Self(Arc::new(Service {
            engine: Engine::new(docker)?,
            settings: SandboxSettings { execd, ..settings },
            instance: instance.to_owned(),
            roll,
            starts: Semaphore::new(STARTS_MAX),
            ownerless: AtomicBool::new(false),
            examined: Mutex::default(),
        })))
    }

    /// Starts a container over a working copy, with what its execd is to be told first. Cancel safe.
    pub(in crate::workspace) async fn start(
        &self,
        open: OpenSandbox,
        owner: Option<(u32, u32)>,
    ) -> Result<(Started, Configure), WorkspaceError> {
        let this = self.clone();
        let (answer, receiver) = oneshot::channel();
        // Goes on by itself: what the engine has begun has to be ended by somebody.
        tokio::spawn(async move {
            if let Err(Ok((Started { body, ended, .. }, _))) = answer.send(this.make(&open, owner).await) {
                body.bury().await;
                let _ = ended.send(true);
            }
        });
        receiver.await.map_err(setup)?
    }

    async fn make(
        &self,
        open: &OpenSandbox,
        owner: Option<(u32, u32)>,
    ) -> Result<(Started, Configure), WorkspaceError> {
        let Service { engine, settings, instance, roll, starts, ownerless, .. } = &*self.0;
        let image_name = self.image_name(open.image.as_deref());
        let image = image::find(engine, image_name).await?;
        let users = Users::of(owner);
        let random = crate::clock::random_bytes::<4>().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let name = format!("journeyman-{}-{random}", open.task);
        let container = Container { engine: engine.clone(), name: name.clone(), server: users.server };
        let ended = roll.enter(open.task, name, None);
        let _turn = starts.acquire().await.map_err(setup)?;
        let begun = loop {
            let shape = Shape {
                instance,
                execd: &settings.execd,
                toolchains: &settings.toolchains,
                runtime: engine.settings.runtime.as_deref(),
                ownerless: ownerless.load(Ordering::Relaxed),
            };
            let body = container::body(&shape, open, &image, image_name, users);
            match engine.patiently(|| container.begin_or_nothing(&body)).await {
                Err(EngineError::Answered { message, .. })
                    if message.contains("unknown mount option") && !ownerless.swap(true, Ordering::Relaxed) => {}
                begun => break begun,
            }
        };
        let (pipe, complaint) = begun.map_err(|error| engine.explain(&error))?;
        let started = Started { pipe, body: container.into(), complaint: Some(complaint), ended };
        Ok((started, self.configure(open, &image)))
    }

    fn image_name<'a>(&'a self, wanted: Option<&'a str>) -> &'a str {
        wanted.unwrap_or(&self.0.engine.settings.image)
    }

    fn configure(&self, open: &OpenSandbox, image: &Image) -> Configure {
        let path = image.env.iter().find(|(name, _)| name == "PATH").map_or(PATH, |(_, path)| path);
        let toolchains = self.0.settings.toolchains.iter();
        let bins = toolchains.map(|toolchain| toolchain.join("bin").to_string_lossy().into_owned());
        let path = bins.chain([path.to_owned()]).collect::<Vec<_>>().join(":");
        let mut env = vec![("PATH".to_owned(), path)];
        let is_ours = |name: &str| name != "PATH" && !NOT_OURS.contains(&name);
        env.extend(image.env.iter().filter(|(name, _)| is_ours(name)).cloned());
        env.extend(open.env.iter().cloned());
        let bounded = self.seen(None).is_none_or(|examined| examined.bounds_memory());
        Configure {
            env,
            pids: Some(u64::from(open.limits.pids)),
            data_bytes: (!bounded).then_some(open.limits.memory_bytes),
            disk_bytes: open.limits.disk_bytes,
            output_bytes: open.limits.output_bytes,
        }
    }

    /// Removes containers that belong to no open workspace; how many.
    pub(in crate::workspace) async fn sweep(&self) -> Result<u32, WorkspaceError> {
        let Service { engine, instance, roll, .. } = &*self.0;
        let filters = HashMap::from([("label".to_owned(), vec![format!("{LABEL_INSTANCE}={instance}")])]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
        let listing = engine.ask(|docker| async move { docker.list_containers(Some(options)).await }).await;
        let listed = listing.map_err(|error| engine.explain(&error))?;
        let present = roll.present().names;
        let names = listed.into_iter().filter_map(|one| one.names?.into_iter().next());
        let mut removed = 0;
        for name in names.map(|name| name.trim_start_matches('/').to_owned()).filter(|name| !present.contains(name)) {
            let stray = Container { engine: engine.clone(), name, server: 0 };
            match stray.remove().await {
                Ok(()) => removed += 1,
                Err(error) => {
                    tracing::warn!(container = %stray.name, error = %error, "a container of an earlier server could not be removed");
                }
            }
        }
        Ok(removed)
    }

    /// Looks around in an open workspace whose working copy holds the file `mark` with that content
    /// alone.
    pub(in crate::workspace) async fn examine(
        &self,
        workspace: &Workspace,
        image: Option<&str>,
        mark: &str,
    ) -> Result<(), WorkspaceError> {
        let name = self.image_name(image);
        let engine = &self.0.engine;
        let info =
            engine.ask(|docker| async move { docker.info().await }).await.map_err(|error| engine.explain(&error))?;
        let examined = examine::examine(workspace, name, mark, &engine.settings, info).await?;
        self.examined().insert(name.to_owned(), Arc::new(examined));
        Ok(())
    }

    /// What was seen in a workspace of this image, if one was looked at.
    pub(in crate::workspace) fn seen(&self, image: Option<&str>) -> Option<Arc<Examined>> {
        self.examined().get(self.image_name(image)).cloned()
    }

    pub(in crate::workspace) fn capabilities(&self) -> Capabilities {
        self.seen(None).map(|examined| examined.capabilities.clone()).unwrap_or_default()
    }

    fn examined(&self) -> MutexGuard<'_, HashMap<String, Arc<Examined>>> {
        self.0.examined.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Container {
    async fn begin_or_nothing(&self, body: &ContainerCreateBody) -> Result<(Pipe, Reader), EngineError> {
        let begun = self.begin(body).await;
        if begun.is_err() {
            // What is left of the attempt goes now, or with the next sweep.
            let _ = self.remove().await;
        }
        begun
    }

    /// Makes and starts it; the stream to its execd, and what it complains of.
    async fn begin(&self, body: &ContainerCreateBody) -> Result<(Pipe, Reader), EngineError> {
        let Self { engine, name, .. } = self;
        let options = CreateContainerOptions { name: Some(name.clone()), ..CreateContainerOptions::default() };
        engine.ask(|docker| async move { docker.create_container(Some(options), body.clone()).await }).await?;
        let options = AttachContainerOptions { stream: true, stderr: true, ..AttachContainerOptions::default() };
        let attached = engine.ask(|docker| async move { docker.attach_container(name, Some(options)).await }).await?;
        let complaint = reader(attached.output, |output| match output {
            LogOutput::StdErr { message } => Some(message),
            _ => None,
        });
        engine.ask(|docker| async move { docker.start_container(name, None::<StartContainerOptions>).await }).await?;
        Ok((self.connect().await?, complaint))
    }

    async fn connect(&self) -> Result<Pipe, EngineError> {
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(vec![EXECD_INSIDE.to_owned(), "connect".to_owned(), DOOR.to_owned()]),
            user: Some(format!("{0}:{0}", self.server)),
            ..CreateExecOptions::default()
        };
        let options_of_start = StartExecOptions { output_capacity: Some(READ_BYTES), ..StartExecOptions::default() };
        let started = self.engine.ask(|docker| async move {
            let exec = docker.create_exec(&self.name, options).await?;
            docker.start_exec(&exec.id, Some(options_of_start)).await
        });
        match started.await? {
            StartExecResults::Attached { output, input } => {
                let name = self.name.clone();
                let reader = reader(output, move |output| match output {
                    LogOutput::StdOut { message } => Some(message),
                    other => {
                        tracing::debug!(container = %name, "execd connect says: {}", other.to_string().trim());
                        None
                    }
                });
                Ok(Pipe { reader, writer: Box::new(input) })
            }
            StartExecResults::Detached => Err(EngineError::Away("it did not attach".to_owned())),
        }
    }

    /// A new stream to the same execd; why there will be none any more.
    pub(in crate::workspace) async fn reconnect(&self) -> Result<Pipe, String> {
        let connected = self.engine.patiently(|| async move {
            match self.end().await? {
                Some(why) => Ok(Err(why)),
                None => self.connect().await.map(Ok),
            }
        });
        connected.await.unwrap_or_else(|error| Err(format!("the container engine {error}")))
    }

    /// Why it does not run any more; absent: it runs.
    async fn end(&self) -> Result<Option<String>, EngineError> {
        let inspecting = self
            .engine
            .ask(|docker| async move { docker.inspect_container(&self.name, None::<InspectContainerOptions>).await });
        let state = match inspecting.await {
            Ok(inspected) => inspected.state.unwrap_or_default(),
            Err(error) if error.is_status(404) => return Ok(Some("its container is no more".to_owned())),
            Err(error) => return Err(error),
        };
        if state.running == Some(true) {
            return Ok(None);
        }
        let why = if state.oom_killed == Some(true) { " for want of memory" } else { "" };
        Ok(Some(format!("its container ended{why} with exit code {}", state.exit_code.unwrap_or_default())))
    }

    /// Ends it with all that runs in it, and waits until it is gone.
    async fn remove(&self) -> Result<(), EngineError> {
        let until = Instant::now() + REMOVAL_PATIENCE;
        loop {
            let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
            let removing =
                self.engine.ask(|docker| async move { docker.remove_container(&self.name, Some(options)).await });
            match removing.await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_status(404) => return Ok(()),
                // It is being removed already, by itself.
                Err(error) if error.is_status(409) && Instant::now() < until => {}
                Err(error @ (EngineError::Away(_) | EngineError::Slow)) if Instant::now() < until => {
                    tracing::debug!(container = %self.name, error = %error, "a container cannot be removed yet");
                }
                Err(error) => return Err(error),
            }
            sleep(REMOVAL_LOOK).await;
        }
    }

    /// Ends it. Where the engine is away it is left to a sweep, and to execd, which ends when nobody comes.
    pub(in crate::workspace) async fn bury(self) {
        if let Err(error) = self.remove().await {
            tracing::warn!(container = %self.name, error = %error, "the container of a closed workspace could not be removed");
        }
    }
}

/// Why a workspace did not start, from what its execd said.
pub(in crate::workspace) fn explain(said: &str, why: &str) -> WorkspaceError {
    let said = said.lines().next().unwrap_or_default().trim_start_matches("execd: ");
    let mend = if said.contains("turned away") {
        "its runtime does not tell who connects to a socket (SO_PEERCRED), as some versions of gVisor do not: use another, by \
         JOURNEYMAN_DOCKER_RUNTIME"
    } else if said.contains("/workspace") {
        "the task's user must be able to enter its working copy: an engine that maps users (userns-remap, rootless) is of no \
         use here"
    } else {
        "see the engine's log, and run the image by hand (docker run --rm IMAGE)"
    };
    complain(said, why, mend)
}

/// Of what an engine sends, the bytes that are `wanted`.
fn reader(
    output: impl Stream<Item = Result<LogOutput, Error>> + Send + 'static,
    wanted: impl Fn(LogOutput) -> Option<bytes::Bytes> + Send + 'static,
) -> Reader {
    let bytes = output.map_err(io::Error::other).try_filter_map(move |output| ready(Ok(wanted(output))));
    Box::new(StreamReader::new(Box::pin(bytes)))
}
