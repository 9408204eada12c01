//! Images: which names are names, whether the engine has them, and what of them counts.

use super::{
    engine::{Engine, EngineError},
    settings::Pull,
};
use crate::workspace::WorkspaceError;
use bollard::{errors::Error, models::ImageInspect, query_parameters::CreateImageOptions};
use futures::StreamExt;
use std::time::Duration;
use tokio::time::timeout;

const NAME_BYTES_MAX: usize = 512;
/// From the first byte to the last.
const PULL_TIME: Duration = Duration::from_secs(900);

/// What of an image shapes a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// By content.
    pub(super) id: String,
    pub(super) env: Vec<(String, String)>,
    /// Directories that it wants volumes for.
    pub(super) volumes: Vec<String>,
}

/// The image of this name, fetched where that is allowed.
pub(super) async fn find(engine: &Engine, name: &str) -> Result<Image, WorkspaceError> {
    if !is_name(name) {
        return Err(WorkspaceError::Refused {
            why: format!(
                "the image \"{name}\" is no name of an image: write for example registry.example.org/team/image:tag"
            ),
        });
    }
    match inspect(engine, name).await {
        Ok(image) => return Ok(image),
        Err(error) if error.is_status(404) => {}
        Err(error) => return Err(engine.explain(&error)),
    }
    let address = &engine.settings.address;
    if engine.settings.pull == Pull::Never {
        return Err(WorkspaceError::Setup {
            what: format!("the container engine at {address} has no image \"{name}\""),
            mend: format!("fetch it there (docker pull {name}), or set JOURNEYMAN_DOCKER_PULL=missing"),
        });
    }
    tracing::info!(image = name, "fetching an image");
    let pulled = pull(engine, name).await;
    match pulled {
        Ok(()) => {}
        Err(error @ EngineError::Away(_)) => return Err(engine.explain(&error)),
        Err(error) => {
            return Err(WorkspaceError::Setup {
                what: format!("the image \"{name}\" could not be fetched: the container engine at {address} {error}"),
                mend: format!("see that the name is right and that the engine may fetch it (docker pull {name})"),
            });
        }
    }
    inspect(engine, name).await.map_err(|error| engine.explain(&error))
}

async fn inspect(engine: &Engine, name: &str) -> Result<Image, EngineError> {
    let look = || engine.ask(|docker| async move { docker.inspect_image(name).await });
    engine.patiently(look).await.map(Image::of)
}

async fn pull(engine: &Engine, name: &str) -> Result<(), EngineError> {
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
}

/// A reference as registries know them. It becomes part of a path of the engine's API, in which
/// nothing else may come.
pub(in crate::workspace) fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(allowed)
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}
