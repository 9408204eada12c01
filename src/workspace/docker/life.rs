//! One container: made, started, connected to, and ended with all that runs in it.

use super::{
    container::{DOOR, EXECD_INSIDE},
    engine::{Engine, EngineError},
    image::Image,
};
use crate::workspace::{
    backend::{Pipe, Reader},
    roll::Roll,
};
use ::execd::message::PROOF_BYTES;
use bollard::{
    container::LogOutput,
    errors::Error,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    models::ContainerCreateBody,
    query_parameters::{
        AttachContainerOptions, CreateContainerOptions, InspectContainerOptions, RemoveContainerOptions,
        StartContainerOptions,
    },
};
use futures::{Stream, TryStreamExt, future::ready};
use std::{io, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::io::StreamReader;

/// What the engine's client takes in at once.
const READ_BYTES: usize = 64 * 1024;
/// How long the removal of a container is waited for.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(10);
const REMOVAL_LOOK: Duration = Duration::from_millis(20);
/// How long, and how often, an engine that does not remove a container is asked again.
const BURY_TIME: Duration = Duration::from_secs(3600);
const BURY_AGAIN: Duration = Duration::from_secs(2);

/// One container.
#[derive(Clone, Debug)]
pub(in crate::workspace) struct Container {
    pub(super) engine: Engine,
    pub(super) name: String,
    /// The user that the server's connections come as.
    pub(super) server: u32,
    /// What the server says first to its execd.
    pub(super) proof: [u8; PROOF_BYTES],
    pub(super) roll: Roll,
}

impl Container {
    pub(super) async fn begin_or_nothing(
        &self,
        body: &ContainerCreateBody,
        image: &Image,
    ) -> Result<(Pipe, Reader), EngineError> {
        let begun = self.begin(body, image).await;
        if begun.is_err() {
            // What is left of the attempt goes now, or with the next sweep.
            let _ = self.remove().await;
        }
        begun
    }

    /// Makes and starts it; the stream to its execd, and what it complains of.
    async fn begin(&self, body: &ContainerCreateBody, image: &Image) -> Result<(Pipe, Reader), EngineError> {
        let Self { engine, name, .. } = self;
        let options = CreateContainerOptions { name: Some(name.clone()), ..CreateContainerOptions::default() };
        engine.ask(|docker| async move { docker.create_container(Some(options), body.clone()).await }).await?;
        if !image.volumes.is_empty() {
            self.has_no_volume().await?;
        }
        let options = AttachContainerOptions { stream: true, stderr: true, ..AttachContainerOptions::default() };
        let attached = engine.ask(|docker| async move { docker.attach_container(name, Some(options)).await }).await?;
        let complaint = reader(attached.output, |output| match output {
            LogOutput::StdErr { message } => Some(message),
            _ => None,
        });
        engine.ask(|docker| async move { docker.start_container(name, None::<StartContainerOptions>).await }).await?;
        Ok((self.connect().await?, complaint))
    }

    /// An engine that makes a volume all the same has read the image otherwise than we have.
    async fn has_no_volume(&self) -> Result<(), EngineError> {
        let inspecting = self
            .engine
            .ask(|docker| async move { docker.inspect_container(&self.name, None::<InspectContainerOptions>).await });
        let mounts = inspecting.await?.mounts.unwrap_or_default();
        match mounts.into_iter().find(|mount| mount.typ.as_deref() == Some("volume")) {
            Some(volume) => Err(EngineError::Volume(volume.destination.unwrap_or_default())),
            None => Ok(()),
        }
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
            StartExecResults::Attached { output, mut input } => {
                let proving = timeout(self.engine.settings.answer_time, input.write_all(&self.proof)).await;
                proving.map_err(|_| EngineError::Slow)?.map_err(|error| EngineError::Away(error.to_string()))?;
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
    pub(super) async fn remove(&self) -> Result<(), EngineError> {
        let until = Instant::now() + REMOVAL_PATIENCE;
        loop {
            let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
            let removing =
                self.engine.ask(|docker| async move { docker.remove_container(&self.name, Some(options)).await });
            match timeout_at(until, removing).await.unwrap_or(Err(EngineError::Slow)) {
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

    /// Ends it, however long the engine takes: meanwhile it may run, and the roll says so. What is left after
    /// that is a sweep's, and execd's, which ends when nobody comes.
    pub(in crate::workspace) async fn bury(self) {
        self.roll.end(&self.name);
        let until = Instant::now() + BURY_TIME;
        while let Err(error) = self.remove().await {
            tracing::warn!(container = %self.name, error = %error, "the container of a closed workspace is not removed and may still run");
            if Instant::now() >= until {
                return;
            }
            sleep(BURY_AGAIN).await;
        }
    }
}

/// Of what an engine sends, the bytes that are `wanted`.
fn reader(
    output: impl Stream<Item = Result<LogOutput, Error>> + Send + 'static,
    wanted: impl Fn(LogOutput) -> Option<bytes::Bytes> + Send + 'static,
) -> Reader {
    let bytes = output.map_err(io::Error::other).try_filter_map(move |output| ready(Ok(wanted(output))));
    Box::new(StreamReader::new(Box::pin(bytes)))
}
