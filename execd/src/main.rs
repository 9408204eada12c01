//! `execd serve` is the first process of a workspace: it runs commands and touches files there on
//! behalf of the server, which it hears on stdin and answers on stdout. `execd launch` is the
//! short-lived step before it on the host: it enters the cgroups and becomes bubblewrap. `execd
//! confine` is the like step inside a throwaway sandbox, which becomes the one program there.
//!
//! Where a container engine starts it, `execd serve --listen` waits for the server on a private
//! socket, and `execd connect` is the short-lived process that the engine attaches the server to: a
//! lost connection can be made again. In a Pod `execd install` has put it there before; whoever
//! comes to its socket then proves who he is by a secret, of which `--proof` is the digest.
//!
//! `execd pack` and `execd unpack` carry trees of files out of a workspace and into it, where the
//! server shares no file system with it, and `execd reach` tells what a workspace gets through to: each is run as a
//! command is.
//!
//! `--of` only marks the process, so
//! that a sweep finds those of its own service.
//!
//! It never reads a configuration or the network, of environment variables what an image gives its commands at the
//! most, holds no secret, and
//! ends when its stdin does or its server gives no sign of life, or some time after its last connection. Start with [`serve`].

mod apply;
mod calls;
mod confine;
mod connect;
mod connection;
mod disk;
mod door;
mod entry;
mod files;
mod heart;
mod install;
mod launch;
mod list;
mod output;
mod own;
mod process;
mod reach;
mod relay;
mod run;
mod search;
mod seccomp;
mod serve;
mod spawn;
mod walk;
mod worker;

use door::Guest;
use execd::carry;
use std::{
    io::{BufReader, BufWriter, Write},
    path::Path,
    process::ExitCode,
};

/// What is read and written at once of a tree that is carried.
const BUFFER_BYTES: usize = 64 * 1024;

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
            Ok(uid) => serve::listen(name, Guest::User(uid), Vec::new()),
            Err(_) => Err("a uid is a number".to_owned()),
        },
        ["serve", "--of", _, "--listen", name, "--from", uid, "--proof", digest] => match uid.parse() {
            Ok(uid) => {
                Guest::with_proof(Some(uid), digest).and_then(|guest| serve::listen(name, guest, Vec::new()))
            }
            Err(_) => Err("a uid is a number".to_owned()),
        },
        ["serve", "--of", _, "--listen", name, "--proof", digest] => {
            Guest::with_proof(None, digest).and_then(|guest| serve::listen(name, guest, own::environment()))
        }
        ["connect", name] => connect::connect(name),
        ["install", to, others @ ..] => install::install(to, others),
        ["reach", addresses @ ..] => reach::reach(addresses),
        ["pack", root, left_out @ ..] => {
            let out = &mut BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout().lock());
            carry::pack(Path::new(root), left_out, out).map_err(|error| error.to_string())
        }
        ["unpack", root] => {
            let input = &mut BufReader::with_capacity(BUFFER_BYTES, std::io::stdin().lock());
            carry::unpack(input, Path::new(root), carry::Limits::NONE).map_err(|error| error.to_string())
        }
        ["launch", plan] => Err(launch::launch(plan)),
        ["confine", "--of", _, plan] => Err(confine::confine(plan)),
        _ => {
            Err("usage: execd serve --of SERVICE [--uid N --gid N | --listen NAME [--from UID] [--proof DIGEST]] | execd connect \
             NAME | execd launch PLAN | execd confine --of SERVICE PLAN | execd install FILE [DIRECTORY/ | FILE]... | \
             execd pack ROOT [LEFT_OUT]... | execd unpack ROOT | execd reach ADDRESS..."
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
