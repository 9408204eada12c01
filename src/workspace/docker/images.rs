//! The images of an engine: each is looked for and fetched by one at a time, and what cannot be fetched is not asked
//! for again at once.

use super::{
    engine::{Engine, EngineError},
    image::{self, Image},
    settings::Pull,
};
use crate::workspace::{
    WorkspaceError,
    image_names::{Named, Reference},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Semaphore, time::Instant};

/// Images that are fetched at once.
const PULLS_MAX: usize = 4;
/// For how long what could not be fetched is not asked for again.
const FAILURE_TIME: Duration = Duration::from_secs(60);
/// Images whose failure is remembered.
const FAILURES_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct Images {
    turns: Mutex<HashMap<String, Turn>>,
    pulls: Semaphore,
}

/// Whoever holds it fetches; why that failed last.
type Turn = Arc<tokio::sync::Mutex<Option<(Instant, WorkspaceError)>>>;

impl Images {
    pub(super) fn new() -> Self {
        Self { turns: Mutex::default(), pulls: Semaphore::new(PULLS_MAX) }
    }

    /// The image that a task names, or the operator's, fetched where that is allowed.
    pub(super) async fn find(&self, engine: &Engine, wanted: Option<&str>) -> Result<Image, WorkspaceError> {
        let Named { name, anywhere } = engine.settings.allowed().named(wanted)?;
        let shown = wanted.unwrap_or(&engine.settings.image);
        match image::inspect(engine, &name).await {
            Ok(image) => return image.plain(shown),
            Err(error) if error.is_status(404) => {}
            Err(error) => return Err(engine.explain(&error)),
        }
        self.fetch(engine, &name, shown, anywhere).await?.plain(shown)
    }

    /// The content that it is at the moment. Fetches nothing and waits for no engine.
    pub(super) async fn id(&self, engine: &Engine, wanted: Option<&str>) -> Result<String, WorkspaceError> {
        let Named { name, .. } = engine.settings.allowed().named(wanted)?;
        image::id(engine, &name).await.map_err(|error| engine.explain(&error))
    }

    async fn fetch(
        &self,
        engine: &Engine,
        name: &str,
        shown: &str,
        anywhere: Option<Reference>,
    ) -> Result<Image, WorkspaceError> {
        let settings = &engine.settings;
        let address = &settings.address;
        if settings.pull == Pull::Never {
            return Err(WorkspaceError::Setup {
                what: format!("the container engine at {address} has no image \"{shown}\""),
                mend: format!("fetch it there (docker pull {shown}), or set JOURNEYMAN_DOCKER_PULL=missing"),
            });
        }
        let turn = self.turn(name);
        let mut failed = turn.lock().await;
        if let Some((at, error)) = &*failed
            && at.elapsed() < FAILURE_TIME
        {
            return Err(error.clone());
        }
        // Who had the turn before may have fetched it.
        if let Ok(image) = image::inspect(engine, name).await {
            return Ok(image);
        }
        if let Some(reference) = &anywhere {
            settings.allowed().look_up(reference, shown).await?;
        }
        let _held = self.pulls.acquire().await.map_err(crate::workspace::backend::setup)?;
        tracing::info!(image = shown, "fetching an image");
        match image::pull(engine, name).await {
            Ok(()) => image::inspect(engine, name).await.map_err(|error| engine.explain(&error)),
            Err(error @ EngineError::Away(_)) => Err(engine.explain(&error)),
            Err(error) => {
                let error = WorkspaceError::Setup {
                    what: format!(
                        "the image \"{shown}\" could not be fetched: the container engine at {address} {error}"
                    ),
                    mend: format!("see that the name is right and that the engine may fetch it (docker pull {shown})"),
                };
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn turn(&self, name: &str) -> Turn {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| {
            let fresh =
                turn.try_lock().is_ok_and(|failed| failed.as_ref().is_some_and(|(at, _)| at.elapsed() < FAILURE_TIME));
            Arc::strong_count(turn) > 1 || fresh
        });
        if turns.len() >= FAILURES_MAX {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry(name.to_owned()).or_default())
    }
}
