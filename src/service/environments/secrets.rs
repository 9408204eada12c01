//! Secrets of environments: set and deleted by admins, listed by name, never read back.

use super::environment::{is_variable_name, too_many};
use crate::{
    domain::{EnvironmentId, Principal, Timestamp, environment::SecretUse},
    secrets::Secret,
    service::{
        Error, Faults, Service, access,
        access::Right,
        audit::{self, Action, Subject},
        given::host_patterns,
    },
    store::{environments, sealed},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

const SECRETS_MAX: usize = 100;
const VALUE_BYTES_MAX: usize = 16 << 10;
/// Of all of an environment's secrets, sealed: each is looked for in all that its tasks write.
const TOGETHER_BYTES_MAX: usize = 32 << 10;
/// Hosts that the audit log names.
const HOSTS_NOTED_MAX: usize = 10;

/// A secret as it is set.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// At most 16 KiB; never read back. Values under 8 bytes cannot be taken out of logs.
    #[schema(value_type = String, format = "password", write_only)]
    pub value: Secret,
    /// Default `setup`.
    #[serde(rename = "use")]
    pub used_for: Option<SecretUse>,
    /// For `broker`: the hosts whose requests get it; required there.
    pub hosts: Option<Vec<String>>,
}

/// A secret without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SecretView {
    pub name: String,
    #[serde(rename = "use")]
    pub used_for: SecretUse,
    pub hosts: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Service {
    /// Sets a secret, in place of one of the same name.
    pub async fn put_environment_secret(
        &self,
        principal: &Principal,
        environment: EnvironmentId,
        name: &str,
        new: NewSecret,
    ) -> Result<(), Error> {
        access::require(principal, Right::ManageEnvironments)?;
        let mut tx = self.store().team(principal.team).await?;
        // Locked, so that the limit holds for two who write at once.
        environments::get(&mut tx, environment, true).await?.ok_or(Error::NotFound)?;
        let mut faults = Faults::default();
        if !is_variable_name(name) {
            faults.add("/name", "must be letters, digits and _, not beginning with a digit, at most 128");
        }
        let length = new.value.expose().len();
        if new.value.expose().trim().is_empty() {
            faults.add("/value", "may not be empty");
        }
        if length > VALUE_BYTES_MAX {
            faults.add("/value", format!("may have at most {VALUE_BYTES_MAX} bytes"));
        }
        let used_for = new.used_for.unwrap_or(SecretUse::Setup);
        let hosts = host_patterns("/hosts", &new.hosts.unwrap_or_default(), &mut faults);
        if used_for == SecretUse::Broker && hosts.is_empty() {
            faults.add("/hosts", "must name the hosts whose requests get it");
        }
        faults.finish()?;
        let others = environments::secret_sizes(&mut tx, environment).await?;
        let others: Vec<usize> = others.into_iter().filter(|(of, _)| of != name).map(|(_, size)| size).collect();
        if others.len() >= SECRETS_MAX {
            return Err(too_many(&format!("an environment may have {SECRETS_MAX} secrets: delete one first")));
        }
        if others.iter().sum::<usize>() + length > TOGETHER_BYTES_MAX {
            return Err(too_many(&format!(
                "the secrets of an environment may have {TOGETHER_BYTES_MAX} bytes together: delete one first"
            )));
        }
        let owner = sealed::of_environment(principal.team, environment.0, name);
        let value = self.keyring().seal(&owner, &new.value).map_err(Error::internal)?;
        environments::put_secret(&mut tx, principal.team, environment, name, (used_for, &hosts), &value).await?;
        let detail = json!({ "use": used_for, "hosts": &hosts[..hosts.len().min(HOSTS_NOTED_MAX)] });
        audit::record(&mut tx, principal, Action::EnvironmentSecretSet, subject(environment, name), detail).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Secrets of an environment by name, those after `after`.
    pub async fn environment_secrets(
        &self,
        principal: &Principal,
        environment: EnvironmentId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<SecretView>, Error> {
        access::require(principal, Right::ReadEnvironments)?;
        let mut tx = self.store().team(principal.team).await?;
        environments::get(&mut tx, environment, false).await?.ok_or(Error::NotFound)?;
        let rows = environments::list_secrets(&mut tx, environment, after, limit).await?;
        tx.commit().await?;
        let view = |row: environments::SecretRow| SecretView {
            name: row.name,
            used_for: row.used_for,
            hosts: row.hosts,
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        Ok(rows.into_iter().map(view).collect())
    }

    pub async fn delete_environment_secret(
        &self,
        principal: &Principal,
        environment: EnvironmentId,
        name: &str,
    ) -> Result<(), Error> {
        access::require(principal, Right::ManageEnvironments)?;
        if !is_variable_name(name) {
            return Err(Error::NotFound);
        }
        let mut tx = self.store().team(principal.team).await?;
        if !environments::delete_secret(&mut tx, environment, name).await? {
            return Err(Error::NotFound);
        }
        let subject = subject(environment, name);
        audit::record(&mut tx, principal, Action::EnvironmentSecretDeleted, subject, Value::Null).await?;
        Ok(tx.commit().await?)
    }
}

fn subject(environment: EnvironmentId, name: &str) -> Subject {
    Subject::new("environment_secret", format!("{environment}/{name}"))
}
