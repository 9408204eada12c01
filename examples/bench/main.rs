//! `make bench`: what the service costs, each figure beside a floor that the same run measures.
//!
//! Starts the release programs beside this one (`journeyman serve` on a Postgres of its own, `journeyman model` over
//! HTTP), works through the scenarios, prints a table, and writes `target/bench.json`. With `--write` the table also
//! goes into `docs/BENCHMARKS.md`; with `--only SCENARIO…` just those run: first, turns, tasks, reads, watched, workspaces,
//! webhooks, hooks, recall (with `--missed` it tells which requests were not served), data (`--scale PART`, 1 at most, says how full the
//! full database is; 0.1 unless told).
//! Figures are medians unless they say otherwise.
#![expect(clippy::disallowed_methods, reason = "a benchmark starts processes and reads clocks")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]
#![expect(clippy::unwrap_used, reason = "a benchmark that meets what it did not expect has failed")]

mod copies;
mod data;
mod engine;
mod floor;
mod hooks;
#[path = "../../tests/it/memory/many.rs"]
mod many;
mod recall;
mod report;
mod scenarios;
#[path = "../../tests/it/memory/set.rs"]
mod set;
mod stand;
mod webhooks;
mod workspaces;

use report::Report;
use stand::Stand;

#[tokio::main]
async fn main() {
    let mut report = Report::default();
    let floor = floor::Floor::start().await;
    floor.measure(&mut report).await;
    let stand = Stand::start(&floor.database_url);
    scenarios::at_rest(&stand, &mut report);
    if wanted("first") {
        scenarios::first_request(&stand, &mut report).await;
        scenarios::first_request_of_a_new_base(&stand, &mut report).await;
    }
    if wanted("turns") {
        scenarios::turns_of_a_long_task(&stand, &mut report).await;
        scenarios::turns_of_a_large_task(&stand, &mut report).await;
    }
    if wanted("tasks") {
        for tasks in [1, 32, 100, 200] {
            scenarios::tasks_at_once(&stand, tasks, &mut report).await;
        }
    }
    if wanted("reads") {
        scenarios::reads(&stand, &floor, &mut report).await;
    }
    if wanted("watched") {
        for watchers in [1, 50, 1_000] {
            scenarios::watched(&stand, &floor, watchers, &mut report).await;
        }
    }
    if wanted("workspaces") {
        workspaces::workspaces(&mut report).await;
    }
    if wanted("webhooks") {
        webhooks::webhooks(&floor, &mut report).await;
    }
    if wanted("hooks") {
        hooks::hooks(&floor, &mut report).await;
    }
    if wanted("recall") {
        recall::recall(&floor, &mut report).await;
    }
    drop(stand);
    if wanted("data") {
        data::data(&floor, scale(), &mut report).await;
    }
    floor.stop().await;
    report.print();
    report.write(std::env::args().any(|argument| argument == "--write"));
}

/// The part of 10,000 users, 200,000 tasks and 5 million events that `data` makes.
fn scale() -> f64 {
    let told = std::env::args().skip_while(|argument| argument != "--scale").nth(1);
    let scale = told.map_or(0.1, |part| part.parse().expect("--scale takes a number"));
    assert!(scale > 0.0 && scale <= 1.0, "--scale takes a number above 0 and not above 1");
    scale
}

/// Whether a scenario is to run: all do, unless some are named.
fn wanted(scenario: &str) -> bool {
    let mut named = std::env::args().skip_while(|argument| argument != "--only").skip(1).peekable();
    named.peek().is_none() || named.any(|name| name == scenario)
}
