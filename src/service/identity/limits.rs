//! What a team, or one member of it, may use at once and spend.

use crate::{
    domain::{TeamId, UserId},
    service::{Error, Faults, Service, input::given},
    store::{
        StoreError, TeamTx,
        budgets::{self, Caps},
        caps,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};
use utoipa::ToSchema;

const TASKS_MAX: u32 = 1_000_000;
const COST_USD_MAX: f64 = 1e9;

/// Limits to be set: what is absent stays, null takes a limit away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsEdit {
    /// Tasks that run at once.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    pub concurrent_tasks: Option<Option<u32>>,
    /// Tasks that wait in the queue.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 1_000_000)]
    pub queued_tasks: Option<Option<u32>>,
    /// US dollars of a day, UTC.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1_000_000_000)]
    pub cost_usd_per_day: Option<Option<f64>>,
    /// US dollars of a calendar month, UTC.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1_000_000_000)]
    pub cost_usd_per_month: Option<Option<f64>>,
}

impl LimitsEdit {
    pub(super) fn check(&self, pointer: &str, faults: &mut Faults) {
        let counts = [("concurrent_tasks", self.concurrent_tasks, 1), ("queued_tasks", self.queued_tasks, 0)];
        for (name, count, least) in counts {
            if count.flatten().is_some_and(|count| !(least..=TASKS_MAX).contains(&count)) {
                faults.add(format!("{pointer}/{name}"), format!("must be from {least} to {TASKS_MAX}"));
            }
        }
        let costs = [("cost_usd_per_day", self.cost_usd_per_day), ("cost_usd_per_month", self.cost_usd_per_month)];
        for (name, cost) in costs {
            if cost.flatten().is_some_and(|usd| !(0.0..=COST_USD_MAX).contains(&usd)) {
                faults.add(format!("{pointer}/{name}"), format!("must be from 0 to {COST_USD_MAX}"));
            }
        }
    }

    /// Those that are no budgets, as JSON; null for those that are taken away.
    pub(super) fn counts(&self) -> String {
        let mut counts = Map::new();
        for (name, count) in [("concurrent_tasks", self.concurrent_tasks), ("queued_tasks", self.queued_tasks)] {
            if let Some(count) = count {
                counts.insert(name.to_owned(), json!(count));
            }
        }
        Value::Object(counts).to_string()
    }

    /// All of them for somebody who has none yet, as JSON.
    pub(super) fn fresh(&self) -> String {
        let mut all = Map::new();
        for (name, count) in [("concurrent_tasks", self.concurrent_tasks), ("queued_tasks", self.queued_tasks)] {
            if let Some(Some(count)) = count {
                all.insert(name.to_owned(), json!(count));
            }
        }
        for (name, cost) in
            [("cost_usd_per_day", self.cost_usd_per_day), ("cost_usd_per_month", self.cost_usd_per_month)]
        {
            if let Some(Some(usd)) = cost {
                all.insert(name.to_owned(), json!(usd));
            }
        }
        Value::Object(all).to_string()
    }

    /// The budgets from now on, where any is named.
    fn caps(&self, before: Caps) -> Option<Caps> {
        if self.cost_usd_per_day.is_none() && self.cost_usd_per_month.is_none() {
            return None;
        }
        Some(Caps {
            cost_usd_per_day: self.cost_usd_per_day.unwrap_or(before.cost_usd_per_day),
            cost_usd_per_month: self.cost_usd_per_month.unwrap_or(before.cost_usd_per_month),
        })
    }
}

impl Service {
    /// Refuses one more task of the user's in the queue where his or the team's cap is reached. What begins work asks, last of
    /// all before it adds the task: others of a capped team wait from here until the transaction ends. What has begun always
    /// comes back in.
    pub(in crate::service) async fn room_in_queue(&self, tx: &mut TeamTx, user: UserId) -> Result<(), Error> {
        match caps::full(tx, user).await? {
            None => Ok(()),
            Some(full) => Err(Error::QueueFull { of: full.of, depth: full.depth, cap: full.cap }),
        }
    }

    /// Sets the budgets that `limits` names, of a team or of one member; `before` is what holds of limits now, as JSON.
    /// What is spent and held is counted anew where a budget comes or goes.
    pub(super) async fn set_budgets(
        &self,
        team: TeamId,
        user: Option<UserId>,
        limits: &LimitsEdit,
        before: &str,
    ) -> Result<(), Error> {
        let before = serde_json::from_str(before).map_err(|_| StoreError::corrupt("teams", "limits", team))?;
        if let Some(caps) = limits.caps(before)
            && !budgets::set_caps(self.store(), team, user, caps).await?
        {
            return Err(Error::NotFound);
        }
        Ok(())
    }
}

/// Limits as they are shown.
pub(super) fn raw(text: String, table: &'static str, id: impl ToString) -> Result<Box<RawValue>, Error> {
    RawValue::from_string(text).map_err(|_| StoreError::corrupt(table, "limits", id).into())
}
