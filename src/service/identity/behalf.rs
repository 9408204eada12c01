//! For whom a task is made: oneself, or with a key for it another member of the team.

use crate::{
    domain::{Principal, Role, UserId, linked_account::Provider},
    service::{Error, Service, access, access::Right},
    store::{TeamTx, linked_accounts, members, users},
};

const POINTER: &str = "/on_behalf_of";

impl Service {
    /// The principal as whom a task is made. `of` is a member's id, his address, or a linked account (`github:login`).
    ///
    /// # Errors
    /// Where the caller may not work for others, or the member is none, is deactivated, or may not make tasks himself.
    pub(in crate::service) async fn person(
        &self,
        tx: &mut TeamTx,
        principal: &Principal,
        of: Option<&str>,
    ) -> Result<Principal, Error> {
        let own = |of: &str| of.parse() == Ok(principal.user) || principal.email.as_deref() == Some(of);
        let Some(of) = of.filter(|of| !own(of)) else {
            // The credential may have ended on another replica in these seconds.
            if users::is_active(tx, principal.user).await? {
                return Ok(principal.clone());
            }
            return Err(Error::Forbidden("you are no member of this team any more".to_owned()));
        };
        access::require(principal, Right::Delegate)?;
        let user = meant(tx, of).await?;
        let member = members::get(tx, user).await?.ok_or_else(|| Error::invalid(POINTER, NOBODY))?;
        if member.deactivated {
            return Err(Error::invalid(POINTER, "this user is deactivated"));
        }
        if member.role < Role::Member {
            let role = member.role.as_str();
            return Err(Error::Forbidden(format!("on_behalf_of: {} is a {role} and may not make tasks", member.name)));
        }
        Ok(Principal {
            user,
            user_name: member.name,
            email: member.email,
            // Neither may do more than the other.
            role: member.role.min(principal.role),
            operator: false,
            ..principal.clone()
        })
    }
}

const NOBODY: &str = "no member of your team is known by this: name his id, his address, or a confirmed linked account";

async fn meant(tx: &mut TeamTx, of: &str) -> Result<UserId, Error> {
    if let Ok(id) = of.parse() {
        return Ok(id);
    }
    let account = of.split_once(':').and_then(|(word, login)| Some((Provider::parse(word)?, login)));
    let found = match account {
        Some((provider, login)) => linked_accounts::resolve(tx, provider, None, login).await?,
        None => members::by_email(tx, of).await?,
    };
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Error::invalid(POINTER, NOBODY)),
        _ => Err(Error::invalid(POINTER, "several members are known by this: name one by his id")),
    }
}
