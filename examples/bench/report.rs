//! The results: a table for people, JSON for programs.

use serde_json::{Value, json};
use std::fmt::Write;

#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    /// What it must not pass (or reach, where `at_least`).
    goal: Option<(f64, bool)>,
    note: String,
}

impl Report {
    pub(crate) fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.push(what, value, unit, None, "");
    }

    pub(crate) fn at_most(&mut self, what: impl Into<String>, value: f64, unit: &'static str, goal: f64) {
        self.push(what, value, unit, Some((goal, false)), "");
    }

    pub(crate) fn at_least(&mut self, what: impl Into<String>, value: f64, unit: &'static str, goal: f64) {
        self.push(what, value, unit, Some((goal, true)), "");
    }

    fn push(&mut self, what: impl Into<String>, value: f64, unit: &'static str, goal: Option<(f64, bool)>, note: &str) {
        let row = Row { what: what.into(), value, unit, goal, note: note.to_owned() };
        println!("{}", line(&row));
        self.rows.push(row);
    }

    pub(crate) fn print(&self) {
        let missed = self.rows.iter().filter(|row| !row.reached()).count();
        println!("\n{} figures, {missed} goals missed", self.rows.len());
    }

    pub(crate) fn write(&self, docs: bool) {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| json!({ "what": row.what, "value": row.value, "unit": row.unit, "goal": row.goal.map(|g| g.0), "reached": row.reached() }))
            .collect();
        std::fs::create_dir_all("target").unwrap();
        std::fs::write("target/bench.json", serde_json::to_vec_pretty(&rows).unwrap()).unwrap();
        if docs {
            std::fs::write("docs/BENCHMARKS.md", self.markdown()).unwrap();
        }
    }

    fn markdown(&self) -> String {
        let mut text = String::from(
            "# Benchmarks\n\nWritten by `make bench`: one run on one machine (2 shared cores), Postgres, model server, sandboxes and\nload on the same two cores. Medians unless a row says otherwise; floors are measured in the same run. Read them as\nratios: other machines give other absolutes.\n\n| what | value | goal |\n|---|---|---|\n",
        );
        for row in &self.rows {
            let goal = row.goal.map_or(String::new(), |(goal, at_least)| {
                let mark = if row.reached() { "" } else { " (missed)" };
                format!("{} {goal} {}{mark}", if at_least { "≥" } else { "≤" }, row.unit)
            });
            writeln!(text, "| {} | {:.2} {} | {goal} |", row.what, row.value, row.unit).unwrap();
        }
        text
    }
}

impl Row {
    fn reached(&self) -> bool {
        self.goal.is_none_or(|(goal, at_least)| if at_least { self.value >= goal } else { self.value <= goal })
    }
}

fn line(row: &Row) -> String {
    let goal = row.goal.map_or(String::new(), |(goal, at_least)| {
        let mark = if row.reached() { "ok" } else { "MISSED" };
        format!("  ({} {goal}: {mark})", if at_least { "≥" } else { "≤" })
    });
    format!("{:<74} {:>10.2} {}{goal}{}", row.what, row.value, row.unit, row.note)
}

/// The value below which a part of the values lies; sorts them.
pub(crate) fn quantile(values: &mut [f64], part: f64) -> f64 {
    assert!(!values.is_empty(), "nothing was measured");
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}
