//! The rules that the server brings: what reaches out of the sandbox, or asks for what should not be in it.
//!
//! All of them ask. An operator's own rules come before them.

use crate::domain::rule::{CommandRule, RuleDecision, Token};

/// A built-in rule with what it is known by; `prefix` has the alternatives of each place between `|`.
#[derive(Clone, Copy, Debug)]
struct BuiltIn {
    prefix: &'static str,
    paths: &'static [&'static str],
    except_paths: &'static [&'static str],
    except_loopback: bool,
    reason: &'static str,
}

const fn outward(prefix: &'static str, reason: &'static str) -> BuiltIn {
    BuiltIn { prefix, paths: &[], except_paths: &[], except_loopback: false, reason }
}

const PUSH: &str = "it sends work to another place";
const PUBLISH: &str = "it publishes or withdraws something for others";
const DEPLOY: &str = "it changes what runs elsewhere";
const REMOTE: &str = "it works on another machine or service";
const NETWORK: &str = "it reaches out over the network";
const SECRETS: &str = "it names a place where secrets are kept";
const OUTSIDE: &str = "it removes or changes something outside the working copy";

/// Where secrets are kept on many machines.
const SECRET_PLACES: &[&str] = &[
    "~/.ssh",
    "~/.aws",
    "~/.azure",
    "~/.config/gcloud",
    "~/.config/gh",
    "~/.kube",
    "~/.gnupg",
    "~/.netrc",
    "~/.git-credentials",
    "~/.docker/config.json",
    "~/.npmrc",
    "~/.pypirc",
    "~/.cargo/credentials",
    "~/.cargo/credentials.toml",
    "~/.vault-token",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/sudoers",
    "/proc/*/environ",
    "/run/secrets",
    "/var/run/secrets",
    "/run/docker.sock",
    "/var/run/docker.sock",
];

const ALL: &[BuiltIn] = &[
    outward("git push|send-email", PUSH),
    outward("hg push", PUSH),
    outward("svn commit|ci", PUSH),
    outward("jj git push", PUSH),
    outward("npm|pnpm|yarn|bun publish|unpublish|deprecate|dist-tag|login|adduser|token", PUBLISH),
    outward("yarn npm publish|login", PUBLISH),
    outward("cargo publish|yank|owner|login", PUBLISH),
    outward("poetry|uv|flit|hatch|pdm|maturin|rye publish", PUBLISH),
    outward("twine|maturin upload", PUBLISH),
    outward("python|python3 setup.py upload|register", PUBLISH),
    outward("gem push|yank|signin", PUBLISH),
    outward("mvn|mvnw deploy|release:perform", PUBLISH),
    outward("gradle|gradlew publish|uploadArchives", PUBLISH),
    outward("dotnet nuget push|delete", PUBLISH),
    outward("nuget push|delete", PUBLISH),
    outward("mix hex.publish", PUBLISH),
    outward("dart|flutter pub publish", PUBLISH),
    outward("pod trunk push", PUBLISH),
    outward("vsce|ovsx|lerna|changeset publish", PUBLISH),
    outward("docker|podman|nerdctl|buildah push|login", PUBLISH),
    outward("docker|podman compose|image|manifest push", PUBLISH),
    outward("skopeo|crane|oras copy|push|delete|login", PUBLISH),
    outward("helm push|install|upgrade|uninstall|rollback", DEPLOY),
    outward("goreleaser|semantic-release|release-it", PUBLISH),
    outward("gh|glab|hub", REMOTE),
    outward("terraform|tofu|terragrunt apply|destroy|import|taint", DEPLOY),
    outward("pulumi up|destroy|import", DEPLOY),
    outward("kubectl|oc|aws|gcloud|gsutil|az|flyctl|heroku|vercel|netlify|wrangler|doctl", REMOTE),
    outward("firebase|serverless|cdk deploy|destroy|remove", DEPLOY),
    outward("ansible|ansible-playbook", REMOTE),
    outward("ssh|scp|sftp|sshpass|ssh-copy-id|mosh|telnet|ftp|lftp|rclone|s3cmd|ngrok|cloudflared|tailscale", REMOTE),
    BuiltIn { except_loopback: true, ..outward("curl|wget|aria2c|nc|ncat|netcat|socat", NETWORK) },
    BuiltIn { paths: SECRET_PLACES, ..outward("", SECRETS) },
    BuiltIn {
        paths: &["/", "~"],
        except_paths: &["/workspace", "/tmp", "/var/tmp", "/dev/null"],
        ..outward("rm|rmdir|shred|unlink|truncate|chmod|chown|chgrp|mv", OUTSIDE)
    },
    BuiltIn {
        paths: &["/dev"],
        except_paths: &["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"],
        ..outward("dd", OUTSIDE)
    },
    outward("mkfs|shutdown|reboot|halt|poweroff", OUTSIDE),
];

/// The built-in rules, in a fixed order.
pub fn built_in() -> Vec<CommandRule> {
    ALL.iter().map(BuiltIn::rule).collect()
}

impl BuiltIn {
    fn rule(&self) -> CommandRule {
        let token = |words: &str| match words.split('|').map(str::to_owned).collect::<Vec<_>>() {
            words if words.len() > 1 => Token::Any(words),
            words => Token::Word(words.concat()),
        };
        let texts = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
        CommandRule {
            prefix: self.prefix.split_whitespace().map(token).collect(),
            paths: texts(self.paths),
            except_paths: texts(self.except_paths),
            except_loopback: self.except_loopback,
            decision: RuleDecision::Ask,
            reason: Some(self.reason.to_owned()),
            reviewer: true,
        }
    }
}
