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
    /// Approve that files go out which say what a host runs, or what somebody asked for who is no member.
    ApprovePublishing,
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
    /// Name the team, set its limits and its instructions.
    ManageTeam,
    /// See what one's own tasks have used.
    ReadOwnUsage,
    /// See what everybody's tasks have used.
    ReadTeamUsage,
    /// See what the tasks of all teams have used.
    ReadAllUsage,
    /// Read who did what in the team.
    ReadAuditLog,
    /// Add members, give them roles and limits, remove them.
    ManageMembers,
    /// Create tasks for other members: of a key that names the scope.
    Delegate,
    /// See, propose, confirm and remove accounts elsewhere of one's own.
    OwnLinks,
    /// The same for all of the team.
    ManageLinks,
    /// See and end browser sessions of one's own.
    OwnSessions,
    /// See all teams of the instance, make and delete them.
    ManageTeams,
    /// See all users of the instance, deactivate them and let them in again.
    ManageUsers,
    /// See environments and git credentials, without their secrets.
    ReadEnvironments,
    /// Make, change and delete environments, their secrets, and git credentials.
    ManageEnvironments,
    /// See, make, change and delete webhook endpoints, whose addresses can be secrets, and what was sent to them.
    ManageWebhooks,
    /// See integrations, without their secrets.
    ReadIntegrations,
    /// Make, change and delete integrations; see and replay what came by them.
    ManageIntegrations,
}

impl Right {
    /// The least role and the scope that a key must have.
    fn needs(self) -> (Role, Scope) {
        match self {
            Self::ReadTasks | Self::ReadOwnUsage | Self::ReadTeam | Self::ReadEnvironments | Self::ReadIntegrations => {
                (Role::Viewer, Scope::TasksRead)
            }
            Self::WriteTasks => (Role::Member, Scope::TasksWrite),
            Self::OpenNetwork | Self::DeleteOthersTasks | Self::ApprovePublishing => (Role::Admin, Scope::TasksWrite),
            Self::ExportOthersTasks => (Role::Admin, Scope::TasksRead),
            Self::ReadMemories => (Role::Viewer, Scope::Memories),
            Self::WriteMemories => (Role::Member, Scope::Memories),
            Self::ManageTeamMemories => (Role::Admin, Scope::Memories),
            Self::OwnKeys => (Role::Member, Scope::Admin),
            Self::Delegate => (Role::Member, Scope::TasksDelegate),
            // The last three are an operator's, whatever his role in the team is.
            Self::OwnLinks | Self::OwnSessions | Self::ManageTeams | Self::ManageUsers | Self::ReadAllUsage => {
                (Role::Viewer, Scope::Admin)
            }
            Self::ManageKeys
            | Self::ManageTeam
            | Self::ManageMembers
            | Self::ManageLinks
            | Self::ManageEnvironments
            | Self::ManageWebhooks
            | Self::ManageIntegrations
            | Self::ReadTeamUsage
            | Self::ReadAuditLog => (Role::Admin, Scope::Admin),
        }
    }

    /// Whether it reaches beyond the team, and is an operator's of the instance alone.
    fn is_operators(self) -> bool {
        matches!(self, Self::ManageTeams | Self::ManageUsers | Self::ReadAllUsage)
    }
}

/// Whether the principal may; for choices, where [`require`] is for refusals.
pub fn may(principal: &Principal, right: Right) -> bool {
    let (role, scope) = right.needs();
    principal.may(role, scope) && (principal.operator || !right.is_operators())
}

/// Refuses with what is missing.
pub fn require(principal: &Principal, right: Right) -> Result<(), Error> {
    let (role, scope) = right.needs();
    if right.is_operators() && !principal.operator {
        return Err(Error::Forbidden("this is for operators of the instance".to_owned()));
    }
    if principal.role < role {
        return Err(Error::Forbidden(format!("this needs the role {}", role.as_str())));
    }
    if !principal.has(scope) {
        return Err(Error::Forbidden(format!("this API key lacks the scope {}", scope.as_str())));
    }
    Ok(())
}
