//! The commands that are about a server of this machine, and the one seam to `app`: everything
//! that `cli` asks of the composition root is asked here.

use super::{
    Exit,
    arguments::{
        Admin, AdminCommand, CancelArguments, Healthcheck, KeyCommand, Model, ModelCommand, RoleArgument,
        SecretsCommand, Serve, ServerArguments, SettingsArguments, TeamCommand, UserCommand,
    },
    client::Api,
    exit,
    screen::{Line, Screen, Tone, clean},
    watch::Interrupts,
};
use crate::{
    api,
    app::{self, AdminAction, CancelFilter, Embedded, LeftOut, Operation, Place},
    clock,
    config::{Environment, Settings},
    domain::{Scope, Timestamp},
    postgres, scripted,
    store::{budgets::Caps, operator_tasks::Chosen},
    telemetry,
};
use anyhow::Context;
use std::{io::Write, net::SocketAddr, path::PathBuf, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What a command with a server inside logs, unless the settings ask for more.
const QUIET: &str = "error";
const DAY: Duration = Duration::from_secs(86_400);

fn settings(arguments: &SettingsArguments) -> anyhow::Result<Settings> {
    Ok(Settings::load(arguments.config.as_deref(), &Environment::of_process()?)?)
}

pub(super) async fn serve(arguments: &SettingsArguments, serve: &Serve) -> anyhow::Result<Exit> {
    let settings = settings(arguments)?;
    telemetry::init(settings.log.format, &settings.log.filter)?;
    let role = match serve.role {
        RoleArgument::All => app::Role::All,
        RoleArgument::Api => app::Role::Api,
        RoleArgument::Worker => app::Role::Worker,
    };
    app::serve(settings, role, !serve.no_migrate).await?;
    Ok(Exit::Done)
}

/// Says what holds, what is weaker and what is wrong; exit 1 if the main job could not run.
pub(super) async fn doctor(arguments: &SettingsArguments) -> anyhow::Result<Exit> {
    let settings = settings(arguments)?;
    telemetry::init(settings.log.format, QUIET)?;
    let found = app::doctor(&settings).await;
    let widest = found.iter().map(|line| line.name.len()).max().unwrap_or(0);
    let lines: Vec<Line> = found
        .iter()
        .map(|line| {
            let (mark, tone) = match line.state {
                app::State::Good => ("✔", Tone::Good),
                app::State::Weaker => ("!", Tone::Warn),
                app::State::Bad => ("✘", Tone::Bad),
            };
            let name = format!(" {:<widest$}  ", clean(&line.name));
            Line::at(0).with(mark, tone).with(name, Tone::Strong).plain(clean(&line.detail)).hang(widest + 4)
        })
        .collect();
    // A closed stdout leaves nobody to tell; the exit code still says it.
    let _ = Screen::new(super::arguments::ColorArgument::Auto).print(&lines);
    let bad = found.iter().any(|line| line.state == app::State::Bad);
    Ok(if bad { Exit::Failed } else { Exit::Done })
}

pub(super) fn openapi() -> anyhow::Result<Exit> {
    write!(std::io::stdout(), "{}", api::yaml_document())?;
    Ok(Exit::Done)
}

/// Plays a script until Ctrl-C or SIGTERM. The first line on stdout has the model's base URL.
pub(super) async fn model(model: Model) -> anyhow::Result<Exit> {
    let script = scripted::Script::load(&model.script)?;
    let listener =
        TcpListener::bind(model.listen).await.with_context(|| format!("cannot listen on {}", model.listen))?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let shown = model.script.display();
    writeln!(std::io::stdout(), "scripted model (it plays {shown} and does not think) at {url}")?;
    let shutdown = CancellationToken::new();
    let mut interrupts = Interrupts::new()?;
    let mut serving = std::pin::pin!(scripted::serve(script, listener, shutdown.clone()));
    tokio::select! {
        done = &mut serving => done?,
        () = interrupts.next() => {
            shutdown.cancel();
            // Streams under way are cut after a second, or at once by a second Ctrl-C.
            tokio::select! {
                done = &mut serving => done?,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = interrupts.next() => {}
            }
        }
    }
    Ok(Exit::Done)
}

pub(super) async fn admin(arguments: &SettingsArguments, admin: Admin) -> anyhow::Result<Exit> {
    let action = action(admin.command)?;
    let settings = settings(arguments)?;
    telemetry::init(settings.log.format, QUIET)?;
    // A backup goes to where the lines would.
    let is_taken = matches!(&action, AdminAction::Backup { place: Place::Standard, .. });
    for line in app::admin(&settings, action).await? {
        if is_taken {
            writeln!(std::io::stderr(), "{line}")?;
        } else {
            writeln!(std::io::stdout(), "{line}")?;
        }
    }
    Ok(Exit::Done)
}

fn action(command: AdminCommand) -> anyhow::Result<AdminAction> {
    Ok(match command {
        AdminCommand::User(UserCommand::Add { name, team, role, email }) => {
            AdminAction::AddUser { name, team, role: role.parse().with_context(|| format!("--role {role}"))?, email }
        }
        AdminCommand::User(UserCommand::Operator { name, revoke }) => {
            AdminAction::SetOperator { name, operator: !revoke }
        }
        AdminCommand::User(UserCommand::Erase { user }) => AdminAction::EraseUser { user },
        AdminCommand::User(UserCommand::Erasures) => AdminAction::ListErasures,
        AdminCommand::Team(TeamCommand::Retention { name, tasks_days, history_days }) => {
            AdminAction::Retention { team: name, tasks_days, history_days }
        }
        AdminCommand::Backup { file, without_objects, without_key } => {
            AdminAction::Backup { place: place(file), left_out: LeftOut { objects: without_objects, key: without_key } }
        }
        AdminCommand::Restore { file } => AdminAction::Restore { place: place(file) },
        AdminCommand::Team(TeamCommand::Add { name }) => AdminAction::AddTeam { name },
        AdminCommand::Team(TeamCommand::List) => AdminAction::ListTeams,
        AdminCommand::Team(TeamCommand::Budget { name, user, cost_usd_per_day, cost_usd_per_month }) => {
            AdminAction::Budget { team: name, user, caps: Caps { cost_usd_per_day, cost_usd_per_month } }
        }
        AdminCommand::Secrets(SecretsCommand::Rotate) => AdminAction::RotateSecrets,
        AdminCommand::Pause { team, running } => AdminAction::Operate(Operation::Pause { team, running }),
        AdminCommand::Unpause { team } => AdminAction::Operate(Operation::Unpause { team }),
        AdminCommand::Drain { wait } => AdminAction::Operate(Operation::Drain { wait: Duration::from_secs(wait) }),
        AdminCommand::Cancel(cancel) => AdminAction::Operate(Operation::Cancel(cancelled(cancel)?)),
        AdminCommand::Model(ModelCommand::Off { name }) => AdminAction::Operate(Operation::Model { name, off: true }),
        AdminCommand::Model(ModelCommand::On { name }) => AdminAction::Operate(Operation::Model { name, off: false }),
        AdminCommand::Key(KeyCommand::Add { name, user, team, scopes, expires_days }) => {
            let scopes: Vec<_> = scopes.iter().map(|word| scope(word)).collect::<anyhow::Result<_>>()?;
            let expires_at = expires_days.map(|days| expiry(clock::now(), days));
            let scopes = (!scopes.is_empty()).then_some(scopes);
            AdminAction::AddKey { name, user, team, scopes, expires_at }
        }
    })
}

fn place(file: PathBuf) -> Place {
    if file.as_os_str() == "-" { Place::Standard } else { Place::File(file) }
}

fn cancelled(arguments: CancelArguments) -> anyhow::Result<CancelFilter> {
    let CancelArguments { team, user, label, model, status, older_than, all: _, dry_run } = arguments;
    let label = label.map(|label| {
        let pair = label.split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned()));
        pair.with_context(|| format!("--label {label}: must be a name, a colon and a value"))
    });
    let status = status.iter().map(|word| word.parse().map_err(|error| anyhow::anyhow!("--status {word}: {error}")));
    let chosen = Chosen {
        team: None,
        user,
        label: label.transpose()?,
        model,
        status: status.collect::<anyhow::Result<_>>()?,
        older_than: older_than.as_deref().map(span).transpose()?,
    };
    Ok(CancelFilter { team, chosen, dry_run })
}

/// A number with `s`, `m`, `h` or `d`.
fn span(text: &str) -> anyhow::Result<Duration> {
    let unit = text.chars().last().unwrap_or_default();
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => 0,
    };
    let number: Option<u64> = text.strip_suffix(unit).and_then(|number| number.parse().ok());
    match number.and_then(|number| number.checked_mul(seconds)).filter(|seconds| (1..=3_153_600_000).contains(seconds))
    {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => anyhow::bail!("--older-than {text}: must be a number with s, m, h or d, such as 90m"),
    }
}

fn scope(word: &str) -> anyhow::Result<Scope> {
    Scope::ALL.into_iter().find(|scope| scope.as_str() == word).with_context(|| {
        let known: Vec<&str> = Scope::ALL.into_iter().map(Scope::as_str).collect();
        format!("--scope {word}: must be one of {}", known.join(", "))
    })
}

fn expiry(now: Timestamp, days: u32) -> Timestamp {
    now.plus(DAY * days)
}

/// A server to speak to: somebody's, or one that lives as long as this value.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) api: Api,
    embedded: Option<Embedded>,
}

impl Connection {
    /// Stops the embedded server, where this is one. What still runs there is parked and goes on
    /// when the data directory is served again.
    pub(super) async fn close(self) {
        if let Some(embedded) = self.embedded
            && let Err(error) = embedded.stop().await
        {
            exit::complain(&error.context("the embedded server did not stop in order"));
        }
    }
}

/// The server that is named, and a key for it: by arguments, else by variables.
pub(super) fn named(server: &ServerArguments) -> anyhow::Result<(Option<String>, Option<String>)> {
    let environment = Environment::of_process()?;
    let or_variable = |given: &Option<String>, variable: &str| match given {
        Some(given) => Ok(Some(given.clone())),
        None => environment.get_or_file(variable).map(|found| found.map(|(value, _)| value)),
    };
    Ok((or_variable(&server.url, "JOURNEYMAN_URL")?, or_variable(&server.key, "JOURNEYMAN_KEY")?))
}

/// The server that was named; else the one that holds the data directory; else an embedded one.
pub(super) async fn connect(arguments: &SettingsArguments, server: &ServerArguments) -> anyhow::Result<Connection> {
    let (url, key) = named(server)?;
    if let Some(url) = url {
        return Ok(Connection { api: Api::new(&url, key)?, embedded: None });
    }
    let settings = settings(arguments)?;
    telemetry::init(settings.log.format, QUIET)?;
    if let Some(address) = postgres::data_dir::read_listen(&settings.data_dir) {
        let key = key.or_else(|| app::local_key_of(&settings.data_dir));
        let api = Api::new(&format!("http://{}", reachable(address)), key)?;
        api.healthy().await.context("a process holds the data directory, but does not serve")?;
        return Ok(Connection { api, embedded: None });
    }
    let embedded = Embedded::start(settings).await.context("cannot start a server for this call")?;
    let api = Api::new(&embedded.base_url, Some(embedded.key.clone()))?;
    Ok(Connection { api, embedded: Some(embedded) })
}

/// Whether the server that listens on this machine answers `GET /healthz` with 200 within 5 s.
pub(super) async fn healthcheck(check: Healthcheck) -> anyhow::Result<Exit> {
    let mut listen = match check.listen {
        Some(listen) => listen,
        None => settings(&check.settings)?.http.listen,
    };
    if listen.port() == 0 {
        let dir = settings(&check.settings)?.data_dir;
        listen = postgres::data_dir::read_listen(&dir)
            .with_context(|| format!("no server has said in {}/listen where it listens", dir.display()))?;
    }
    let api = Api::new(&format!("http://{}", reachable(listen)), None)?;
    match api.healthy().await {
        Ok(()) => Ok(Exit::Done),
        Err(error) => {
            exit::complain(&error.into());
            Ok(Exit::Failed)
        }
    }
}

/// An address to connect to for one that is listened on: `0.0.0.0` and `::` mean this machine.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}
