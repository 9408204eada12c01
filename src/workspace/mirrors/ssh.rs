//! The command by which git reaches a remote over ssh.

use crate::workspace::{
    credential::{GitCredential, Handed},
    source::SshUrl,
};
use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

pub(super) struct SshSettings {
    pub(super) known_hosts: PathBuf,
    pub(super) connect_seconds: u64,
}

/// ssh without the user's configuration, keys or agent, connected to the checked address; with a credential, by the one
/// key that its agent holds, and where the host's keys were given, to no other host.
pub(super) fn ssh_command(
    ssh: &SshUrl,
    addresses: &[SocketAddr],
    credential: Option<(&GitCredential, &Handed)>,
    settings: &SshSettings,
) -> OsString {
    let (host, alias) = (ssh.bare_host(), ssh.alias());
    let address = addresses.first().map_or_else(|| host.to_owned(), |address| address.ip().to_string());
    let given = credential.filter(|(credential, _)| credential.known_hosts.is_some());
    let known_hosts = given.map_or_else(|| settings.known_hosts.clone(), |(_, handed)| handed.known_hosts());
    let strict = if given.is_some() { "yes" } else { "accept-new" };
    // quoted for the shell, then for ssh's own option parser
    let known_hosts = format!("\"{}\"", known_hosts.display()).replace('\'', r"'\''");
    let seconds = settings.connect_seconds;
    let keys = match credential {
        None => "-o IdentityAgent=none -o IdentitiesOnly=yes".to_owned(),
        // The variable is set by the agent that this command runs beside.
        Some((credential, _)) => {
            let user = if ssh.user.is_none() { format!(" -o User={}", credential.user()) } else { String::new() };
            format!("-o IdentityAgent=SSH_AUTH_SOCK -o PreferredAuthentications=publickey{user}")
        }
    };
    format!(
        "ssh -F /dev/null -o BatchMode=yes -o HostName={address} -o 'HostKeyAlias={alias}' -o ConnectTimeout={seconds} \
         -o ServerAliveInterval=15 -o ServerAliveCountMax=3 -o StrictHostKeyChecking={strict} -o 'UserKnownHostsFile={known_hosts}' -o GlobalKnownHostsFile=/dev/null \
         -o IdentityFile=none {keys} -o ProxyCommand=none -o ForwardAgent=no \
         -o ForwardX11=no -o ClearAllForwardings=yes -o PermitLocalCommand=no -o ControlMaster=no -o ControlPath=none"
    )
    .into()
}
