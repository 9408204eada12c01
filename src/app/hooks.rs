//! What the use cases ask of rooms that they may not know: checks of URLs, news of commits, trees.

use super::build::Parts;
use crate::{
    config::Settings,
    events::Hub,
    queue::Queue,
    runner::{self, OriginError},
    service::{self, Deleted, Hooks, Tree, TreeQuestion},
    workspace::{
        Sandboxes,
        repository::{Archive, Base, RepositoryError, validate_ref, validate_url},
    },
};
use std::sync::Arc;

pub(super) fn hooks(parts: &Parts, settings: &Settings, hub: Hub, queue: Queue, sandboxes: Option<Sandboxes>) -> Hooks {
    let policy = parts.policy.clone();
    let allow_local = settings.network.allow_local_repos.clone();
    let trees = parts.clone();
    let repositories = parts.repositories.clone();
    Hooks {
        repository_url: Arc::new(move |url| {
            validate_url(url, &policy, &allow_local).map(drop).map_err(|error| error.to_string())
        }),
        repository_ref: Arc::new(|reference| validate_ref(reference).map_err(|error| error.to_string())),
        webhook_url: {
            let policy = parts.policy.clone();
            Arc::new(move |url| {
                let policy = policy.clone();
                Box::pin(async move {
                    policy.check_url(&url).map_err(|error| error.to_string())?;
                    policy.refuse_plain(&url).await.map_err(|error| error.to_string())
                })
            })
        },
        committed: Arc::new(move |team, task, seq| {
            hub.wrote(team, task, seq);
            queue.wake();
        }),
        deleted: sandboxes.map(|sandboxes| -> Deleted {
            Arc::new(move |task| {
                let sandboxes = sandboxes.clone();
                Box::pin(async move {
                    // What cannot be removed now is swept later.
                    if let Err(error) = sandboxes.remove(task).await {
                        tracing::warn!(task.id = %task, %error, "the working copy of a deleted task could not be removed");
                    }
                })
            })
        }),
        archive: Some(Arc::new(move |content| {
            let repositories = repositories.clone();
            Box::pin(async move {
                let content = match content {
                    service::Archive::Bytes(bytes) => Archive::Bytes(bytes),
                    service::Archive::File(path) => Archive::File(path),
                };
                match repositories.check_archive(content).await {
                    Err(
                        error @ (RepositoryError::Unusable { .. } | RepositoryError::TooLarge { .. }),
                    ) => Err(error.public_message()),
                    // What keeps us from reading it here is no fault of it.
                    _ => Ok(()),
                }
            })
        })),
        tree: Some(Arc::new(move |question| {
            let parts = trees.clone();
            Box::pin(async move { answer(&parts, question).await })
        })),
    }
}

async fn answer(parts: &Parts, question: TreeQuestion) -> Result<Option<Vec<u8>>, String> {
    match question {
        TreeQuestion::BaseFile { tree, path } => {
            let base = base(parts, &tree).await?;
            let found = parts.repositories.read_many(&base, vec![path]).await.map_err(|e| e.public_message())?;
            Ok(found.into_iter().next().flatten().map(Vec::from))
        }
        TreeQuestion::Patch { from, to } => {
            let base = base(parts, &from).await?;
            let before = from.delta.unwrap_or_default();
            let contents = parts.blobs.of_team(from.team);
            let patch = parts.repositories.patch(&base, &before, &to, contents).await;
            Ok(Some(patch.map_err(|e| e.public_message())?.text))
        }
    }
}

async fn base(parts: &Parts, tree: &Tree) -> Result<Base, String> {
    let found =
        runner::base(&parts.repositories, &parts.blobs, tree.team, tree.repository.as_ref(), tree.commit.as_ref());
    found.await.map_err(|error| match error {
        OriginError::Repository(error) => error.public_message(),
        OriginError::Blob(_) => "the upload cannot be read now".to_owned(),
    })
}
