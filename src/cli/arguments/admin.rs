//! `journeyman admin`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub struct Admin {
    #[command(subcommand)]
    pub command: AdminCommand,
}

#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Users
    #[command(subcommand)]
    User(UserCommand),
    /// Teams
    #[command(subcommand)]
    Team(TeamCommand),
    /// API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Stored secrets
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Claim no new tasks, of the instance or of a team; it is heeded by every replica within 5 s
    Pause {
        /// Of this team alone
        #[arg(long)]
        team: Option<String>,
        /// Tasks that run rest at their next step, too
        #[arg(long)]
        running: bool,
    },
    /// Take a pause or a drain back; tasks that it put to rest go on
    Unpause {
        /// The pause of this team
        #[arg(long)]
        team: Option<String>,
    },
    /// Every replica gives back what it runs and claims nothing, until `unpause`
    Drain {
        /// Wait at most so long until no replica holds a task
        #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=3_600))]
        wait: u64,
    },
    /// Cancel tasks of all teams that have not ended
    Cancel(CancelArguments),
    /// Switch models off and on
    #[command(subcommand)]
    Model(ModelCommand),
    /// Write the database, the master key and the objects into one file, beside a service that runs
    Backup {
        /// A new file, or - for standard output. Whoever has it can open every stored secret
        file: PathBuf,
        /// Without the objects: their bucket has a backup of its own
        #[arg(long)]
        without_objects: bool,
        /// Without the master key, which is then needed for the restore
        #[arg(long)]
        without_key: bool,
    },
    /// Restore a backup into an empty database, and a data directory that no service uses
    Restore {
        /// The file, or - for standard input
        file: PathBuf,
    },
}

/// Those that all of it holds for; something must be given.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub struct CancelArguments {
    /// Of this team
    #[arg(long)]
    pub team: Option<String>,
    /// Of this user, by name or address
    #[arg(long)]
    pub user: Option<String>,
    /// With this label
    #[arg(long, value_name = "NAME:VALUE")]
    pub label: Option<String>,
    /// Made with this model
    #[arg(long)]
    pub model: Option<String>,
    /// In this state; may be given several times
    #[arg(long)]
    pub status: Vec<String>,
    /// Made longer ago than this: 90m, 36h, 7d
    #[arg(long, value_name = "TIME")]
    pub older_than: Option<String>,
    /// Whatever they are
    #[arg(long)]
    pub all: bool,
    /// List them, and cancel none
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// No replica calls it from five seconds on: tasks fall back as its chain says, or wait; new ones that name it are refused
    Off { name: String },
    /// It is called again, and tasks that waited for it go on
    On { name: String },
}

#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Put the keys of all stored secrets under the present `JOURNEYMAN_SECRET_KEY`; the earlier one is given as
    /// `JOURNEYMAN_SECRET_KEY_OLD`. It can be cut off and called again
    Rotate,
}

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make a user a member of a team, new or known
    Add {
        /// Name or address by which the user is known
        name: String,
        #[arg(long)]
        team: String,
        /// viewer, member or admin
        #[arg(long, default_value = "member")]
        role: String,
        #[arg(long)]
        email: Option<String>,
    },
    /// Make a user an operator of the instance: he sees all teams and users, makes teams, deactivates users
    Operator {
        /// Name or address by which the user is known, or his id
        name: String,
        /// He is one no longer
        #[arg(long)]
        revoke: bool,
    },
    /// Take a user's access at once, and let all go that is his; the sums of what he used and the audit log stay
    Erase {
        /// The name under which he was made here, or his id
        user: String,
    },
    /// List erasures and how far they are
    Erasures,
}

#[derive(Debug, Subcommand)]
pub enum TeamCommand {
    /// Make a team
    Add { name: String },
    /// List teams
    List,
    /// Cap in money what a team, or one of its members, may spend; what is not given is not capped
    Budget {
        name: String,
        /// The member that it is for; absent: the team as a whole
        #[arg(long)]
        user: Option<String>,
        /// US dollars of a day, UTC
        #[arg(long, value_name = "USD")]
        cost_usd_per_day: Option<f64>,
        /// US dollars of a calendar month, UTC
        #[arg(long, value_name = "USD")]
        cost_usd_per_month: Option<f64>,
    },
    /// For how long a team keeps ended tasks and their history: at most as long as the instance; what is not given is as
    /// the instance has it
    Retention {
        name: String,
        #[arg(long, value_name = "DAYS")]
        tasks_days: Option<u32>,
        #[arg(long, value_name = "DAYS")]
        history_days: Option<u32>,
    },
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make an API key; it is printed this once
    Add {
        /// What the key is for
        name: String,
        #[arg(long)]
        user: String,
        #[arg(long)]
        team: String,
        /// Less than the user's role allows; may be given several times
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Days until it expires; absent: never
        #[arg(long, value_name = "DAYS")]
        expires_days: Option<u32>,
    },
}
