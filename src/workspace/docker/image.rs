//! One image: what is a name, whether the engine has it, and what of it counts.

use super::engine::{Engine, EngineError};
use crate::workspace::{WorkspaceError, calls::WORKSPACE};
use bollard::{errors::Error, models::ImageInspect, query_parameters::CreateImageOptions};
use futures::StreamExt;
use std::time::Duration;
use tokio::time::timeout;

/// From the first byte to the last.
const PULL_TIME: Duration = Duration::from_secs(900);
/// Directories that an image may want volumes for.
const VOLUMES_MAX: usize = 16;

/// What of an image shapes a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// By content.
    pub(super) id: String,
    pub(super) env: Vec<(String, String)>,
    /// Directories that it wants volumes for: absolute and in their shortest form, once [`Self::plain`] has passed.
    pub(super) volumes: Vec<String>,
}

/// The content that a name stands for now. Fetches nothing and waits for no engine.
pub(super) async fn id(engine: &Engine, name: &str) -> Result<String, EngineError> {
    let inspected = engine.ask(|docker| async move { docker.inspect_image(name).await }).await;
    inspected.map(|inspected| Image::of(inspected).id)
}

pub(super) async fn inspect(engine: &Engine, name: &str) -> Result<Image, EngineError> {
    let look = || engine.ask(|docker| async move { docker.inspect_image(name).await });
    engine.patiently(look).await.map(Image::of)
}

pub(super) async fn pull(engine: &Engine, name: &str) -> Result<(), EngineError> {
    let docker = engine.ask(|docker| async move { Ok(docker) }).await?;
    // Without a tag the engine would fetch every one there is.
    let tagged = name.contains('@') || name.rsplit('/').next().is_some_and(|last| last.contains(':'));
    let options = CreateImageOptions {
        from_image: Some(name.to_owned()),
        tag: (!tagged).then(|| "latest".to_owned()),
        ..CreateImageOptions::default()
    };
    let pulling = async {
        let mut progress = docker.create_image(Some(options), None, None);
        while let Some(step) = progress.next().await {
            let step = step?;
            if let Some(message) = step.error_detail.and_then(|detail| detail.message) {
                return Err(Error::DockerStreamError { error: message });
            }
        }
        Ok(())
    };
    timeout(PULL_TIME, pulling).await.map_or(Err(EngineError::Slow), |pulled| pulled.map_err(EngineError::from))
}

impl Image {
    fn of(inspected: ImageInspect) -> Self {
        let config = inspected.config.unwrap_or_default();
        let pair = |line: String| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            id: inspected.id.unwrap_or_default(),
            env: config.env.unwrap_or_default().into_iter().filter_map(pair).collect(),
            volumes: config.volumes.unwrap_or_default(),
        }
    }

    /// With volumes that something of ours can take the place of. Engines make directories of the host, without any
    /// limit, of those that they read otherwise than we do.
    pub(super) fn plain(self, shown: &str) -> Result<Self, WorkspaceError> {
        let refused = |why: String| WorkspaceError::Refused {
            why: format!("the image \"{shown}\" {why}: have it declare none (VOLUME), or choose another"),
        };
        if self.volumes.len() > VOLUMES_MAX {
            return Err(refused(format!("wants {} volumes, of which {VOLUMES_MAX} are allowed", self.volumes.len())));
        }
        let plain = |path: &String| shortest(path).ok_or_else(|| refused(format!("wants a volume at \"{path}\"")));
        let mut volumes = self.volumes.iter().map(plain).collect::<Result<Vec<_>, _>>()?;
        volumes.sort();
        volumes.dedup();
        Ok(Self { volumes, ..self })
    }
}

/// The path without what says nothing, if it is absolute, climbs nowhere, and is neither the root nor in the
/// working copy.
fn shortest(path: &str) -> Option<String> {
    let parts = path.strip_prefix('/')?.split('/').filter(|part| !part.is_empty() && *part != ".");
    let path = parts.fold(String::new(), |path, part| path + "/" + part);
    let fine =
        !path.is_empty() && !path.split('/').any(|part| part == "..") && !path.starts_with(&format!("{WORKSPACE}/"));
    fine.then_some(path)
}
