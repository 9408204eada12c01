//! What can be typed. Parsing only: nothing here reads a file or speaks to anyone.

mod admin;

pub use admin::{
    Admin, AdminCommand, CancelArguments, KeyCommand, ModelCommand, SecretsCommand, TeamCommand, UserCommand,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf};

/// A coding-agent service: requests in, verified patches out.
#[derive(Debug, Parser)]
#[command(name = "journeyman", version, propagate_version = true)]
pub struct Arguments {
    #[command(flatten)]
    pub settings: SettingsArguments,
    #[command(subcommand)]
    pub command: Command,
}

/// Where the settings come from; environment variables override the file.
#[derive(Args, Clone, Debug, Default)]
pub struct SettingsArguments {
    /// TOML file with the settings (or `JOURNEYMAN_CONFIG`); environment variables override it
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API and run tasks
    Serve(Serve),
    /// Do one request and show the work: the main job in one command
    Run(Box<Run>),
    /// Look at and steer the tasks of a server
    Task(Task),
    /// Manage users, teams and API keys, straight on the database
    Admin(Admin),
    /// Try everything the main job needs and say what is wrong
    Doctor,
    /// Print the API's description (openapi.yaml)
    Openapi,
    /// Serve a scripted model, for demos and tests
    Model(Model),
    /// Look at what an issue tracker sends
    #[command(subcommand)]
    Hook(HookCommand),
    #[command(about = "Ask the server at JOURNEYMAN_LISTEN whether it is alive")]
    Healthcheck(Healthcheck),
    /// Read source files from stdin and write their outline: the service starts it in a sandbox
    #[command(hide = true)]
    Outline,
}

#[derive(Debug, Subcommand)]
pub enum HookCommand {
    /// Say whether a captured request is signed with a secret, and what is understood of it; exit 1 where it is not
    Verify(VerifyHook),
}

#[derive(Args, Debug)]
pub struct VerifyHook {
    #[arg(long, value_enum)]
    pub tracker: TrackerArgument,
    /// The secret that the tracker was given; a line break at its end does not count
    #[arg(long, value_name = "FILE")]
    pub secret_file: PathBuf,
    /// The request's headers, a line each
    #[arg(long, value_name = "FILE")]
    pub headers_file: PathBuf,
    /// The request's body, byte for byte
    #[arg(long, value_name = "FILE")]
    pub body_file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TrackerArgument {
    Github,
    Gitlab,
    Gitea,
    Jira,
    Linear,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RoleArgument {
    #[default]
    All,
    Api,
    Worker,
}

#[derive(Args, Debug)]
pub struct Serve {
    /// What this process does
    #[arg(long, value_enum, default_value_t)]
    pub role: RoleArgument,
    /// Refuse to start when migrations are due, instead of applying them
    #[arg(long)]
    pub no_migrate: bool,
}

/// Which server is spoken to.
#[derive(Args, Clone, Debug, Default)]
pub struct ServerArguments {
    /// Base URL of the server (or `JOURNEYMAN_URL`)
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// API key or JWT (or `JOURNEYMAN_KEY`)
    #[arg(long, global = true, value_name = "KEY")]
    pub key: Option<String>,
}

/// How what happens is shown.
#[derive(Args, Clone, Debug, Default)]
pub struct OutputArguments {
    /// One JSON object per line instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", help = COLOR_HELP)]
    pub color: ColorArgument,
}

const COLOR_HELP: &str = "Colours and live progress: on a terminal unless NO_COLOR is set, always or never";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorArgument {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RequireArgument {
    /// Exit 0 only when the server itself has seen the checks pass
    Verified,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ModeArgument {
    Auto,
    Change,
    Answer,
    Plan,
}

#[derive(Args, Debug)]
pub struct Run {
    /// What to do, in words; `-` reads it from stdin
    #[arg(value_name = "REQUEST")]
    pub request: String,
    /// A local git repository or a URL; absent: the repository around the current directory
    #[arg(long, value_name = "PATH|URL", conflicts_with = "no_repo")]
    pub repo: Option<String>,
    /// Start in an empty directory
    #[arg(long)]
    pub no_repo: bool,
    /// Branch, tag or commit to work on; absent: HEAD
    #[arg(long = "ref", value_name = "REF", conflicts_with = "no_repo")]
    pub reference: Option<String>,
    /// One of the server's models; absent: its first
    #[arg(long)]
    pub model: Option<String>,
    /// A command that must pass; may be given several times
    #[arg(long = "check", value_name = "COMMAND")]
    pub checks: Vec<String>,
    /// Exit 0 only when the result is this
    #[arg(long, value_enum)]
    pub require: Option<RequireArgument>,
    /// What is wanted: a change, an answer, a plan; auto lets the work decide
    #[arg(long, value_enum)]
    pub mode: Option<ModeArgument>,
    /// At most this many model calls
    #[arg(long, value_name = "N")]
    pub turns: Option<u32>,
    /// At most this many US dollars
    #[arg(long, value_name = "USD")]
    pub cost: Option<f64>,
    /// Apply the patch to the local checkout when the task has succeeded
    #[arg(long)]
    pub apply: bool,
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Args, Debug)]
pub struct Task {
    #[command(subcommand)]
    pub command: TaskCommand,
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnBusyArgument {
    /// Before the next model call
    Steer,
    /// After the present run
    Queue,
    /// Now: what runs is cut off
    Interrupt,
}

#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// List tasks, newest first
    List {
        /// Only these states; may be given several times
        #[arg(long)]
        status: Vec<String>,
        /// Only tasks whose title or request holds these words
        #[arg(long, short)]
        query: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Show one task: its state, plan, checks and verdict
    Show { task: String },
    /// Follow a task's work until it has ended
    Watch {
        task: String,
        /// Start after this event
        #[arg(long, value_name = "SEQ", default_value_t = 0)]
        after: i64,
        /// Go on after the task has ended, for its next run
        #[arg(long)]
        follow: bool,
    },
    /// Send a message; a task at rest wakes and works on
    Say {
        task: String,
        /// `-` reads it from stdin
        text: String,
        #[arg(long, value_enum, default_value = "steer")]
        on_busy: OnBusyArgument,
    },
    /// Stop a task; its patch so far is kept
    Cancel { task: String },
    /// Approve what a task is waiting for
    Approve {
        task: String,
        /// Which one, where several wait
        approval: Option<String>,
        #[arg(long)]
        note: Option<String>,
        /// Decide the like of it for the rest of the task, too
        #[arg(long)]
        remember: bool,
    },
    /// Deny what a task is waiting for
    Deny {
        task: String,
        /// Which one, where several wait
        approval: Option<String>,
        #[arg(long)]
        note: Option<String>,
        /// Decide the like of it for the rest of the task, too
        #[arg(long)]
        remember: bool,
    },
    /// Answer a task's questions, one answer each
    Answer {
        task: String,
        #[arg(required = true)]
        answers: Vec<String>,
        /// Which one, where several wait
        #[arg(long)]
        approval: Option<String>,
    },
    /// Print a task's patch, as `git apply` takes it
    Patch {
        task: String,
        /// From the working copy after this turn
        #[arg(long, value_name = "TURN")]
        from_turn: Option<u32>,
        /// To the working copy after this turn
        #[arg(long, value_name = "TURN")]
        to_turn: Option<u32>,
    },
    /// Bring a task's patch to its repository's host, as a branch of its own
    Publish {
        task: String,
        /// It begins with journeyman/
        #[arg(long, value_name = "BRANCH")]
        branch: Option<String>,
        /// Open a pull request, too
        #[arg(long)]
        pull_request: bool,
        /// In place of the task's
        #[arg(long)]
        title: Option<String>,
    },
    /// Start a new task from a point of this one
    Fork {
        task: String,
        #[arg(long, value_name = "SEQ")]
        from_seq: Option<i64>,
        /// What to do there, in words
        #[arg(long)]
        request: Option<String>,
        #[arg(long)]
        model: Option<String>,
    },
    /// Start the last run again from its beginning
    Retry { task: String },
    /// Fold a recorded task again, without a model: the loop must decide what it had decided
    Replay {
        /// A task of the server, or a file that `task export` has written
        #[arg(value_name = "TASK|FILE")]
        task: String,
    },
    /// Write a task with its whole log to a file
    Export {
        task: String,
        /// Default: task-TASK.jsonl.gz
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Put placeholders for all that people, models, tools and files said
        #[arg(long)]
        redact: bool,
    },
    /// Make a task of an exported one
    Import { file: PathBuf },
}

#[derive(Args, Debug)]
pub struct Model {
    /// What the model says, in JSON or TOML; see docs/scripted-model.md
    #[arg(long, value_name = "FILE")]
    pub script: PathBuf,
    /// Port 0 takes a free one; the address is printed
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub listen: SocketAddr,
}

#[derive(Args, Debug)]
pub struct Healthcheck {
    /// The address that the server listens on; absent: the settings'
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    #[command(flatten)]
    pub settings: SettingsArguments,
}
