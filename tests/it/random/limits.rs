//! What one run may take: calls, refinements, tokens, money and time.

use serde_json::Value;
use std::collections::BTreeMap;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

/// What the clocks of a worker and of its database are apart, and a commit takes, at most.
const SKEW: Duration = Duration::seconds(2);

#[derive(Debug, Default)]
struct Used {
    calls: u64,
    refinements: u64,
    tokens: u64,
    cost_usd: f64,
    ran: Duration,
    since: Option<OffsetDateTime>,
}

impl Used {
    fn ran(&self, now: OffsetDateTime) -> Duration {
        self.ran + self.since.map_or(Duration::ZERO, |since| now - since)
    }
}

/// No run took more than its limits; what it said to have spent counts.
pub(super) fn held(events: &[Value], request: &Value) -> Result<(), String> {
    let limit = |name: &str| request["limits"][name].as_u64().unwrap_or(u64::MAX);
    let cap = request["limits"]["cost_usd"].as_f64().unwrap_or(f64::INFINITY);
    let wall = limit("wall_seconds").min(1_000_000) as i64;
    let mut runs: BTreeMap<u64, Used> = BTreeMap::new();
    for event in events {
        let (kind, data) = (event["kind"].as_str().unwrap_or_default(), &event["data"]);
        let at =
            OffsetDateTime::parse(event["at"].as_str().unwrap_or_default(), &Rfc3339).map_err(|e| e.to_string())?;
        let number = event["run"].as_u64().unwrap_or_default();
        let run = runs.entry(number).or_default();
        match kind {
            // One that others' words overtook was begun in the log and never sent.
            "model.completed" => run.calls += 1,
            "task.phase" if data["phase"] == "refinement" => run.refinements += 1,
            "task.status" => {
                run.ran = run.ran(at);
                run.since = (data["status"] == "running").then_some(at);
            }
            "model.started" if run.ran(at) > Duration::seconds(wall) + SKEW => {
                return Err(format!("a call of run {number} began after {} of {wall} seconds", run.ran(at)));
            }
            _ => {}
        }
        let usage = &data["usage"];
        run.tokens += usage["input_tokens"].as_u64().unwrap_or(0) + usage["output_tokens"].as_u64().unwrap_or(0);
        run.cost_usd += data["cost_usd"].as_f64().unwrap_or(0.0);
        let passed = run.calls > limit("turns")
            || run.refinements > limit("refinements")
            || run.tokens > limit("tokens")
            || run.cost_usd > cap + 1e-9;
        if passed {
            return Err(format!("run {number} passed a limit of {} with {kind}: {run:?}", request["limits"]));
        }
    }
    Ok(())
}
