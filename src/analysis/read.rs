//! Manifests as values: TOML, JSON with and without comments, YAML, XML. What cannot be read
//! gives nothing and never panics; sizes are bounded by who chose the files, depths and aliases
//! here.

use quick_xml::{Reader, events::Event};
use serde_json::Value;

/// Nodes of one YAML file, aliases replayed.
const YAML_NODES_MAX: usize = 50_000;
/// Documents of one YAML file.
const YAML_DOCUMENTS_MAX: usize = 16;
/// Elements of one XML file.
const XML_ELEMENTS_MAX: usize = 20_000;

pub(super) fn toml(text: &str) -> Option<toml::Table> {
    text.parse().ok()
}

pub(super) fn json(text: &str) -> Option<Value> {
    serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()
}

/// JSON with comments and commas before closing brackets.
pub(super) fn json_with_comments(text: &str) -> Option<Value> {
    json(&without_comments(text))
}

fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let (mut quoted, mut escaped) = (false, false);
    while let Some(letter) = letters.next() {
        match (quoted, letter) {
            (true, _) => {
                quoted = letter != '"' || escaped;
                escaped = letter == '\\' && !escaped;
            }
            (false, '/') if letters.peek() == Some(&'/') => {
                while letters.next_if(|next| *next != '\n').is_some() {}
                continue;
            }
            (false, '/') if letters.peek() == Some(&'*') => {
                letters.next();
                let mut before = ' ';
                for next in letters.by_ref() {
                    if before == '*' && next == '/' {
                        break;
                    }
                    before = next;
                }
                continue;
            }
            (false, ']' | '}') => {
                let end = kept.trim_end().len();
                if kept[..end].ends_with(',') {
                    kept.truncate(end - 1);
                }
            }
            (false, _) => quoted = letter == '"',
        }
        kept.push(letter);
    }
    kept
}

/// The first document. `on` and `yes` stay words, as YAML 1.2 has it.
pub(super) fn yaml(text: &str) -> Option<Value> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: YAML_NODES_MAX,
            max_events: YAML_NODES_MAX * 2,
            max_documents: YAML_DOCUMENTS_MAX,
            simple_key_max_lookahead: 4096,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options::<Value>(text, options).ok()?.into_iter().next()
}

/// An element of an XML file.
#[derive(Debug)]
pub(super) struct Element {
    /// Local names from the root down, such as `project/modules/module`.
    pub(super) path: String,
    pub(super) text: String,
    pub(super) attributes: Vec<(String, String)>,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The elements in the order in which they begin; those before what cannot be read.
pub(super) fn xml(text: &str) -> Vec<Element> {
    let mut reader = Reader::from_str(text);
    let mut elements: Vec<Element> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    while elements.len() < XML_ELEMENTS_MAX && open.len() < 64 {
        let (start, stays_open) = match reader.read_event() {
            Ok(Event::Start(start)) => (start, true),
            Ok(Event::Empty(start)) => (start, false),
            Ok(Event::Text(words)) => {
                if let (Some(at), Ok(words)) = (open.last(), words.decode()) {
                    elements[*at].text.push_str(words.trim());
                }
                continue;
            }
            Ok(Event::End(_)) => {
                open.pop();
                continue;
            }
            Ok(Event::Eof) | Err(_) => break,
            Ok(_) => continue,
        };
        let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
        let path = open.last().map_or(name.clone(), |at| format!("{}/{name}", elements[*at].path));
        let attributes = start.attributes().flatten().map(|attribute| {
            let key = String::from_utf8_lossy(attribute.key.local_name().as_ref()).into_owned();
            (key, String::from_utf8_lossy(&attribute.value).into_owned())
        });
        elements.push(Element { path, text: String::new(), attributes: attributes.collect() });
        if stays_open {
            open.push(elements.len() - 1);
        }
    }
    elements
}

/// The texts of an array, or the one text.
pub(super) fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The texts of a TOML array.
pub(super) fn toml_texts(value: Option<&toml::Value>) -> Vec<&str> {
    value.and_then(toml::Value::as_array).into_iter().flatten().filter_map(toml::Value::as_str).collect()
}

/// What stands at a dotted path of tables.
pub(super) fn at<'a>(table: &'a toml::Table, path: &str) -> Option<&'a toml::Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let value = table.get(first)?;
    rest.map_or(Some(value), |rest| value.as_table().and_then(|table| at(table, rest)))
}
