//! The file's `[[rules]]`: each is read whole, and its examples must come out as they say.

use super::{ConfigError, parse, source::Source};
use crate::{
    agent::rules,
    domain::rule::{CommandRule, Token},
};
use toml::{Table, Value};

/// Rules, words of one prefix and examples of one rule, at most.
const RULES_MAX: usize = 500;
const LIST_MAX: usize = 100;
const KEYS: [&str; 9] =
    ["prefix", "paths", "except_paths", "except_loopback", "decision", "reason", "reviewer", "match", "not_match"];

pub(super) fn read(source: &Source<'_>) -> Result<Vec<CommandRule>, ConfigError> {
    let Some((value, origin)) = source.file_only("rules") else { return Ok(Vec::new()) };
    let wrong = |message: String| ConfigError::Invalid { origin: origin.clone(), message };
    let entries = value.as_array().filter(|entries| entries.iter().all(Value::is_table));
    let Some(entries) = entries else { return Err(wrong("write each rule as [[rules]]".to_owned())) };
    if entries.len() > RULES_MAX {
        return Err(wrong(format!("there are more than {RULES_MAX} rules")));
    }
    let mut all = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().filter_map(Value::as_table).enumerate() {
        all.push(rule(entry.clone()).map_err(|message| wrong(format!("rule {}: {message}", index + 1)))?);
    }
    Ok(all)
}

fn rule(mut entry: Table) -> Result<CommandRule, String> {
    let matches = examples(&mut entry, "match")?;
    let others = examples(&mut entry, "not_match")?;
    if let Some(unknown) = entry.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let hint = parse::nearest(unknown, KEYS);
        let hint = hint.map_or("take it away".to_owned(), |nearest| format!("did you mean `{nearest}`?"));
        return Err(format!("unknown key `{unknown}`: {hint}"));
    }
    let rule: CommandRule = entry.try_into().map_err(|error: toml::de::Error| {
        format!(
            "{}: a rule is such as prefix = [\"git\", \"push\"], decision = \"allow\", \"ask\" or \"deny\"",
            error.message()
        )
    })?;
    let words = rule.prefix.iter().flat_map(Token::words).chain(&rule.paths).chain(&rule.except_paths);
    if rule.prefix.is_empty() && rule.paths.is_empty() {
        return Err("has neither `prefix` nor `paths`".to_owned());
    }
    if words.clone().any(|word| word.trim().is_empty()) || rule.prefix.iter().any(|token| token.words().is_empty()) {
        return Err("`prefix` and `paths` may hold no empty word".to_owned());
    }
    if words.count() > LIST_MAX {
        return Err(format!("`prefix` and `paths` may hold at most {LIST_MAX} words"));
    }
    if let Some(path) = rule.paths.iter().chain(&rule.except_paths).find(|path| !path.starts_with(['/', '~'])) {
        return Err(format!("the path \"{path}\" must begin with / or ~"));
    }
    let first = rule.prefix.first().map_or(&[][..], Token::words);
    if let Some(program) = first.iter().find(|word| word.contains(['/', ' '])) {
        return Err(format!("\"{program}\" must be a program's name alone, without its directory or arguments"));
    }
    let name = rules::name(&rule);
    if let Some(example) = matches.iter().find(|example| !rules::speaks_of(&rule, example)) {
        return Err(format!("\"{name}\" does not match its example \"{example}\""));
    }
    if let Some(example) = others.iter().find(|example| rules::speaks_of(&rule, example)) {
        return Err(format!("\"{name}\" matches \"{example}\", which its `not_match` says it does not"));
    }
    Ok(rule)
}

fn examples(entry: &mut Table, key: &str) -> Result<Vec<String>, String> {
    let Some(value) = entry.remove(key) else { return Ok(Vec::new()) };
    let texts = value.as_array().and_then(|all| all.iter().map(|one| one.as_str().map(str::to_owned)).collect());
    let texts: Vec<String> = texts.ok_or_else(|| format!("`{key}` must be a list of command lines"))?;
    if texts.len() > LIST_MAX { Err(format!("`{key}` may hold at most {LIST_MAX} examples")) } else { Ok(texts) }
}
