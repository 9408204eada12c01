//! The commands. The only room that prints.
//!
//! What a person types is parsed in [`arguments`], what it does is in one file per command, and
//! what ends up on a terminal is made by pure functions: [`story`] folds events into lines,
//! [`screen`] gives lines a width and colours. All that is said of a task comes from the public
//! API ([`client`]), also when the server is embedded: this room never looks into the store.
//! Start with [`main`].

pub mod arguments;
pub mod checkout;
pub mod client;
mod exit;
mod hook;
mod outline;
mod output;
pub mod replay;
mod run;
pub mod screen;
mod server;
pub mod story;
pub mod table;
mod task;
pub mod view;
mod watch;

pub use arguments::Arguments;
pub use exit::Exit;

use arguments::Command;

/// Runs one command to its end.
///
/// Errors go to stderr, as one line each; what they mean for a calling program is in the
/// returned [`Exit`].
pub async fn main(arguments: Arguments) -> Exit {
    let done = match arguments.command {
        Command::Serve(serve) => Box::pin(server::serve(&arguments.settings, &serve)).await,
        Command::Doctor => server::doctor(&arguments.settings).await,
        Command::Openapi => server::openapi(),
        Command::Model(model) => server::model(model).await,
        Command::Admin(admin) => server::admin(&arguments.settings, admin).await,
        Command::Healthcheck(check) => server::healthcheck(check).await,
        Command::Run(run) => Box::pin(run::run(&arguments.settings, *run)).await,
        Command::Task(task) => task::task(task).await,
        Command::Hook(hook) => hook::hook(hook),
        Command::Outline => outline::outline(),
    };
    done.unwrap_or_else(|error| exit::complain(&error))
}
