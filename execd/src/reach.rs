//! `execd reach`: whether a workspace gets through to addresses, which it must not. Run as a command in one, so that
//! nothing has to be in its image for that.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

const ADDRESSES_MAX: usize = 16;
const PATIENCE: Duration = Duration::from_secs(2);

/// Says a line for each address: it, and `open`, `refused` (somebody answered), `silent` or `unreachable`.
pub(crate) fn reach(addresses: &[&str]) -> Result<(), String> {
    if addresses.len() > ADDRESSES_MAX {
        return Err(format!("at most {ADDRESSES_MAX} addresses"));
    }
    let parsed: Result<Vec<SocketAddr>, String> =
        addresses.iter().map(|text| text.parse().map_err(|_| format!("{text} is no address and port"))).collect();
    let tries: Vec<_> = parsed?.into_iter().map(|address| (address, thread::spawn(move || look(address)))).collect();
    for (address, tried) in tries {
        let seen = tried.join().map_err(|_| "a thread panicked".to_owned())?;
        writeln!(io::stdout(), "{address} {seen}").map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn look(address: SocketAddr) -> &'static str {
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(_) => "open",
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => "refused",
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "silent",
            _ => "unreachable",
        },
    }
}
