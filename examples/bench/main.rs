//! `make bench`: what the service costs, each figure beside a floor that the same run measures.
//!
//! Starts the release programs beside this one (`journeyman serve` on a Postgres of its own, `journeyman model` over
//! HTTP), works through the scenarios, prints a table, and writes `target/bench.json`. With `--write` the table also
//! goes into `docs/BENCHMARKS.md`; `--help` tells of the scenarios.
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

use clap::{Parser, ValueEnum};
use report::Report;
use stand::Stand;

#[derive(Parser)]
#[command(about = "Measures, each figure against a floor of the same run")]
struct Arguments {
    /// Just these run.
    #[arg(long, num_args = 1..)]
    only: Vec<Scenario>,
    /// The table goes into docs/BENCHMARKS.md.
    #[arg(long)]
    write: bool,
    /// Tells which requests recall did not serve.
    #[arg(long)]
    missed: bool,
    /// How full the database of `data` is: a part of 10,000 users, 200,000 tasks and 5 million events.
    #[arg(long, default_value_t = 0.1, value_parser = part)]
    scale: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    First,
    Turns,
    Tasks,
    Reads,
    Watched,
    Workspaces,
    Webhooks,
    Hooks,
    Recall,
    Data,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let wanted = |scenario| arguments.only.is_empty() || arguments.only.contains(&scenario);
    let mut report = Report::default();
    let floor = floor::Floor::start().await;
    floor.measure(&mut report).await;
    let stand = Stand::start(&floor.database_url);
    scenarios::at_rest(&stand, &mut report);
    if wanted(Scenario::First) {
        scenarios::first_request(&stand, &mut report).await;
        scenarios::first_request_of_a_new_base(&stand, &mut report).await;
    }
    if wanted(Scenario::Turns) {
        scenarios::turns_of_a_long_task(&stand, &mut report).await;
        scenarios::turns_of_a_large_task(&stand, &mut report).await;
    }
    if wanted(Scenario::Tasks) {
        for tasks in [1, 32, 100, 200] {
            scenarios::tasks_at_once(&stand, tasks, &mut report).await;
        }
    }
    if wanted(Scenario::Reads) {
        scenarios::reads(&stand, &floor, &mut report).await;
    }
    if wanted(Scenario::Watched) {
        for watchers in [1, 50, 1_000] {
            scenarios::watched(&stand, &floor, watchers, &mut report).await;
        }
    }
    if wanted(Scenario::Workspaces) {
        workspaces::workspaces(&mut report).await;
    }
    if wanted(Scenario::Webhooks) {
        webhooks::webhooks(&floor, &mut report).await;
    }
    if wanted(Scenario::Hooks) {
        hooks::hooks(&floor, &mut report).await;
    }
    if wanted(Scenario::Recall) {
        recall::recall(&floor, arguments.missed, &mut report).await;
    }
    drop(stand);
    if wanted(Scenario::Data) {
        data::data(&floor, arguments.scale, &mut report).await;
    }
    floor.stop().await;
    report.print();
    report.write(arguments.write);
}

fn part(text: &str) -> Result<f64, String> {
    let part: f64 = text.parse().map_err(|_| "it takes a number".to_owned())?;
    if part > 0.0 && part <= 1.0 { Ok(part) } else { Err("it takes a number above 0 and not above 1".to_owned()) }
}
