//! `execd serve` is the first process of a workspace: it runs commands and touches files there on
//! behalf of the server, which it hears on stdin and answers on stdout. `execd launch` is the
//! short-lived step before it on the host: it enters the cgroups and becomes bubblewrap. `execd
//! confine` is the like step inside a throwaway sandbox, which becomes the one program there.
//!
//! Where a container engine starts it, `execd serve --listen` waits for the server on a private
//! socket, and `execd connect` is the short-lived process that the engine attaches the server to: a
//! lost connection can be made again.
//!
//! `--of` only marks the process, so
//! that a sweep finds those of its own service.
//!
//! It never reads a configuration, an environment variable or the network, holds no secret, and
//! ends when its stdin does, or some time after its last connection. Start with [`serve`].

mod apply;
mod calls;
mod confine;
mod connect;
mod connection;
mod disk;
mod door;
mod entry;
mod files;
mod launch;
mod list;
mod output;
mod process;
mod relay;
mod run;
mod search;
mod seccomp;
mod serve;
mod spawn;
mod walk;
mod worker;

use std::{io::Write, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["serve", "--of", _] => serve::serve(None),
        ["serve", "--of", _, "--uid", uid, "--gid", gid] => match (uid.parse(), gid.parse()) {
            (Ok(uid), Ok(gid)) => serve::serve(Some((uid, gid))),
            _ => Err("uid and gid are numbers".to_owned()),
        },
        ["serve", "--of", _, "--listen", name, "--from", uid] => match uid.parse() {
            Ok(uid) => serve::listen(name, uid),
            Err(_) => Err("a uid is a number".to_owned()),
        },
        ["connect", name] => connect::connect(name),
        ["launch", plan] => Err(launch::launch(plan)),
        ["confine", "--of", _, plan] => Err(confine::confine(plan)),
        _ => {
            Err("usage: execd serve --of SERVICE [--uid N --gid N | --listen NAME --from UID] | execd connect NAME | \
             execd launch PLAN | execd confine --of SERVICE PLAN"
                .to_owned())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "execd: {why}");
            ExitCode::FAILURE
        }
    }
}
