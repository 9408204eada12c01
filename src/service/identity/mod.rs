//! Who belongs where and may do what: teams, members, their accounts elsewhere, users of the instance. Start with `members.rs`.

mod behalf;
mod limits;
mod linked_accounts;
mod me;
mod members;
mod sessions;
mod teams;
mod users;

pub use limits::LimitsEdit;
pub use linked_accounts::{LinkedAccountView, NewLinkedAccount};
pub use me::MeView;
pub use members::{IdentityInput, MemberEdit, MemberView, NewMember, Who};
pub use sessions::SessionView;
pub use teams::{NewTeam, TeamEdit, TeamView};
pub use users::UserView;
