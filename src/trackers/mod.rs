//! Issue trackers: GitHub, GitLab, Gitea and Forgejo, Jira, Linear.
//!
//! In: [`verify`] holds a request's raw bytes against an integration's secrets, [`parse`] reads what has happened, and
//! [`rules::wanted`] says what is to be done about it. Which tracker it is follows from the integration, never from a
//! header: Gitea sends GitHub's as well. All of that is pure. [`standing`] asks a forge who somebody is.
//! Texts that people wrote are data: they are cleaned ([`clean`]) of what a reader of the tracker does not see.
//! Out: [`forge`] speaks of pull requests and comments in a forge's own words; [`voice`] answers at every tracker, by comments
//! that are known again by a mark, which [`parse`] knows too. A tracker that wants to be left alone is, by whoever asks
//! ([`client`]). What people may have an answer say is a [`template`]. None of
//! them knows of tasks.
//! Start with [`delivery`] for what comes in.

pub mod clean;
pub mod client;
pub mod command;
pub mod delivery;
mod exchange;
pub mod forge;
mod gitea;
mod github;
mod gitlab;
mod jira;
mod linear;
mod mark;
mod read;
pub mod rules;
mod signature;
pub mod standing;
pub mod template;
pub mod tokens;
pub mod voice;

pub use delivery::{Comment, Delivery, Issue, Person, Repository, What, parse};
pub use signature::{Refused, verify};
