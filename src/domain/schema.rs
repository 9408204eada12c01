//! Schemas of results (JSON Schema, draft 2020-12) that callers give, and values against them.
//!
//! A schema is somebody's input: what it may cost is bounded before it is used. Nothing is fetched; references point
//! into the schema itself and never in a circle; what they stand for altogether is limited; patterns run in linear time.

use jsonschema::{Draft, PatternOptions};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a schema as JSON.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a value that is looked at.
pub const VALUE_BYTES_MAX: usize = 256 * 1024;
/// Levels of a schema with its references followed, and of its JSON.
const DEPTH_MAX: usize = 64;
/// Parts of a schema with its references followed.
const PARTS_MAX: u64 = 10_000;
/// Of one compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;
const ERRORS_MAX: usize = 20;
const ERROR_CHARS_MAX: usize = 300;
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Keywords by what stands below them: one schema, a list of them, or a map to them.
const ONE: [&str; 10] = [
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const MAP: [&str; 3] = ["dependentSchemas", "patternProperties", "properties"];
/// A map that counts only where it is referred to.
const DEFINITIONS: &str = "$defs";

/// Something in a schema that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SchemaFault {
    /// Where, as a JSON pointer (RFC 6901) into the schema.
    pub pointer: String,
    pub why: String,
}

impl SchemaFault {
    fn at(pointer: &str, why: impl Into<String>) -> Self {
        Self { pointer: pointer.to_owned(), why: why.into() }
    }
}

/// Whether results can be asked for by this schema.
///
/// # Errors
/// The first thing that keeps them from it.
pub fn check(schema: &Value) -> Result<(), SchemaFault> {
    compiled(schema).map(drop)
}

/// What is wrong with a value, each with where: empty where it is valid. At most 20, in the order of their places.
pub fn errors(schema: &Value, value: &Value) -> Vec<String> {
    let validator = match compiled(schema) {
        Ok(validator) => validator,
        Err(fault) => return vec![format!("the schema cannot be used: {}: {}", fault.pointer, fault.why)],
    };
    if value.to_string().len() > VALUE_BYTES_MAX {
        return vec![format!("it has more than {VALUE_BYTES_MAX} bytes")];
    }
    let errors: BTreeSet<(String, String)> = validator
        .iter_errors(value)
        .map(|error| (error.instance_path().as_str().to_owned(), error.masked_with("it").to_string()))
        .collect();
    let said = |(pointer, what): (String, String)| {
        let place = if pointer.is_empty() { "the whole".to_owned() } else { pointer };
        format!("{place}: {what}").chars().take(ERROR_CHARS_MAX).collect()
    };
    errors.into_iter().take(ERRORS_MAX).map(said).collect()
}

fn compiled(schema: &Value) -> Result<jsonschema::Validator, SchemaFault> {
    if !schema.is_object() {
        return Err(SchemaFault::at("", "must be an object: a JSON Schema"));
    }
    if schema.to_string().len() > SCHEMA_BYTES_MAX {
        return Err(SchemaFault::at("", format!("may have at most {SCHEMA_BYTES_MAX} bytes")));
    }
    if schema.get("$schema").is_some_and(|draft| draft.as_str().map(|draft| draft.trim_end_matches('#')) != Some(DRAFT))
    {
        return Err(SchemaFault::at("/$schema", format!("must be {DRAFT}, or left out")));
    }
    Walk { root: schema, known: BTreeMap::new(), open: BTreeSet::new() }.whole()?;
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .should_validate_formats(false)
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX))
        .build(schema)
        .map_err(|error| SchemaFault::at(error.instance_path().as_str(), error.to_string()))
}

/// What a schema costs.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    /// With its references followed.
    parts: u64,
    depth: usize,
}

/// Follows a schema and its references once.
struct Walk<'a> {
    root: &'a Value,
    /// Of what was referred to, by pointer.
    known: BTreeMap<String, Cost>,
    /// References that are being followed.
    open: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    fn whole(mut self) -> Result<(), SchemaFault> {
        let whole = self.schema(self.root, "", 0)?;
        if whole.parts > PARTS_MAX {
            let why = format!("stands for more than {PARTS_MAX} parts once its references are followed");
            return Err(SchemaFault::at("", why));
        }
        Ok(())
    }

    fn schema(&mut self, schema: &'a Value, pointer: &str, depth: usize) -> Result<Cost, SchemaFault> {
        if depth > DEPTH_MAX {
            return Err(SchemaFault::at(pointer, format!("is nested more than {DEPTH_MAX} deep, references followed")));
        }
        let Some(object) = schema.as_object() else { return Ok(Cost { parts: 1, depth: 1 }) };
        let mut cost = Cost { parts: 1, depth: 0 };
        for (keyword, value) in object {
            let at = format!("{pointer}/{}", escaped(keyword));
            let below = self.keyword(keyword, value, &at, depth)?;
            cost.parts = cost.parts.saturating_add(below.parts);
            cost.depth = cost.depth.max(below.depth);
        }
        cost.depth += 1;
        if depth + cost.depth > DEPTH_MAX {
            return Err(SchemaFault::at(pointer, format!("is nested more than {DEPTH_MAX} deep, references followed")));
        }
        Ok(cost)
    }

    fn keyword(&mut self, keyword: &str, value: &'a Value, at: &str, depth: usize) -> Result<Cost, SchemaFault> {
        let mut cost = Cost::default();
        let mut add = |below: Cost| {
            cost.parts = cost.parts.saturating_add(below.parts);
            cost.depth = cost.depth.max(below.depth);
        };
        match (keyword, value) {
            ("$ref", Value::String(target)) => add(self.reference(target, at, depth)?),
            ("$dynamicRef" | "$recursiveRef" | "$anchor" | "$dynamicAnchor", _) => {
                return Err(SchemaFault::at(at, "is not taken: refer to $defs by JSON pointers"));
            }
            ("$id", _) if depth > 0 => return Err(SchemaFault::at(at, "is taken at the top alone")),
            (one, _) if ONE.contains(&one) => add(self.schema(value, at, depth + 1)?),
            (list, Value::Array(schemas)) if LIST.contains(&list) => {
                for (index, schema) in schemas.iter().enumerate() {
                    add(self.schema(schema, &format!("{at}/{index}"), depth + 1)?);
                }
            }
            (map, Value::Object(schemas)) if MAP.contains(&map) => {
                for (name, schema) in schemas {
                    add(self.schema(schema, &format!("{at}/{}", escaped(name)), depth + 1)?);
                }
            }
            (DEFINITIONS, Value::Object(schemas)) => {
                for (name, schema) in schemas {
                    self.schema(schema, &format!("{at}/{}", escaped(name)), depth + 1)?;
                }
            }
            // The choices of an `enum` are compared one by one.
            ("enum", Value::Array(choices)) => add(Cost { parts: choices.len() as u64 / 64, depth: 0 }),
            _ => {}
        }
        Ok(cost)
    }

    fn reference(&mut self, target: &str, at: &str, depth: usize) -> Result<Cost, SchemaFault> {
        let pointer = match target.strip_prefix('#') {
            Some(pointer) if pointer.is_empty() || pointer.starts_with('/') => pointer,
            _ => {
                return Err(SchemaFault::at(
                    at,
                    "must point into this schema, such as #/$defs/name: nothing is fetched",
                ));
            }
        };
        if let Some(cost) = self.known.get(pointer) {
            return Ok(*cost);
        }
        // The root is open from the start.
        if pointer.is_empty() || self.open.contains(pointer) {
            return Err(SchemaFault::at(at, "leads back to itself: recursive schemas are not taken"));
        }
        let Some(schema) = self.root.pointer(pointer) else {
            return Err(SchemaFault::at(at, "points to nothing in this schema"));
        };
        self.open.insert(pointer.to_owned());
        let cost = self.schema(schema, pointer, depth + 1)?;
        self.open.remove(pointer);
        self.known.insert(pointer.to_owned(), cost);
        Ok(cost)
    }
}

/// As JSON pointers write it (RFC 6901, section 3).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
