//! Who may do what: the one place where roles and scopes are asked.

use super::error::Error;
use crate::domain::{Principal, Role, Scope};

/// What a principal wants to do, from the table below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Read the team's tasks, their logs, patches and files.
    ReadTasks,
    /// Create tasks, steer and end them, decide approvals, upload.
    WriteTasks,
    /// Let a task's network be open.
    OpenNetwork,
    /// Delete a task of somebody else.
    DeleteOthersTasks,
    /// Take a task of somebody else out, with all that only its worker reads.
    ExportOthersTasks,
    ReadMemories,
    WriteMemories,
    /// Change or delete memories that belong to the whole team.
    ManageTeamMemories,
    /// Make and revoke API keys of one's own.
    OwnKeys,
    /// See and revoke API keys of the whole team.
    ManageKeys,
    /// See who belongs to the team.
    ReadTeam,
    ManageTeam,
    /// See environments and git credentials, without their secrets.
    ReadEnvironments,
    /// Make, change and delete environments, their secrets, and git credentials.
    ManageEnvironments,
}

impl Right {
    /// The least role and the scope that a key must have.
    fn needs(self) -> (Role, Scope) {
        match self {
            Self::ReadTasks | Self::ReadTeam | Self::ReadEnvironments => (Role::Viewer, Scope::TasksRead),
            Self::WriteTasks => (Role::Member, Scope::TasksWrite),
            Self::OpenNetwork | Self::DeleteOthersTasks => (Role::Admin, Scope::TasksWrite),
            Self::ExportOthersTasks => (Role::Admin, Scope::TasksRead),
            Self::ReadMemories => (Role::Viewer, Scope::Memories),
            Self::WriteMemories => (Role::Member, Scope::Memories),
            Self::ManageTeamMemories => (Role::Admin, Scope::Memories),
            Self::OwnKeys => (Role::Member, Scope::Admin),
            Self::ManageKeys | Self::ManageTeam | Self::ManageEnvironments => (Role::Admin, Scope::Admin),
        }
    }
}

/// Whether the principal may; for choices, where [`require`] is for refusals.
pub fn may(principal: &Principal, right: Right) -> bool {
    let (role, scope) = right.needs();
    principal.may(role, scope)
}

/// Refuses with what is missing.
pub fn require(principal: &Principal, right: Right) -> Result<(), Error> {
    let (role, scope) = right.needs();
    if principal.role < role {
        return Err(Error::Forbidden(format!("this needs the role {}", role.as_str())));
    }
    if !principal.may(role, scope) {
        return Err(Error::Forbidden(format!("this API key lacks the scope {}", scope.as_str())));
    }
    Ok(())
}
