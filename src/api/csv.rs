//! Rows as CSV (RFC 4180), for spreadsheets.

use axum::http::{HeaderMap, header};

/// Whether the first type of `Accept` that is known here is CSV.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(',')).map(|one| one.split(';').next().unwrap_or("").trim());
    types
        .find(|one| ["text/csv", "application/json"].iter().any(|known| one.eq_ignore_ascii_case(known)))
        .is_some_and(|one| one.eq_ignore_ascii_case("text/csv"))
}

/// One line of these fields, its line break included. A field that a spreadsheet would take for a formula begins with an
/// apostrophe.
pub(super) fn line<T: AsRef<str>>(fields: impl IntoIterator<Item = T>) -> String {
    let mut line = String::new();
    for (index, field) in fields.into_iter().enumerate() {
        if index > 0 {
            line.push(',');
        }
        push(&mut line, field.as_ref());
    }
    line.push_str("\r\n");
    line
}

fn push(line: &mut String, field: &str) {
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']) && field.parse::<f64>().is_err();
    if !formula && !field.contains(['"', ',', '\r', '\n']) {
        line.push_str(field);
        return;
    }
    line.push('"');
    if formula {
        line.push('\'');
    }
    line.push_str(&field.replace('"', "\"\""));
    line.push('"');
}
