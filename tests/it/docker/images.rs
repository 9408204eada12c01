//! Which images tasks may name, how they are fetched, and what of them would be the host's.

use crate::support::{
    engine::{self, BUSYBOX, EMPTY, Engine, HOST},
    images,
    sandbox::{Copy, output},
};
use journeyman::{
    net::AddressPolicy,
    workspace::{BackendSettings, DockerSettings, Workspace, WorkspaceError},
};
use std::{
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Something that takes connections, as a registry would, and what it does with each.
fn registry(meet: impl Fn(TcpStream) + Send + 'static) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::Relaxed);
            meet(stream);
        }
    });
    (port, connections)
}

async fn copy(engine: &Engine, change: impl Fn(&mut DockerSettings)) -> Copy {
    Copy::with(|data_dir| {
        let mut settings = engine.settings(data_dir, BUSYBOX);
        if let BackendSettings::Docker(docker) = &mut settings.backend {
            change(docker);
        }
        settings
    })
    .await
}

async fn open(copy: &Copy, image: &str) -> Result<Workspace, WorkspaceError> {
    let mut options = copy.options();
    options.image = Some(image.to_owned());
    copy.sandboxes.open(options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_is_sent_to_no_registry_that_the_operator_does_not_name() {
    let engine = engine::shared().await;
    let (port, connections) = registry(drop);
    let usual = copy(engine, |_| {}).await;
    for image in [
        format!("127.0.0.1:{port}/x"),
        format!("localhost:{port}/x/y:1"),
        "localhost/x".to_owned(),
        "169.254.169.254/latest/meta-data".to_owned(),
        "registry.example.org/x".to_owned(),
        "ghcr.io.example.org/x".to_owned(),
    ] {
        let error = open(&usual, &image).await.unwrap_err();
        let WorkspaceError::Refused { why } = &error else { panic!("{image}: {error:?}") };
        assert!(why.contains("JOURNEYMAN_DOCKER_ALLOWED_IMAGES") && why.contains(&image), "{image}: {why}");
    }
    let anywhere = copy(engine, |docker| {
        docker.allowed_images = vec!["*".parse().unwrap()];
        let names = [("registry.test".to_owned(), vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])];
        docker.policy = AddressPolicy::default().with_names(names.into());
    })
    .await;
    for (image, says) in [
        (format!("127.0.0.1:{port}/x"), "JOURNEYMAN_DOCKER_ALLOWED_IMAGES"),
        (format!("0x7f.1:{port}/x"), "JOURNEYMAN_DOCKER_ALLOWED_IMAGES"),
        ("169.254.169.254/x".to_owned(), "JOURNEYMAN_DOCKER_ALLOWED_IMAGES"),
        (format!("registry.test:{port}/x"), "private, loopback"),
    ] {
        let error = open(&anywhere, &image).await.unwrap_err();
        assert!(
            matches!(error, WorkspaceError::Refused { .. }) && error.to_string().contains(says),
            "{image}: {error}"
        );
    }
    assert_eq!(connections.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_named_is_asked_once_and_again_only_later() {
    let engine = engine::shared().await;
    let (port, connections) = registry(drop);
    let named =
        copy(engine, |docker| docker.allowed_images = vec![format!("127.0.0.1:{port}/team").parse().unwrap()]).await;
    let error = open(&named, &format!("127.0.0.1:{port}/teamster/x")).await.unwrap_err();
    assert!(error.to_string().contains("JOURNEYMAN_DOCKER_ALLOWED_IMAGES"), "{error}");
    assert_eq!(connections.load(Ordering::Relaxed), 0);
    let error = open(&named, &format!("127.0.0.1:{port}/team/x")).await.unwrap_err();
    assert!(error.to_string().contains("could not be fetched"), "{error}");
    let asked = connections.load(Ordering::Relaxed);
    assert!(asked > 0);
    let again = open(&named, &format!("127.0.0.1:{port}/team/x:latest")).await.unwrap_err();
    assert_eq!((again, connections.load(Ordering::Relaxed)), (error, asked));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_whose_fetching_takes_long_keeps_nobody_from_another() {
    let engine = engine::shared().await;
    let held = std::sync::Mutex::new(Vec::new());
    let (port, connections) = registry(move |stream| held.lock().unwrap().push(stream));
    let slow = format!("127.0.0.1:{port}/x");
    let copy = copy(engine, |docker| {
        docker.allowed_images = vec![format!("127.0.0.1:{port}").parse().unwrap(), "docker.io".parse().unwrap()];
    })
    .await;
    let looking = tokio::spawn({
        let sandboxes = copy.sandboxes.clone();
        async move { sandboxes.programs_of(Some(&slow)).await }
    });
    let begun = Instant::now();
    while connections.load(Ordering::Relaxed) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let other = tokio::time::timeout(Duration::from_secs(20), copy.sandboxes.programs_of(Some(HOST))).await;
    assert!(other.unwrap().iter().any(|name| name == "git"));
    assert!(!looking.is_finished());
    looking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_had_by_its_name_alone_and_a_container_is_of_what_was_looked_at() {
    let engine = engine::shared().await;
    let copy = copy(engine, |docker| docker.pull = journeyman::workspace::Pull::Never).await;
    let client = engine.versioned_client().await;
    let id = client.inspect_image(HOST).await.unwrap().id.unwrap();
    let short = id.trim_start_matches("sha256:");
    for image in [&short[..12], short, &id] {
        let error = open(&copy, image).await.unwrap_err().to_string();
        assert!(error.contains("has no image") || error.contains("is no name"), "{image}: {error}");
    }
    let workspace = open(&copy, "journeyman-test/host").await.unwrap();
    let container = engine.containers(&copy.task.to_string()).await.remove(0);
    let inspected =
        client.inspect_container(&container, None::<bollard::query_parameters::InspectContainerOptions>).await.unwrap();
    let config = inspected.config.unwrap();
    assert_eq!((inspected.image.as_deref(), config.image.as_deref()), (Some(id.as_str()), Some(id.as_str())));
    assert_eq!(config.labels.unwrap()["journeyman.image"], "journeyman-test/host");
    output(&workspace, "git --version").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_image_wants_volumes_for_is_memory_or_the_image_is_refused() {
    let engine = engine::shared().await;
    let copy = copy(engine, |_| {}).await;
    let image = |name: &str| format!("journeyman-test/{name}:latest");
    let with = |name: &'static str, volumes: Vec<String>| async move {
        let volume = format!("VOLUME {}", serde_json::to_string(&volumes).unwrap());
        engine.import_with(&image(name), &images::busybox(), &[volume]).await;
    };
    let several = ["/data/", "/a//b/./", "/tmp", "/home/agent/", "/data"].map(str::to_owned).to_vec();
    with("volumes", several).await;
    let workspace = open(&copy, &image("volumes")).await.unwrap();
    let client = engine.versioned_client().await;
    let container = engine.containers(&copy.task.to_string()).await.remove(0);
    let mounts = client
        .inspect_container(&container, None::<bollard::query_parameters::InspectContainerOptions>)
        .await
        .unwrap()
        .mounts
        .unwrap();
    assert!(mounts.iter().all(|mount| mount.typ.as_deref() != Some("volume")), "{mounts:#?}");
    let mounted =
        output(&workspace, "grep -c '^tmpfs /\\(data\\|a/b\\) .*size=65536k' /proc/mounts; touch /data/x /a/b/x").await;
    assert_eq!(mounted, "2\n");
    workspace.close().await;
    for (name, volume) in
        [("relative", "data"), ("climbing", "/data/../../etc"), ("root", "/"), ("inside", "/workspace/node_modules")]
    {
        with(name, vec![volume.to_owned()]).await;
        let error = open(&copy, &image(name)).await.unwrap_err();
        assert!(
            matches!(error, WorkspaceError::Refused { .. }) && error.to_string().contains(volume),
            "{name}: {error}"
        );
    }
    with("many", (0..17).map(|number| format!("/v{number}")).collect()).await;
    let error = open(&copy, &image("many")).await.unwrap_err().to_string();
    assert!(error.contains("wants 17 volumes"), "{error}");
    let volumes = client
        .list_volumes(None::<bollard::query_parameters::ListVolumesOptions>)
        .await
        .unwrap()
        .volumes
        .unwrap_or_default();
    assert!(volumes.is_empty(), "{volumes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_own_image_needs_no_leave() {
    let engine = engine::shared().await;
    let copy = copy(engine, |docker| docker.allowed_images = vec!["registry.example.org".parse().unwrap()]).await;
    output(&copy.open().await, "echo fine").await;
    output(&open(&copy, BUSYBOX).await.unwrap(), "echo fine").await;
    let error = open(&copy, EMPTY).await.unwrap_err().to_string();
    assert!(error.contains("JOURNEYMAN_DOCKER_ALLOWED_IMAGES"), "{error}");
    for wrong in ["", "python", "registry.example.org/a:1", "docker.io/x@sha256", "a b", "/x"] {
        assert!(wrong.parse::<journeyman::workspace::ImagePrefix>().is_err(), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_on_musl_runs_what_it_holds() {
    let engine = engine::shared().await;
    engine.import("journeyman-test/musl:latest", &images::musl()).await;
    let copy = copy(engine, |_| {}).await;
    let workspace = open(&copy, "journeyman-test/musl").await.unwrap();
    assert_eq!(output(&workspace, "threads").await, "20\nanother\n");
    let programs = copy.sandboxes.programs_of(Some("journeyman-test/musl")).await;
    assert!(
        programs.iter().any(|name| name == "threads") && !programs.iter().any(|name| name == "git"),
        "{programs:?}"
    );
}
