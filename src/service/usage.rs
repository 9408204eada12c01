//! What was used and what it cost: one's own, of an admin the team's, of an operator of the instance all.

use super::{Error, Service, access, access::Right};
use crate::{
    domain::{Principal, TeamId, UserId},
    store::{
        accounts,
        usage::{self, UsageFilter, UsageGroup, UsageSum},
    },
};
use serde::Serialize;
use std::collections::HashMap;
use utoipa::ToSchema;

/// The sums of a group. Calls whose usage never came are in `model_calls` alone.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct UsageRow {
    /// The day, the id of a user or team, the model, repository or label's value; null: it has none.
    pub group: Option<String>,
    /// A user's or team's name, where it is known here.
    pub name: Option<String>,
    /// Tasks that called a model, also one for vectors: those are no `model_calls`, but tokens and money.
    pub tasks: u64,
    pub model_calls: u64,
    /// Of all prompts, cached ones included.
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub output_tokens: u64,
    /// Null where no price of its calls was known; what vectors cost is in it.
    pub cost_usd: Option<f64>,
    /// What its cached tokens would have cost more without a cache; null where no price of its calls was known.
    pub saved_by_cache_usd: Option<f64>,
    /// Calls that were answered and whose price nobody knew: the sums in money are without them.
    pub unpriced_calls: u64,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct UsageQuestion {
    pub group: UsageGroup,
    pub filter: UsageFilter,
}

impl Service {
    /// Sums of the groups after `after`, by name.
    pub async fn usage(
        &self,
        principal: &Principal,
        question: &UsageQuestion,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<UsageRow>, Error> {
        access::require(principal, Right::ReadOwnUsage)?;
        let UsageQuestion { group, filter } = question;
        if filter.user.is_some_and(|user| user != principal.user) {
            access::require(principal, Right::ReadTeamUsage)?;
        }
        let mut filter = filter.clone();
        if !access::may(principal, Right::ReadTeamUsage) {
            filter.user = Some(principal.user);
        }
        let mut tx = self.store().team(principal.team).await?;
        let sums = usage::sums(&mut tx, group, &filter, after, limit).await?;
        let mut names = HashMap::new();
        if *group == UsageGroup::User {
            let ids: Vec<UserId> = groups(&sums).collect();
            names.extend(accounts::names(&mut tx, &ids).await?.into_iter().map(|(id, name)| (id.to_string(), name)));
        }
        if *group == UsageGroup::Team {
            names.insert(principal.team.to_string(), principal.team_name.clone());
        }
        tx.commit().await?;
        Ok(rows(sums, &names))
    }

    /// The same of all teams, for operators of the instance.
    pub async fn usage_of_all(
        &self,
        principal: &Principal,
        question: &UsageQuestion,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<UsageRow>, Error> {
        access::require(principal, Right::ReadAllUsage)?;
        let sums = usage::sums_across(self.store(), &question.group, &question.filter, after, limit).await?;
        let mut names = HashMap::new();
        if question.group == UsageGroup::Team {
            let ids: Vec<TeamId> = groups(&sums).collect();
            let found = accounts::team_names(self.store(), &ids).await?;
            names.extend(found.into_iter().map(|(id, name)| (id.to_string(), name)));
        }
        if question.group == UsageGroup::User {
            let ids: Vec<UserId> = groups(&sums).collect();
            let found = accounts::user_names(self.store(), &ids).await?;
            names.extend(found.into_iter().map(|(id, name)| (id.to_string(), name)));
        }
        Ok(rows(sums, &names))
    }
}

fn groups<T: std::str::FromStr>(sums: &[UsageSum]) -> impl Iterator<Item = T> {
    sums.iter().filter_map(|sum| sum.group.as_ref()?.parse().ok())
}

fn rows(sums: Vec<UsageSum>, names: &HashMap<String, String>) -> Vec<UsageRow> {
    sums.into_iter()
        .map(|sum| {
            let priced = sum.counted_calls > sum.unpriced_calls;
            let usd = |nano: i64, known: bool| known.then_some(nano as f64 / 1e9);
            UsageRow {
                name: sum.group.as_ref().and_then(|group| names.get(group).cloned()),
                tasks: sum.tasks.max(0) as u64,
                model_calls: sum.model_calls.max(0) as u64,
                input_tokens: sum.input_tokens.max(0) as u64,
                cached_input_tokens: sum.cached_input_tokens.max(0) as u64,
                output_tokens: sum.output_tokens.max(0) as u64,
                cost_usd: usd(sum.cost_nano, priced || sum.cost_nano > 0),
                saved_by_cache_usd: usd(sum.saved_nano, priced),
                unpriced_calls: sum.unpriced_calls.max(0) as u64,
                group: sum.group,
            }
        })
        .collect()
}
