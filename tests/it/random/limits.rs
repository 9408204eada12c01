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

/// The greatest limit that ever held: changes in mid-run count from when they are made.
struct Limits<'a> {
    all: Vec<&'a Value>,
}

impl<'a> Limits<'a> {
    fn of(events: &'a [Value], request: &'a Value) -> Self {
        let changes = events.iter().filter(|event| event["kind"] == "task.updated");
        Self { all: changes.map(|event| &event["data"]["limits"]).chain([&request["limits"]]).collect() }
    }

    fn number(&self, name: &str) -> f64 {
        let named = |limits: &&Value| limits[name].as_f64();
        let first = self.all.last().and_then(named).unwrap_or(f64::INFINITY);
        self.all.iter().filter_map(named).fold(first, f64::max)
    }

    fn count(&self, name: &str) -> u64 {
        self.number(name) as u64
    }
}

/// What the provider itself counted, whatever it told: no run's calls were more than it may take. `requests` are the
/// task's, as the scripted server shows them; a call belongs to the run in which it was sent.
pub(super) fn counted(requests: &[&Value], events: &[Value], all: &[Value], request: &Value) -> Result<(), String> {
    let limits = Limits::of(all, request);
    let mut runs: BTreeMap<u64, (u64, f64)> = BTreeMap::new();
    for sent in requests.iter().filter(|sent| sent["status"] == 200) {
        let at = sent["at_us"].as_i64().unwrap_or_default();
        let before = events.iter().take_while(|event| micros(event) <= at).last();
        let run = before.and_then(|event| event["run"].as_u64()).unwrap_or_default();
        let count = |name: &str| sent[name].as_u64().unwrap_or_default();
        let output = if sent["state"] == "done" { count("output_tokens") } else { 0 };
        let (input, cached) = (count("input_tokens"), count("cached_input_tokens"));
        let (tokens, cost) = runs.entry(run).or_default();
        *tokens += input + output;
        *cost += (0.9f64.mul_add(-(cached as f64), input as f64) + 4.0 * output as f64) / 1e6;
        if *tokens > limits.count("tokens") || *cost > limits.number("cost_usd") + 1e-9 {
            let all = &request["limits"];
            return Err(format!("the provider counted {tokens} tokens and ${cost} of run {run}, limits {all}"));
        }
    }
    Ok(())
}

/// When an event was written, in microseconds since 1970.
pub(super) fn micros(event: &Value) -> i64 {
    let at = OffsetDateTime::parse(event["at"].as_str().unwrap_or_default(), &Rfc3339).unwrap();
    (at.unix_timestamp_nanos() / 1_000) as i64
}

/// No run took more than its limits; what it said to have spent counts. `all` is the whole log, `events` what is to be
/// looked at.
pub(super) fn held(events: &[Value], all: &[Value], request: &Value) -> Result<(), String> {
    let limits = Limits::of(all, request);
    let limit = |name: &str| limits.count(name);
    let cap = limits.number("cost_usd");
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
