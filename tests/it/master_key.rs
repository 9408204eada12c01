//! The master key: made once, durably, for its owner alone; what is wrong with its file stops the service, and a change of
//! keys makes none.

use crate::support::service::Ground;
use journeyman::{
    app::{self, AdminAction, Role, Server},
    shutdown::Shutdown,
};
use serde_json::json;
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

/// Why the service does not start.
async fn refused(ground: &Ground) -> String {
    match Server::start(&ground.settings(ground.data.path()), Role::All, false, Shutdown::new(), None).await {
        Ok(_) => panic!("it starts"),
        Err(error) => format!("{error:#}"),
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_once_for_its_owner_alone_and_a_file_that_is_wrong_stops_the_service() {
    let ground = Ground::new(&json!({ "sequence": [] })).await;
    let file = ground.data.path().join("secret-key");

    // A link that leads nowhere is neither followed nor replaced.
    let elsewhere = ground.data.path().join("elsewhere");
    symlink(&elsewhere, &file).unwrap();
    let error = refused(&ground).await;
    assert!(error.contains("secret-key") && !elsewhere.exists() && file.is_symlink(), "{error}");
    fs::remove_file(&file).unwrap();

    ground.start().await.stop().await;
    let made = fs::read_to_string(&file).unwrap();
    let about = fs::metadata(&file).unwrap();
    assert_eq!((about.mode() & 0o777, about.nlink()), (0o600, 1), "nothing else leads to it");
    assert_eq!(made.trim().len(), 44, "32 bytes in base64");
    ground.start().await.stop().await;
    assert_eq!(fs::read_to_string(&file).unwrap(), made, "it is kept");

    mode(&file, 0o640);
    let error = refused(&ground).await;
    assert!(error.contains("can be read by others") && error.contains("chmod 600"), "{error}");
    mode(&file, 0o600);

    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&file, Some(12_345), None).unwrap();
        let error = refused(&ground).await;
        assert!(error.contains("belongs to another user (uid 12345)") && error.contains("chown"), "{error}");
        std::os::unix::fs::chown(&file, Some(0), None).unwrap();
    }
    for (content, says) in
        [("", "is empty"), ("\n", "is empty"), ("c2hvcnQ=", "does not hold 32 bytes"), ("?", "does not hold 32 bytes")]
    {
        fs::write(&file, content).unwrap();
        let error = refused(&ground).await;
        assert!(error.contains(says), "{content:?}: {error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), content, "it is not replaced");
    }
    fs::write(&file, &made).unwrap();
    ground.start().await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_keys_makes_no_key_and_fails_while_one_is_missing() {
    let mut ground = Ground::new(&json!({ "sequence": [] })).await;
    let service = ground.start().await;
    let api = service.api();
    let (_, environment) = api.post("/v1/environments", &json!({ "name": "backend" })).await;
    let path = format!("{}/v1/environments/{}/secrets/TOKEN", api.base, environment["id"].as_str().unwrap());
    let body = json!({ "value": "canary-of-the-change", "use": "setup" });
    assert_eq!(api.http.put(path).bearer_auth(&api.key).json(&body).send().await.unwrap().status(), 204);
    service.stop().await;

    // Elsewhere, where no key is.
    let other = tempfile::tempdir().unwrap();
    let error = app::admin(&ground.settings(other.path()), AdminAction::RotateSecrets).await.unwrap_err().to_string();
    assert!(error.contains("there is no master key here") && error.contains("JOURNEYMAN_SECRET_KEY"), "{error}");
    assert!(!other.path().join("secret-key").exists());

    // With a new key alone the secret stays as it is; where the file is, its key opens it.
    ground
        .variables
        .push(("JOURNEYMAN_SECRET_KEY".to_owned(), "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=".to_owned()));
    for _ in 0..2 {
        let error =
            app::admin(&ground.settings(other.path()), AdminAction::RotateSecrets).await.unwrap_err().to_string();
        assert!(
            error.contains("1 could not be opened") && error.contains("TOKEN") && !error.contains("canary"),
            "{error}"
        );
    }
    let done = app::admin(&ground.settings(ground.data.path()), AdminAction::RotateSecrets).await.unwrap();
    assert!(done[0].starts_with("1 secrets are now under the master key"), "{done:?}");
    let again = app::admin(&ground.settings(other.path()), AdminAction::RotateSecrets).await.unwrap();
    assert!(again[0].starts_with("0 secrets"), "{again:?}");
}
