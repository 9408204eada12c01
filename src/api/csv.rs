//! Rows as CSV (RFC 4180), for spreadsheets.

/// With its parameter (RFC 7111).
pub(super) const TYPE: &str = "text/csv; charset=utf-8";

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
