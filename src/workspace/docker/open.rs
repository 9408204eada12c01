//! All containers of a service: makes them, looks around in them, and finds those that an earlier server
//! left.

use super::{
    container::{self, LABEL_COPY, LABEL_INSTANCE, LABEL_TASK, Shape, Users},
    engine::{Engine, EngineError},
    examine,
    examined::ExaminedImages,
    image::Image,
    images::Images,
    life::Container,
    settings::DockerSettings,
};
use crate::workspace::{
    OpenSandbox, SandboxSettings, Workspace, WorkspaceError,
    backend::{Started, complain, setup},
    directories,
    roll::Roll,
};
use ::execd::message::{Configure, PROOF_BYTES, proof_digest};
use bollard::query_parameters::ListContainersOptions;
use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{Semaphore, oneshot};

/// Containers that are being made at once: an engine takes them one after the other anyway.
const STARTS_MAX: usize = 8;
/// Of the image's environment, what is another user's or another machine's.
const NOT_OURS: &[&str] = &["HOME", "HOSTNAME", "LOGNAME", "PWD", "TMPDIR", "USER"];
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A container that was started, with what its execd is to be told first.
type Made = Result<(Started, Configure), WorkspaceError>;

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
    /// Each task has a user of its own; else all have the service's.
    own_users: bool,
    starts: Semaphore,
    images: Images,
    /// The engine was looked at.
    vetted: AtomicBool,
    /// As [`Shape::ownerless`], once that was found out.
    ownerless: AtomicBool,
    examined: ExaminedImages,
}

impl Docker {
    /// `settings` with paths that are absolute, canonical and UTF-8. Asks the engine nothing.
    pub(in crate::workspace) fn new(
        settings: SandboxSettings,
        docker: DockerSettings,
        instance: &str,
        own_users: bool,
        roll: Roll,
    ) -> Result<Self, WorkspaceError> {
        let execd = super::find_static(&settings.execd)?;
        let examined = ExaminedImages::new(&docker.image);
        Ok(Self(Arc::new(Service {
            engine: Engine::new(docker)?,
            settings: SandboxSettings { execd, ..settings },
            instance: instance.to_owned(),
            roll,
            own_users,
            starts: Semaphore::new(STARTS_MAX),
            images: Images::new(),
            vetted: AtomicBool::new(false),
            ownerless: AtomicBool::new(false),
            examined,
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
            let made = this.make(&open, owner, &answer).await;
            if let Err(Ok((Started { body, ended, .. }, _))) = answer.send(made) {
                body.bury().await;
                let _ = ended.send(true);
            }
        });
        receiver.await.map_err(setup)?
    }

    /// `answer`: where it goes; once nobody waits there, no container is begun.
    async fn make(&self, open: &OpenSandbox, owner: Option<(u32, u32)>, answer: &oneshot::Sender<Made>) -> Made {
        let Service { engine, settings, instance, roll, starts, images, ownerless, .. } = &*self.0;
        let image_name = self.0.examined.name(open.image.as_deref());
        self.vet().await?;
        let (image, ()) = tokio::try_join!(images.find(engine, open.image.as_deref()), self.vacate(open))?;
        let users = Users::of(owner);
        let random = crate::clock::random_bytes::<4>().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let name = format!("journeyman-{}-{random}", open.task);
        let proof: [u8; PROOF_BYTES] = crate::clock::random_bytes();
        let digest = proof_digest(&proof);
        let container =
            Container { engine: engine.clone(), name: name.clone(), server: users.server, proof, roll: roll.clone() };
        let ended = roll.enter(open.task, name, None);
        let _turn = starts.acquire().await.map_err(setup)?;
        // Whoever gave it up looks in the roll what is left of it.
        if answer.is_closed() {
            return Err(WorkspaceError::Gone { why: "nobody waits for it".to_owned() });
        }
        let begun = loop {
            let shape = Shape {
                instance,
                execd: &settings.execd,
                toolchains: &settings.toolchains,
                runtime: engine.settings.runtime.as_deref(),
                ownerless: ownerless.load(Ordering::Relaxed),
            };
            let body = container::body(&shape, open, &image, image_name, users, &digest);
            match engine.patiently(|| container.begin_or_nothing(&body, &image)).await {
                Err(EngineError::Answered { message, .. })
                    if message.contains("unknown mount option") && !ownerless.swap(true, Ordering::Relaxed) => {}
                begun => break begun,
            }
        };
        let (pipe, complaint) = begun.map_err(|error| engine.explain(&error))?;
        let started = Started { pipe, body: container.into(), complaint: Some(complaint), ended };
        Ok((started, self.configure(open, &image, users.own)))
    }

    /// Which image of this name the engine has at the moment.
    pub(in crate::workspace) async fn image_id(&self, image: Option<&str>) -> Result<String, WorkspaceError> {
        self.0.images.id(&self.0.engine, image).await
    }

    /// Looks, once, whether the engine gives users other numbers than this machine does: what a task makes would
    /// belong to nobody here, and most users could not even be.
    async fn vet(&self) -> Result<(), WorkspaceError> {
        let Service { engine, vetted, .. } = &*self.0;
        if vetted.load(Ordering::Relaxed) {
            return Ok(());
        }
        let asking = engine.patiently(|| engine.ask(|docker| async move { docker.info().await }));
        let info = asking.await.map_err(|error| engine.explain(&error))?;
        let options = info.security_options.unwrap_or_default();
        let maps = |option: &&String| ["name=userns", "name=rootless"].iter().any(|name| option.starts_with(name));
        if let Some(option) = options.iter().find(maps) {
            let option = option.trim_start_matches("name=");
            return Err(WorkspaceError::Setup {
                what: format!("the container engine at {} maps users ({option})", engine.settings.address),
                mend: "use one that does not: without userns-remap, and as root. Working copies are files of this machine, \
                       which belong to their task's own uid"
                    .to_owned(),
            });
        }
        vetted.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn configure(&self, open: &OpenSandbox, image: &Image, own_user: bool) -> Configure {
        let path = image.env.iter().find(|(name, _)| name == "PATH").map_or(PATH, |(_, path)| path);
        let toolchains = self.0.settings.toolchains.iter();
        let bins = toolchains.map(|toolchain| toolchain.join("bin").to_string_lossy().into_owned());
        let path = bins.chain([path.to_owned()]).collect::<Vec<_>>().join(":");
        let mut env = vec![("PATH".to_owned(), path)];
        let is_ours = |name: &str| name != "PATH" && !NOT_OURS.contains(&name);
        env.extend(image.env.iter().filter(|(name, _)| is_ours(name)).cloned());
        env.extend(open.env.iter().cloned());
        let bounded = self.0.examined.bounds_memory();
        Configure {
            env,
            // By user: where that is everybody's, one task would take what another needs.
            pids: own_user.then_some(u64::from(open.limits.pids)),
            processes: u64::from(open.limits.pids),
            data_bytes: (!bounded).then_some(open.limits.memory_bytes),
            disk_bytes: open.limits.disk_bytes,
            output_bytes: open.limits.output_bytes,
            heartbeat_ms: None,
        }
    }

    /// Removes containers that belong to no open workspace; how many.
    pub(in crate::workspace) async fn sweep(&self) -> Result<u32, WorkspaceError> {
        let mut removed = 0;
        let listing = self.strays(&[]).await;
        for stray in listing.map_err(|error| self.0.engine.explain(&error))? {
            match stray.remove().await {
                Ok(()) => removed += 1,
                Err(error) => {
                    tracing::warn!(container = %stray.name, error = %error, "a container of an earlier server could not be removed");
                }
            }
        }
        Ok(removed)
    }

    /// Ends what may still run over a working copy that is about to be somebody else's: a closed workspace
    /// that the engine did not end, or one whose start was given up.
    async fn vacate(&self, open: &OpenSandbox) -> Result<(), WorkspaceError> {
        let engine = &self.0.engine;
        let labels = [(LABEL_TASK, open.task.to_string()), (LABEL_COPY, container::copy_label(&open.copy))];
        let mut strays = engine.patiently(|| self.strays(&labels)).await.map_err(|error| engine.explain(&error))?;
        // One that was ready before its task came has another's name.
        if let Some(place) = directories::before(&self.0.settings.data_dir, open.task) {
            let labels = [(LABEL_TASK, place.to_string())];
            let more = engine.patiently(|| self.strays(&labels)).await;
            strays.extend(more.map_err(|error| engine.explain(&error))?);
        }
        for stray in strays {
            stray.remove().await.map_err(|error| WorkspaceError::Setup {
                what: format!(
                    "an earlier container of this working copy, {}, may still run: the container engine at {} {error}",
                    stray.name, engine.settings.address
                ),
                mend: "see the engine's log".to_owned(),
            })?;
        }
        Ok(())
    }

    /// Containers of this service that belong to no open workspace, of those with these labels.
    async fn strays(&self, labels: &[(&str, String)]) -> Result<Vec<Container>, EngineError> {
        let Service { engine, instance, roll, .. } = &*self.0;
        let mut wanted = vec![format!("{LABEL_INSTANCE}={instance}")];
        wanted.extend(labels.iter().map(|(label, value)| format!("{label}={value}")));
        let filters = HashMap::from([("label".to_owned(), wanted)]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
        let listed = engine.ask(|docker| async move { docker.list_containers(Some(options)).await }).await?;
        let present = roll.present();
        let names = listed.into_iter().filter_map(|one| one.names?.into_iter().next());
        let names = names.map(|name| name.trim_start_matches('/').to_owned());
        let strays = names.filter(|name| !present.names.contains(name));
        let of =
            |name| Container { engine: engine.clone(), name, server: 0, proof: [0; PROOF_BYTES], roll: roll.clone() };
        Ok(strays.map(of).collect())
    }

    /// Looks around in an open workspace whose working copy holds the file `mark` with that content
    /// alone.
    pub(in crate::workspace) async fn examine(
        &self,
        workspace: &Workspace,
        image: Option<&str>,
        mark: &str,
    ) -> Result<(), WorkspaceError> {
        let name = self.0.examined.name(image);
        let Service { engine, own_users, .. } = &*self.0;
        let info =
            engine.ask(|docker| async move { docker.info().await }).await.map_err(|error| engine.explain(&error))?;
        let examined = examine::examine(workspace, name, mark, &engine.settings, info, *own_users).await?;
        self.0.examined.insert(image, examined);
        Ok(())
    }

    /// What was seen in workspaces, by their images.
    pub(in crate::workspace) fn examined(&self) -> &ExaminedImages {
        &self.0.examined
    }
}

/// Why a workspace did not start, from what its execd said.
pub(in crate::workspace) fn explain(said: &str, why: &str) -> WorkspaceError {
    let said = said.lines().next().unwrap_or_default().trim_start_matches("execd: ");
    let mend = if said.contains("turned away") {
        "its runtime tells wrongly who connects to a socket (SO_PEERCRED): use another, by JOURNEYMAN_DOCKER_RUNTIME"
    } else if said.contains("/workspace") {
        "the task's user must be able to enter its working copy: an engine that maps users (userns-remap, rootless) is of no \
         use here"
    } else {
        "see the engine's log, and run the image by hand (docker run --rm IMAGE)"
    };
    complain(said, why, mend)
}
