//! Tests of config.

use journeyman::{
    api::Rate,
    config::{
        CallRole, Environment, Settings,
        settings::{JwtKey, PrivateHost, WorkspaceBackend},
    },
    domain::item::Wire,
    mcp::{Effects, Place},
    telemetry::LogFormat,
};
use std::{num::NonZeroU32, path::PathBuf, time::Duration};

const HOME: (&str, &str) = ("HOME", "/home/ada");

fn load(variables: &[(&str, &str)]) -> Result<Settings, String> {
    let environment = Environment::new([HOME]).as_root(false);
    let environment = variables.iter().fold(environment, |environment, (name, value)| environment.with(name, value));
    Settings::load(None, &environment).map_err(|error| error.to_string())
}

fn load_file(toml: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), toml).unwrap();
    let environment = Environment::new([HOME]).with("JOURNEYMAN_CONFIG", file.path().to_str().unwrap());
    let environment = variables.iter().fold(environment, |environment, (name, value)| environment.with(name, value));
    Settings::load(None, &environment)
        .map_err(|error| error.to_string().replace(&file.path().display().to_string(), "FILE"))
}

#[test]
fn an_empty_environment_gives_the_documented_defaults() {
    let settings = load(&[]).unwrap();
    assert_eq!(settings.data_dir, PathBuf::from("/home/ada/.local/share/journeyman"));
    assert!(settings.database.url.is_none());
    assert_eq!(settings.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.http.trusted_proxies, []);
    let callers = settings.http.callers;
    let rate = |requests| Rate { requests: NonZeroU32::new(requests).unwrap(), window: Duration::from_secs(60) };
    assert_eq!((callers.rates.person, callers.rates.key), (Some(rate(60_000)), Some(rate(60_000))));
    assert_eq!((callers.rates.tool, callers.streams_per_user), (Some(rate(300_000)), 2_000));
    assert_eq!(settings.workspace.backend, WorkspaceBackend::Bubblewrap);
    assert_eq!(settings.worker.tasks, 256);
    assert_eq!(settings.worker.lease_ttl, Duration::from_secs(15));
    assert!(settings.models.all.is_empty() && settings.models.default.is_none());
    assert!(settings.auth.jwt.is_none() && settings.auth.bootstrap_key.is_none());
    assert!(settings.network.allow_local_repos.is_empty() && settings.network.private_hosts.is_empty());
    assert_eq!(settings.log.format, LogFormat::Human);
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn rates_are_requests_and_seconds_or_off() {
    let settings = load(&[("JOURNEYMAN_RATE_KEY", "5/2"), ("JOURNEYMAN_RATE_TOOL", "off")]).unwrap();
    let rates = settings.http.callers.rates;
    let wanted = Rate { requests: NonZeroU32::new(5).unwrap(), window: Duration::from_secs(2) };
    assert_eq!((rates.key, rates.tool), (Some(wanted), None));
    for wrong in ["5", "0/1", "5/0", "5/1.5", "-5/1", "1000001/60", "5/86401", "many/60"] {
        let error = load(&[("JOURNEYMAN_RATE_PERSON", wrong)]).unwrap_err();
        assert!(error.contains("JOURNEYMAN_RATE_PERSON") && error.contains("60000/60"), "{wrong}: {error}");
    }
}

#[test]
fn the_data_directory_depends_on_who_starts() {
    let of = |environment: Environment| Settings::load(None, &environment).map(|settings| settings.data_dir);
    assert_eq!(of(Environment::new([HOME]).as_root(true)).unwrap(), PathBuf::from("/var/lib/journeyman"));
    let xdg = Environment::new([HOME, ("XDG_DATA_HOME", "/data")]);
    assert_eq!(of(xdg).unwrap(), PathBuf::from("/data/journeyman"));
    let error = of(Environment::default()).unwrap_err().to_string();
    assert_eq!(error, "neither HOME nor XDG_DATA_HOME is set: set JOURNEYMAN_DATA_DIR");
}

#[test]
fn every_variable_of_the_contract_is_read() {
    let settings = load(&[
        ("DATABASE_URL", "postgres://u:p@h/d"),
        ("JOURNEYMAN_DATA_DIR", "/data"),
        ("JOURNEYMAN_LISTEN", "0.0.0.0:0"),
        ("JOURNEYMAN_PUBLIC_URL", "https://jm.example.com"),
        ("JOURNEYMAN_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7"),
        ("JOURNEYMAN_WORKSPACE", "docker"),
        ("JOURNEYMAN_WORKERS", "7"),
        ("JOURNEYMAN_BOOTSTRAP_KEY", "0123456789abcdef"),
        ("JOURNEYMAN_JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        ("JOURNEYMAN_JWT_ISSUER", "me"),
        ("JOURNEYMAN_JWT_AUDIENCE", "you"),
        ("JOURNEYMAN_JWT_NEW_TEAMS", "true"),
        ("JOURNEYMAN_SECRET_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("JOURNEYMAN_ALLOW_LOCAL_REPOS", "/srv/a:/srv/b"),
        ("JOURNEYMAN_PRIVATE_HOSTS", "git.internal,10.1.0.0/16"),
        ("HTTPS_PROXY", "http://proxy:3128"),
        ("NO_PROXY", "localhost"),
        ("JOURNEYMAN_CA_FILE", "/etc/ca.pem"),
    ])
    .unwrap();
    assert_eq!(settings.database.url.unwrap().expose(), "postgres://u:p@h/d");
    assert_eq!(settings.data_dir, PathBuf::from("/data"));
    assert_eq!(settings.http.listen.to_string(), "0.0.0.0:0");
    assert_eq!(settings.http.public_url.unwrap().as_str(), "https://jm.example.com/");
    assert_eq!(settings.http.trusted_proxies, ["10.0.0.0/8".parse().unwrap(), "192.0.2.7/32".parse().unwrap()]);
    assert_eq!(settings.workspace.backend, WorkspaceBackend::Docker);
    assert_eq!(settings.worker.tasks, 7);
    let jwt = settings.auth.jwt.unwrap();
    assert!(matches!(jwt.key, JwtKey::Shared(secret) if secret.expose().len() == 32));
    assert_eq!((jwt.issuer.as_deref(), jwt.audience.as_deref(), jwt.new_teams), (Some("me"), Some("you"), true));
    assert_eq!(settings.auth.secret_key.unwrap().0, [0; 32]);
    assert_eq!(settings.network.allow_local_repos, [PathBuf::from("/srv/a"), PathBuf::from("/srv/b")]);
    assert_eq!(
        settings.network.private_hosts,
        [PrivateHost::Name("git.internal".to_owned()), PrivateHost::Network("10.1.0.0/16".parse().unwrap())]
    );
    assert_eq!(settings.network.https_proxy.unwrap().as_str(), "http://proxy:3128/");
    assert_eq!(settings.network.no_proxy.as_deref(), Some("localhost"));
    assert_eq!(settings.network.ca_file, Some(PathBuf::from("/etc/ca.pem")));
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn the_environment_overrides_the_file() {
    let toml = "listen = \"127.0.0.1:1\"\nworkers = 3\nlog_format = \"json\"\nallow_local_repos = [\"/a\", \"/b\"]\n";
    let settings = load_file(toml, &[("JOURNEYMAN_WORKERS", "4")]).unwrap();
    assert_eq!(settings.http.listen.port(), 1);
    assert_eq!(settings.worker.tasks, 4);
    assert_eq!(settings.log.format, LogFormat::Json);
    assert_eq!(settings.network.allow_local_repos.len(), 2);
}

#[test]
fn the_operators_instructions_come_from_a_text_or_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "No telemetry.\n").unwrap();
    let path = file.path().to_str().unwrap();
    let by_key = format!("instructions_file = \"{path}\"");
    let of = |toml: &str, variables: &[(&str, &str)]| load_file(toml, variables).unwrap().extension.instructions;
    assert_eq!(of("", &[]), "");
    assert_eq!(of("instructions = \" Be kind. \"", &[]), "Be kind.");
    assert_eq!(of(&by_key, &[]), "No telemetry.");
    assert_eq!(of("", &[("JOURNEYMAN_INSTRUCTIONS_FILE", path)]), "No telemetry.");
    assert_eq!(of(&by_key, &[("JOURNEYMAN_INSTRUCTIONS", "Be brief.")]), "Be brief.");
    let both = load_file(&format!("instructions = \"a\"\n{by_key}"), &[]).unwrap_err();
    assert!(both.ends_with("`instructions` stands there too: take one of them away"), "{both}");
    let long = load_file(&format!("instructions = \"{}\"", "x".repeat(16_385)), &[]).unwrap_err();
    assert_eq!(
        long,
        "`instructions` in FILE: must be a text of at most 16384 bytes without NUL characters, not 16385 bytes"
    );
    assert!(load_file("instructions_file = 1", &[]).unwrap_err().ends_with("must be a path"));
}

#[test]
fn servers_are_read_from_the_file_and_what_is_wrong_is_named() {
    let toml = "[[mcp_servers]]\nname = \"box\"\ncommand = [\"python3\", \"s.py\"]\nenv = { A = \"env:HELD\" }\n\
        tools = [\"x\"]\ntimeout_seconds = 2\n[[mcp_servers]]\nname = \"sky-1\"\nurl = \"https://sky.example/mcp\"\n\
        headers = { X-Team = \"engineering\", Authorization = \"Bearer abcdefgh12345\" }\neffects = \"reads\"\ntrust = true\n";
    let settings = load_file(toml, &[("HELD", "value")]).unwrap();
    let [inside, sky] = settings.extension.mcp_servers.as_slice() else { panic!("two servers") };
    let Place::Workspace { command, env } = &inside.place else { panic!("{inside:?}") };
    assert_eq!((command.len(), env["A"].as_str()), (2, "value"));
    assert_eq!((inside.timeout.as_secs(), inside.effects, inside.trusted), (2, Effects::Runs, false));
    assert_eq!((sky.timeout.as_secs(), sky.effects, sky.trusted), (60, Effects::Reads, true));
    let redactor = settings.redactor();
    assert_eq!(redactor.redact_known("abcdefgh12345 by engineering"), "*** by engineering");
    assert!(!format!("{settings:?}").contains("abcdefgh12345"));

    let of = |rest: &str| load_file(&format!("[[mcp_servers]]\nname = \"box\"\n{rest}"), &[]).unwrap_err();
    for (rest, words) in [
        ("", "server \"box\": give `command` (it runs inside the workspace) or `url`"),
        ("command = [\"a\"]\nurl = \"http://h\"", "give `command`"),
        ("command = []", "`command` is empty"),
        ("command = [\"a\"]\nheaders = { A = \"b\" }", "`headers` belong to a server with a `url`"),
        ("command = [\"a\"]\nenv = { A = \"env:NONE\" }", "`A` names the variable NONE, which is not set"),
        ("command = [\"a\"]\ntimeout_seconds = 0", "`timeout_seconds` must be from 0.1 to 600, not 0"),
        ("command = [\"a\"]\neffects = \"writes\"", "`effects`: \"writes\" must be reads or runs"),
        ("command = [\"a\"]\ntimeout_secs = 3", "unknown key `timeout_secs`: did you mean `timeout_seconds`?"),
        ("url = \"ftp://h\"", "`url`: "),
        ("url = \"http://h\"\nenv = { A = \"b\" }", "`env` belongs to a server with a `command`"),
        ("url = \"http://h\"\nheaders = { Host = \"b\" }", "Host is the protocol's own"),
        ("url = \"http://h\"\nheaders = { \"A B\" = \"b\" }", "none that HTTP can carry"),
        ("url = \"http://h\"\n[[mcp_servers]]\nname = \"box\"\nurl = \"http://i\"", "two servers have the name"),
    ] {
        let error = of(rest);
        assert!(error.contains(words), "{rest}: {error}");
    }
    for name in ["", "Box", "a__b", "a_", "1a", &"a".repeat(25)] {
        let error = load_file(&format!("[[mcp_servers]]\nname = \"{name}\"\nurl = \"http://h\""), &[]).unwrap_err();
        assert!(error.contains("`name` must be 1 to 24 of"), "{error}");
    }
    let many = "[[mcp_servers]]\nname = \"a\"\ncommand = [\"a\"]\n";
    let many: String = (0..7).map(|at| many.replace("\"a\"\nc", &format!("\"a{at}\"\nc"))).collect();
    assert!(load_file(&many, &[]).unwrap_err().contains("not 7 and 7"));
    assert!(load_file("mcp_servers = 1", &[]).unwrap_err().ends_with("write each server as [[mcp_servers]]"));
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let settings = load_file("workers = 3", &[]).unwrap();
    assert_eq!(settings.worker.tasks, 3);
    assert!(load(&[]).unwrap().database.url.is_none());
    let environment = Environment::new([HOME, ("DATABASE_URL", ""), ("HTTPS_PROXY", "")]);
    assert!(Settings::load(None, &environment).unwrap().database.url.is_none());
}

#[test]
fn any_variable_may_come_from_a_file_without_its_last_newline() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "postgres://u:p@h/d\n").unwrap();
    let path = file.path().to_str().unwrap();
    let settings = load(&[("DATABASE_URL_FILE", path)]).unwrap();
    assert_eq!(settings.database.url.unwrap().expose(), "postgres://u:p@h/d");

    let both = load(&[("DATABASE_URL_FILE", path), ("DATABASE_URL", "postgres://x@y/z")]).unwrap_err();
    assert_eq!(both, "DATABASE_URL and DATABASE_URL_FILE are both set: take one of them away");

    let absent = load(&[("JOURNEYMAN_WORKERS_FILE", "/no/such/file")]).unwrap_err();
    assert!(absent.starts_with("JOURNEYMAN_WORKERS_FILE: /no/such/file cannot be read"), "{absent}");

    std::fs::write(file.path(), "many\n").unwrap();
    let wrong = load(&[("JOURNEYMAN_WORKERS_FILE", path)]).unwrap_err();
    let expected = format!("{path} (JOURNEYMAN_WORKERS_FILE): \"many\" must be a whole number from 1 to 100000");
    assert_eq!(wrong, expected);
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_nearest() {
    assert_eq!(load_file("lisen = 1", &[]).unwrap_err(), "unknown key `lisen` in FILE: did you mean `listen`?");
    let error = load_file("zzzzzzzzzzzz = 1", &[]).unwrap_err();
    assert!(error.starts_with("unknown key `zzzzzzzzzzzz` in FILE: take it away"), "{error}");
    let table = load_file("[listen]\nport = 1", &[]).unwrap_err();
    assert!(table.starts_with("`listen` in FILE: must be a text"), "{table}");
}

#[test]
fn an_unknown_variable_of_ours_is_only_warned_of() {
    let settings = load(&[("JOURNEYMAN_WORKER", "3"), ("JOURNEYMAN_URL", "http://x")]).unwrap();
    let warning = "JOURNEYMAN_WORKER is no setting and changes nothing: did you mean JOURNEYMAN_WORKERS?";
    assert_eq!(settings.warnings, [warning]);
}

#[test]
fn every_wrong_value_is_told_with_its_variable_and_the_mend() {
    for (name, value, expected) in [
        ("DATABASE_URL", "mysql://x", "must be like postgres://user:password@host:5432/database"),
        ("JOURNEYMAN_LISTEN", "8080x", "\"8080x\" is no address with a port: write for example 127.0.0.1:8080"),
        ("JOURNEYMAN_PUBLIC_URL", "ftp://x", "must be a URL that begins with http:// or https://"),
        (
            "JOURNEYMAN_TRUSTED_PROXIES",
            "10.0.0.0/33",
            "\"10.0.0.0/33\" is no address or network: write for example 10.0.0.0/8",
        ),
        ("JOURNEYMAN_WORKSPACE", "chroot", "\"chroot\" must be bubblewrap, docker or kubernetes"),
        (
            "JOURNEYMAN_DOCKER_ALLOWED_IMAGES",
            "python",
            "\"python\" must be *, or a registry with or without a path, such as registry.example.org/team or docker.io/library",
        ),
        (
            "JOURNEYMAN_KUBERNETES_ALLOWED_IMAGES",
            "docker.io/library:3",
            "\"docker.io/library:3\" must be *, or a registry with or without a path, such as registry.example.org/team or docker.io/library",
        ),
        (
            "JOURNEYMAN_KUBERNETES_NAMESPACE",
            "../kube-system",
            "\"../kube-system\" is no name in Kubernetes: small letters, digits, - and . alone",
        ),
        ("JOURNEYMAN_KUBERNETES_IMAGE", "a image", "\"a image\" holds more than an image's name may"),
        ("JOURNEYMAN_KUBERNETES_PULL", "often", "\"often\" must be always, missing or never"),
        ("JOURNEYMAN_KUBERNETES_NETWORK", "none", "\"none\" must be enforced or unchecked"),
        ("JOURNEYMAN_KUBERNETES_NODE_SELECTOR", "disk", "\"disk\" must be like disk=ssd"),
        (
            "JOURNEYMAN_KUBERNETES_TOLERATIONS",
            "agents=yes:Never",
            "\"agents=yes:Never\" must be like agents, agents=yes or agents=yes:NoSchedule (or :PreferNoSchedule, :NoExecute)",
        ),
        ("JOURNEYMAN_WORKERS", "0", "\"0\" must be a whole number from 1 to 100000"),
        ("JOURNEYMAN_MODEL_API", "grpc", "\"grpc\" must be responses, chat or messages"),
        ("JOURNEYMAN_BOOTSTRAP_KEY", "short", "must be at least 16 visible ASCII characters without blanks"),
        ("JOURNEYMAN_JWT_NEW_TEAMS", "maybe", "\"maybe\" must be true or false"),
        ("JOURNEYMAN_SECRET_KEY", "AAAA", "must be 32 bytes in base64: make one with `openssl rand -base64 32`"),
        ("JOURNEYMAN_ALLOW_LOCAL_REPOS", "a", "\"a\" must be an absolute path"),
        (
            "JOURNEYMAN_PRIVATE_HOSTS",
            "http://x",
            "\"http://x\" is no host or network: write for example git.internal or 10.0.0.0/8",
        ),
        ("JOURNEYMAN_LEASE_TTL_SECONDS", "0", "\"0\" must be a number of seconds from 0.5 to 3600"),
        ("JOURNEYMAN_LOG_FORMAT", "xml", "must be human or json"),
    ] {
        assert_eq!(load(&[(name, value)]).unwrap_err(), format!("{name}: {expected}"));
    }
    let jwt = load(&[("JOURNEYMAN_JWT_SECRET", "x"), ("JOURNEYMAN_JWKS", "/x")]).unwrap_err();
    assert_eq!(jwt, "JOURNEYMAN_JWT_SECRET and JOURNEYMAN_JWKS are both set: take one of them away");
}

#[test]
fn no_error_and_no_debug_shows_a_secret() {
    let error = load(&[("JOURNEYMAN_SECRET_KEY", "hunter2")]).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
    let settings = load(&[
        ("DATABASE_URL", "postgres://u:hunter2x@h/d"),
        ("JOURNEYMAN_JWT_SECRET", "hunter2-hunter2"),
        ("JOURNEYMAN_BOOTSTRAP_KEY", "hunter2-hunter2-hunter2"),
        ("OPENAI_API_KEY", "hunter2hunter2"),
    ])
    .unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
    let redacted = settings.redactor().redact("hunter2x hunter2-hunter2 hunter2hunter2").into_owned();
    assert_eq!(redacted, "*** *** ***");
}

#[test]
fn a_providers_own_key_chooses_its_model() {
    let settings = load(&[("OPENAI_API_KEY", "key-one")]).unwrap();
    let model = &settings.models.all[0];
    assert_eq!(settings.models.default.as_deref(), Some(model.name()));
    assert_eq!((model.model.wire, model.model.url.as_str()), (Wire::Responses, "https://api.openai.com/v1"));
    assert_eq!(model.key.as_ref().unwrap().expose(), "key-one");

    let settings = load(&[("ANTHROPIC_API_KEY", "key-two"), ("JOURNEYMAN_MODEL", "claude-x")]).unwrap();
    let model = settings.models.get("claude-x").unwrap();
    assert_eq!((model.model.wire, model.model.url.as_str()), (Wire::Messages, "https://api.anthropic.com/v1"));

    let settings = load(&[("OPENAI_API_KEY", "k"), ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")]).unwrap();
    assert_eq!(settings.models.all[0].model.url.as_str(), "http://127.0.0.1:9/v1");
    let settings = load(&[("ANTHROPIC_API_KEY", "k"), ("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")]).unwrap();
    assert_eq!(settings.models.all[0].model.url.as_str(), "http://127.0.0.1:9/v1");
}

#[test]
fn one_model_is_described_by_variables_and_gets_no_other_hosts_key() {
    let settings = load(&[
        ("JOURNEYMAN_MODEL", "qwen3-coder"),
        ("JOURNEYMAN_MODEL_URL", "http://127.0.0.1:8000/v1"),
        ("OPENAI_API_KEY", "for-openai-alone"),
    ])
    .unwrap();
    let model = settings.models.get("qwen3-coder").unwrap();
    assert_eq!((model.model.wire, &model.key), (Wire::Chat, &None));
    assert_eq!(settings.models.default.as_deref(), Some("qwen3-coder"));
    assert_eq!(settings.models.all.len(), 1);

    let settings = load(&[
        ("JOURNEYMAN_MODEL_URL", "http://h/v1"),
        ("JOURNEYMAN_MODEL_API", "messages"),
        ("JOURNEYMAN_MODEL_KEY", " k \n"),
    ])
    .unwrap();
    let model = settings.models.get("default").unwrap();
    assert_eq!((model.model.wire, model.key.as_ref().unwrap().expose()), (Wire::Messages, "k"));

    let error = load(&[("JOURNEYMAN_MODEL", "x")]).unwrap_err();
    assert!(error.contains("set JOURNEYMAN_MODEL_URL"), "{error}");
}

#[test]
fn the_file_names_many_models_and_a_variable_chooses_among_them() {
    let toml = r#"
        [[models]]
        name = "small"
        url = "http://127.0.0.1:8000/v1"
        api = "responses"
        model = "vendor/small-1"
        window = 32000
        max_output_tokens = 4000
        headers = { x-team = "a" }
        prices = { input = 1.0, cached_input = 0.1, output = 2.0 }
        fallback = "large"
        tools = ["shell", "edit"]
        roles = ["review"]

        [[models]]
        name = "large"
        url = "https://api.anthropic.com/v1"
        key_env = "MY_KEY"
    "#;
    let settings = load_file(toml, &[("MY_KEY", "k2")]).unwrap();
    assert_eq!(settings.models.default.as_deref(), Some("small"));
    let small = settings.models.get("small").unwrap();
    assert_eq!((small.model.wire, small.model.model_id.as_str()), (Wire::Responses, "vendor/small-1"));
    assert_eq!((small.model.window_tokens, small.model.max_output_tokens), (32_000, 4_000));
    assert_eq!(
        (small.model.fallback.as_slice(), small.roles.as_slice()),
        ([String::from("large")].as_slice(), [CallRole::Review].as_slice())
    );
    assert_eq!(small.model.tools, ["shell", "edit"]);
    let large = settings.models.get("large").unwrap();
    assert_eq!((large.model.wire, large.model.window_tokens), (Wire::Messages, 128_000));
    assert_eq!(large.key.as_ref().unwrap().expose(), "k2");

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "k3\n").unwrap();
    let in_file = load_file(toml, &[("MY_KEY_FILE", file.path().to_str().unwrap())]).unwrap();
    assert_eq!(in_file.models.get("large").unwrap().key.as_ref().unwrap().expose(), "k3");

    let chosen = load_file(toml, &[("MY_KEY", "k2"), ("JOURNEYMAN_MODEL", "large")]).unwrap();
    assert_eq!((chosen.models.default.as_deref(), chosen.models.all.len()), (Some("large"), 2));
}

#[test]
fn what_is_wrong_with_a_model_is_told_with_its_name() {
    let model = |rest: &str| load_file(&format!("[[models]]\nname = \"m\"\nurl = \"http://h/v1\"\n{rest}"), &[]);
    for (rest, expected) in [
        ("windw = 1", "unknown key `windw`: did you mean `window`?"),
        ("wire = \"chat\"", "unknown key `wire`: did you mean `api`?"),
        ("key_fil = \"x\"", "unknown key `key_fil`: did you mean `key_file`?"),
        ("api = \"grpc\"", "`api`: \"grpc\" must be responses, chat or messages"),
        ("key_env = \"NOPE\"", "`key_env` names NOPE, which is not set"),
        ("key = \"a\"\nkey_file = \"/b\"", "give one of `key`, `key_env` and `key_file`"),
        ("roles = [\"boss\"]", "`roles`: \"boss\" must be review, learning or approval"),
        ("model = 3", "`model` must be a text"),
    ] {
        assert_eq!(model(rest).unwrap_err(), format!("`models` in FILE: model \"m\": {expected}"));
    }
    let lost = model("fallback = \"x\"").unwrap_err();
    assert_eq!(lost, "model \"m\": `fallback` names \"x\", which is none of m");
    assert!(model("window = \"big\"").unwrap_err().contains("model \"m\": "));
    let twice = "[[models]]\nname = \"m\"\nurl = \"http://h/v1\"\n".repeat(2);
    assert_eq!(load_file(&twice, &[]).unwrap_err(), "`models` in FILE: two models have the name \"m\"");
    assert!(load_file("[[models]]\nurl = \"http://h\"", &[]).unwrap_err().contains("has no `name`"));
    assert!(load_file("models = 3", &[]).unwrap_err().contains("write each model as [[models]]"));
}

#[test]
fn a_bucket_is_named_whole_or_what_is_missing_is_told() {
    let of = |table: &str| load_file(&format!("[objects]\n{table}"), &[]);
    let set =
        of("url = \"s3://house/tasks/\"\nendpoint = \"http://minio:9000\"\nkey_id = \"a\"\nsecret = \"b\"").unwrap();
    let objects = set.objects.unwrap();
    assert_eq!(
        (objects.bucket.as_str(), objects.prefix.as_str(), objects.region.as_str()),
        ("house", "tasks", "us-east-1")
    );
    for (table, expected) in [
        ("url = \"http://x\"", "must be s3://BUCKET or s3://BUCKET/PREFIX"),
        ("endpoint = \"http://x\"", "`url` is missing"),
        ("url = \"s3://b\"\nkey_id = \"a\"", "give both or neither"),
        ("url = \"s3://b\"\nendpont = \"http://x\"", "did you mean `endpoint`?"),
        ("url = \"s3://b\"\ntimeout_seconds = 0", "`timeout_seconds`"),
    ] {
        let error = of(table).unwrap_err();
        assert!(error.contains(expected), "{table}: {error}");
    }
}

#[test]
fn a_file_that_is_no_toml_or_is_not_there_is_told() {
    assert!(load_file("listen = = 1", &[]).unwrap_err().starts_with("FILE is not valid TOML: "));
    let error = load(&[("JOURNEYMAN_CONFIG", "/no/such.toml")]).unwrap_err();
    assert!(error.starts_with("settings: /no/such.toml cannot be read"), "{error}");
}

#[test]
fn the_list_of_settings_names_every_variable_and_no_other() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = std::fs::read_to_string(root.join("docs/settings.md")).unwrap();
    let source = ["load", "models", "extension", "kubernetes", "learning", "setup", "callers", "publish", "webhooks"]
        .map(|name| std::fs::read_to_string(root.join(format!("src/config/{name}.rs"))).unwrap());
    let own = regex::Regex::new(r#"source\s*\.(?:parsed|secret|list|own)\("([a-z_]+)""#).unwrap();
    let objects = std::fs::read_to_string(root.join("src/config/objects.rs")).unwrap();
    let of_objects = regex::Regex::new(r#"value\("([a-z_]+)"\)"#).unwrap();
    let of_objects =
        of_objects.captures_iter(&objects).map(|found| format!("JOURNEYMAN_OBJECTS_{}", found[1].to_uppercase()));
    let oidc = std::fs::read_to_string(root.join("src/config/oidc.rs")).unwrap();
    let of_oidc = regex::Regex::new(r#"(?:value|span)\("([a-z_]+)""#).unwrap();
    let of_oidc = of_oidc.captures_iter(&oidc).map(|found| format!("JOURNEYMAN_OIDC_{}", found[1].to_uppercase()));
    let memory = std::fs::read_to_string(root.join("src/config/memory.rs")).unwrap();
    let of_memory = regex::Regex::new(r#"(memory|section)\.parsed\(source, "([a-z_]+)""#).unwrap();
    let of_memory = of_memory.captures_iter(&memory).map(|found| {
        let table = if &found[1] == "memory" { "MEMORY" } else { "EMBEDDINGS" };
        format!("JOURNEYMAN_{table}_{}", found[2].to_uppercase())
    });
    let known: std::collections::BTreeSet<String> = source
        .iter()
        .flat_map(|text| own.captures_iter(text))
        .map(|found| format!("JOURNEYMAN_{}", found[1].to_uppercase()))
        .chain(of_objects)
        .chain(of_oidc)
        .chain(of_memory)
        .collect();
    let named = regex::Regex::new(r"JOURNEYMAN_[A-Z_]*[A-Z]").unwrap();
    let mut listed: std::collections::BTreeSet<String> =
        named.find_iter(&list).map(|found| found.as_str().to_owned()).collect();
    listed.remove("JOURNEYMAN_CONFIG");
    assert_eq!(listed, known);
}

#[test]
fn rules_are_read_whole_and_their_examples_are_tried() {
    let settings = load_file(
        r#"
        [[rules]]
        prefix = ["npm", ["publish", "unpublish"]]
        decision = "deny"
        reason = "the release pipeline publishes"
        match = ["npm publish", "cd web && npm --tag next publish"]
        not_match = ["npm run publish"]

        [[rules]]
        paths = ["/srv"]
        decision = "ask"
        reviewer = false
        match = ["ls /srv/x"]
    "#,
        &[],
    )
    .unwrap();
    let read: Vec<_> =
        settings.rules.iter().map(|rule| (journeyman::agent::rules::name(rule), rule.reviewer)).collect();
    assert_eq!(read, [("deny: npm publish|unpublish".to_owned(), true), ("ask: /srv".to_owned(), false)]);
}

#[test]
fn what_is_wrong_with_a_rule_is_told_with_its_number() {
    let rule = |rest: &str| load_file(&format!("[[rules]]\n{rest}"), &[]).unwrap_err();
    for (rest, expected) in [
        ("decision = \"ask\"", "has neither `prefix` nor `paths`"),
        ("prefix = [\"git\"]\ndecision = \"ask\"\nreasn = \"x\"", "unknown key `reasn`: did you mean `reason`?"),
        ("prefix = [\"git\", \"\"]\ndecision = \"ask\"", "`prefix` and `paths` may hold no empty word"),
        ("prefix = [[]]\ndecision = \"ask\"", "`prefix` and `paths` may hold no empty word"),
        ("paths = [\".ssh\"]\ndecision = \"ask\"", "the path \".ssh\" must begin with / or ~"),
        (
            "prefix = [\"/bin/git\"]\ndecision = \"ask\"",
            "\"/bin/git\" must be a program's name alone, without its directory or arguments",
        ),
        ("prefix = [\"git\"]\ndecision = \"ask\"\nmatch = 3", "`match` must be a list of command lines"),
        (
            "prefix = [\"git\", \"push\"]\ndecision = \"deny\"\nmatch = [\"git pull\"]",
            "\"deny: git push\" does not match its example \"git pull\"",
        ),
        (
            "prefix = [\"git\"]\ndecision = \"allow\"\nnot_match = [\"ls | xargs git add\"]",
            "\"allow: git\" matches \"ls | xargs git add\", which its `not_match` says it does not",
        ),
    ] {
        assert_eq!(rule(rest), format!("`rules` in FILE: rule 1: {expected}"));
    }
    assert!(rule("prefix = [\"git\"]\ndecision = \"maybe\"").contains("rule 1: unknown variant `maybe`"));
    assert!(rule("prefix = [\"git\"]").contains("missing field `decision`"));
    assert!(load_file("rules = 3", &[]).unwrap_err().contains("write each rule as [[rules]]"));
}

#[test]
fn another_programs_engine_stops_no_service_that_uses_none() {
    for host in ["ssh://user@elsewhere", "npipe:////./pipe/docker", "fd://", "what is this"] {
        let settings = load(&[("DOCKER_HOST", host)]).unwrap();
        assert_eq!(settings.workspace.backend, WorkspaceBackend::Bubblewrap, "{host}");
        let error =
            load(&[("DOCKER_HOST", host), ("JOURNEYMAN_WORKSPACE", "docker"), ("JOURNEYMAN_DOCKER_IMAGE", "x")]);
        assert!(error.unwrap_err().contains("DOCKER_HOST"), "{host}");
        let error = load(&[("JOURNEYMAN_DOCKER_HOST", host)]).unwrap_err();
        assert!(error.contains("JOURNEYMAN_DOCKER_HOST"), "what is meant for the service is read: {error}");
    }
}

#[test]
fn setups_without_an_environment_reach_nothing_unless_the_operator_says_so() {
    let read = |value: &str| load(&[("JOURNEYMAN_SETUP_NETWORK", value)]).map(|settings| settings.workspace.setup);
    assert_eq!(load(&[]).unwrap().workspace.setup.network, None);
    assert_eq!(load(&[]).unwrap().workspace.setup.timeout_seconds, 900);
    for off in ["off", "registries,off"] {
        assert_eq!(read(off).unwrap().network, None);
    }
    let some = read("preset:npm, npm.corp.example:8443").unwrap().network.unwrap();
    assert_eq!(some.hosts, ["npm.corp.example:8443", "preset:npm"]);
    assert_eq!(some.methods, ["GET", "HEAD"]);
    let all = read("registries").unwrap().network.unwrap();
    assert!(all.hosts.len() > 10 && all.hosts.contains(&"preset:pypi".to_owned()), "{all:?}");
    assert_eq!(read("open").unwrap().network.unwrap().mode, journeyman::domain::task::NetworkMode::Open);
    let wrong = read("preset:nmp").unwrap_err();
    assert!(wrong.contains("JOURNEYMAN_SETUP_NETWORK") && wrong.contains("registries"), "{wrong}");
}
