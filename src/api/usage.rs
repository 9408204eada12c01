//! `/v1/usage`: what was used and what it cost, summed.

use super::{
    ApiState,
    caller::Caller,
    csv,
    error::ApiError,
    page::{Page, Paging},
    query::{FromQuery, Pairs, Query},
    reply,
    wait::{self, Changes},
};
use crate::{
    clock,
    domain::{Principal, UserId},
    service::{UsageFilter, UsageGroup, UsageQuestion, UsageRow, access::Right},
};
use axum::{extract::State, http::HeaderMap, response::Response};
use futures::FutureExt;
use std::str::FromStr;
use time::{Date, Duration, macros::format_description};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Days that are summed where nobody says from when.
const DAYS_DEFAULT: i64 = 30;
const DAYS_MAX: i64 = 3_660;
/// Rows of a CSV answer.
const CSV_ROWS_MAX: u32 = 10_000;
const LABEL_CHARS_MAX: usize = 330;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(get))
}

/// `day`, `user`, `team`, `model`, `repository` or `label:` and a name.
struct Group(UsageGroup);

impl FromStr for Group {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(match text {
            "day" => UsageGroup::Day,
            "user" => UsageGroup::User,
            "team" => UsageGroup::Team,
            "model" => UsageGroup::Model,
            "repository" => UsageGroup::Repository,
            _ => match text.strip_prefix("label:").filter(|name| !name.is_empty()) {
                Some(name) => UsageGroup::Label(name.to_owned()),
                None => return Err("must be day, user, team, model, repository or label: and a label's name"),
            },
        }))
    }
}

struct GetQuery {
    question: UsageQuestion,
    reach: Reach,
    paging: Paging,
}

/// Whose tasks are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Team,
    Instance,
}

impl FromStr for Reach {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "team" => Ok(Self::Team),
            "instance" => Ok(Self::Instance),
            _ => Err("must be team or instance"),
        }
    }
}

impl FromQuery for GetQuery {
    fn from_query(query: &mut Pairs) -> Self {
        let today = clock::now().0.date();
        let to = day(query, "to").unwrap_or(today);
        let from = day(query, "from").unwrap_or_else(|| to.saturating_sub(Duration::days(DAYS_DEFAULT - 1)));
        if from > to || (to - from).whole_days() >= DAYS_MAX {
            query.error("from", format!("must be to's day or before, and at most {DAYS_MAX} days"));
        }
        let label = query.text("label", LABEL_CHARS_MAX).and_then(|label| {
            let pair = label.split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned()));
            if pair.is_none() {
                query.error("label", "must be a name, a colon and a value");
            }
            pair
        });
        let group = query.one::<Group>("group_by").map_or(UsageGroup::Day, |group| group.0);
        let reach = query.one("of").unwrap_or(Reach::Team);
        let filter = UsageFilter {
            from,
            to,
            user: query.one::<UserId>("user"),
            model: query.text("model", 200),
            repository: query.text("repository", 2_000),
            label,
        };
        Self { question: UsageQuestion { group, filter }, reach, paging: Paging::from_query(query) }
    }
}

fn day(query: &mut Pairs, name: &str) -> Option<Date> {
    let text: String = query.one(name)?;
    let day = Date::parse(&text, format_description!("[year]-[month]-[day]")).ok();
    if day.is_none() {
        query.error(name, "must be a day such as 2026-01-31");
    }
    day
}

/// What was used and what it cost: one's own, of an admin the team's, for an operator of the instance with
/// `of=instance` all teams'. With `Accept: text/csv` all rows in one answer,
/// at most 10,000.
#[utoipa::path(get, path = "/v1/usage", tag = "accounts", operation_id = "get_usage",
    params(
        ("group_by" = Option<String>, Query, description = "`day` (default), `user`, `team`, `model`, `repository`, or `label:` and a label's name"),
        ("of" = Option<String>, Query, description = "`team` (default), or `instance`: all teams, for operators"),
        ("from" = Option<String>, Query, description = "The first day, UTC, such as 2026-01-31; default: 29 days before `to`"),
        ("to" = Option<String>, Query, description = "The last day; default: today"),
        ("user" = Option<UserId>, Query, description = "Of this user alone"),
        ("model" = Option<String>, Query, description = "Of this model alone"),
        ("repository" = Option<String>, Query, description = "Of this repository alone, by its URL as it was given"),
        ("label" = Option<String>, Query, description = "Of tasks with this label alone: `name:value`"),
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page in the order of the groups' names, or all of it", content(
        (Page<UsageRow> = "application/json"),
        (String = "text/csv"),
    ))))]
async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<GetQuery>,
) -> Result<Response, ApiError> {
    caller.require(Right::ReadOwnUsage)?;
    let GetQuery { question, reach, paging } = query;
    if reply::accepted(&headers, &["text/csv", "application/json"]) == Some("text/csv") {
        let rows = usage(&state, &caller, reach, &question, None, CSV_ROWS_MAX).await?;
        return Ok(table(&rows));
    }
    let name = format!("usage {reach:?} {} {} {question:?}", caller.team, caller.user);
    let after: Option<String> = paging.position(&state.cursors, &name)?;
    let read = || {
        async {
            let rows = usage(&state, &caller, reach, &question, after.as_deref(), paging.rows()).await?;
            // What belongs to no group is the last row: no page comes after it.
            Ok(paging.page(&state.cursors, &name, rows, |row| row.group.clone().unwrap_or_default()))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::ByThemselves, read).await
}

async fn usage(
    state: &ApiState,
    principal: &Principal,
    reach: Reach,
    question: &UsageQuestion,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<UsageRow>, crate::service::Error> {
    match reach {
        Reach::Team => state.service.usage(principal, question, after, limit).await,
        Reach::Instance => state.service.usage_of_all(principal, question, after, limit).await,
    }
}

const COLUMNS: [&str; 10] = [
    "group",
    "name",
    "tasks",
    "model_calls",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "cost_usd",
    "saved_by_cache_usd",
    "unpriced_calls",
];

fn table(rows: &[UsageRow]) -> Response {
    let usd = |usd: Option<f64>| usd.map(|usd| format!("{usd:.9}")).unwrap_or_default();
    let mut text = csv::line(COLUMNS);
    for row in rows {
        text.push_str(&csv::line([
            row.group.clone().unwrap_or_default(),
            row.name.clone().unwrap_or_default(),
            row.tasks.to_string(),
            row.model_calls.to_string(),
            row.input_tokens.to_string(),
            row.cached_input_tokens.to_string(),
            row.output_tokens.to_string(),
            usd(row.cost_usd),
            usd(row.saved_by_cache_usd),
            row.unpriced_calls.to_string(),
        ]));
    }
    reply::file(csv::TYPE, "usage.csv", text)
}
