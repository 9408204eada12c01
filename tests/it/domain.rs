//! Tests of what the nouns promise to the outside.

use journeyman::domain::webhook::EVENT_KINDS;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// The kinds of events with their fields, as the code declares them.
fn declared() -> BTreeMap<String, Vec<String>> {
    let code = include_str!("../../src/domain/event/kinds.rs");
    let body = code.split("pub enum EventData {").nth(1).unwrap().split("\n}\n").next().unwrap();
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for part in body.split("#[serde(rename = \"").skip(1) {
        let (kind, rest) = part.split_once('"').unwrap();
        let fields = rest.split_once('{').map_or("", |(_, fields)| fields).split("},\n").next().unwrap();
        let fields = fields.replace("std::ops::", "").replace("serde_json::", "");
        let named = fields
            .split([',', '\n', '}'])
            .map(str::trim)
            .filter(|line| !line.starts_with(['/', '#']))
            .filter_map(|line| line.split_once(": "))
            .map(|(name, _)| name.to_owned())
            .filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        kinds.insert(kind.to_owned(), named.collect());
    }
    kinds
}

#[test]
fn every_kind_of_event_can_be_wanted_by_a_webhook_endpoint() {
    let kinds: BTreeSet<String> = declared().into_keys().collect();
    let wanted: BTreeSet<String> = EVENT_KINDS.into_iter().map(str::to_owned).collect();
    assert_eq!(wanted, kinds, "EVENT_KINDS of src/domain/webhook.rs");
}

#[test]
fn every_kind_of_event_stands_in_the_page_of_events_with_its_fields() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.md")).unwrap();
    let rows: BTreeMap<&str, &str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |")).collect();
    let kinds = declared();
    assert!(kinds.len() > 30 && kinds["tool.completed"].len() == 6, "{kinds:#?}");
    for (kind, fields) in &kinds {
        let row = rows.get(kind.as_str()).unwrap_or_else(|| panic!("{kind} is not in docs/events.md"));
        let data = row.split('|').next().unwrap();
        let missing: Vec<_> = fields.iter().filter(|field| !data.contains(&format!("`{field}`"))).collect();
        assert_eq!(missing, Vec::<&String>::new(), "{kind}: {row}");
    }
    let known = |name: &&&str| kinds.contains_key(**name) || !name.contains('.');
    let unknown: Vec<_> = rows.keys().filter(|name| !known(name)).collect();
    assert_eq!(unknown, Vec::<&&str>::new(), "rows of kinds that there are not");
}

#[test]
fn every_tool_stands_in_the_page_of_events_with_its_arguments() {
    use journeyman::tools::{ToolSet, specs};
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.md")).unwrap();
    for spec in specs(ToolSet::Contract).into_iter().chain(specs(ToolSet::Skills)) {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", spec.name)));
        let row = row.unwrap_or_else(|| panic!("{} is not in docs/events.md", spec.name));
        let parameters: serde_json::Value = serde_json::from_str(&spec.parameters).unwrap();
        for name in parameters["properties"].as_object().unwrap().keys() {
            assert!(row.contains(&format!("`{name}`")), "{}: {name} in {row}", spec.name);
        }
    }
}
