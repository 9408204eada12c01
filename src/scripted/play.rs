//! Which line a request gets, and what it then says. Pure.

use super::{
    fault::Fault,
    request::{Request, Seen},
    script::{Line, Pace, Rule, Script, UsageOverride},
    when::Captured,
};
use serde_json::Value;

/// What was chosen for a request.
#[derive(Clone, Debug)]
pub(super) struct Chosen<'a> {
    /// `SCENARIO/rule N` or `SCENARIO/line N`, for the log and a header.
    pub(super) place: String,
    pub(super) line: Option<&'a Line>,
    pub(super) fault: Option<&'a Fault>,
    pub(super) captured: Captured,
    /// The scenario's name; empty for the script's own lines.
    pub(super) scenario: String,
    pub(super) turn: u32,
}

/// A line with its templates filled in.
#[derive(Clone, Debug, Default)]
pub(super) struct Spoken {
    pub(super) text: String,
    pub(super) reasoning: String,
    /// Tool and arguments.
    pub(super) calls: Vec<(String, String)>,
    pub(super) cut: bool,
    pub(super) usage: UsageOverride,
    pub(super) pace: Pace,
}

impl Script {
    /// The line for `request`. `spent` says of a fault's place whether its `times` are used up:
    /// such a rule without a reply is passed over. The error names a scenario that is not there.
    pub(super) fn choose(
        &self,
        request: &Request,
        mut spent: impl FnMut(&str, &Fault) -> bool,
    ) -> Result<Chosen<'_>, String> {
        let (name, start) = self.scenario_of(request)?;
        let (rules, sequence) = match self.scenarios.get(&name) {
            Some(scenario) => (&scenario.rules, &scenario.sequence),
            None => (&self.rules, &self.sequence),
        };
        let turn = request.turn(start);
        for (at, Rule { when, reply, fault }) in rules.iter().enumerate() {
            let Some(captured) = when.holds(request, start) else { continue };
            let place = format!("{name}/rule {at}");
            let fault = fault.as_ref().or_else(|| reply.as_ref()?.fault.as_ref());
            let fault = fault.filter(|fault| !spent(&place, fault));
            if fault.is_none() && reply.is_none() {
                continue;
            }
            return Ok(Chosen { place, line: reply.as_ref(), fault, captured, scenario: name, turn });
        }
        let mut left = turn;
        for (at, line) in sequence.iter().enumerate() {
            let repeat = line.repeat.unwrap_or(1);
            if left < repeat {
                let place = format!("{name}/line {at}");
                let fault = line.fault.as_ref().filter(|fault| !spent(&format!("{place}.{left}"), fault));
                let captured = Captured::new();
                return Ok(Chosen { place, line: Some(line), fault, captured, scenario: name, turn });
            }
            left -= repeat;
        }
        let place = format!("{name}/none");
        Ok(Chosen { place, line: None, fault: None, captured: Captured::new(), scenario: name, turn })
    }

    /// The scenario's name (empty: none) and the item that it begins at.
    fn scenario_of(&self, request: &Request) -> Result<(String, usize), String> {
        for (at, text) in request.items.iter().enumerate().rev().filter_map(|(at, item)| Some((at, item.input()?))) {
            let Some((_, after)) = text.rsplit_once("[scenario:") else { continue };
            let Some((name, _)) = after.split_once(']') else { continue };
            let name = name.trim();
            if !self.scenarios.contains_key(name) {
                return Err(format!("the script has no scenario {name:?}"));
            }
            return Ok((name.to_owned(), at));
        }
        for (name, scenario) in &self.scenarios {
            let Some(wanted) = &scenario.contains else { continue };
            if request.items.iter().filter_map(Seen::input).any(|text| text.contains(wanted.as_str())) {
                return Ok((name.clone(), 0));
            }
        }
        Ok((String::new(), 0))
    }

    /// What `chosen` says to `request`.
    pub(super) fn speak(&self, chosen: &Chosen<'_>, request: &Request) -> Spoken {
        let Some(line) = chosen.line else {
            let text = if chosen.fault.is_some() {
                "Scripted.".to_owned()
            } else {
                format!("The script has no line for this request ({}, turn {}).", chosen.place, chosen.turn)
            };
            return Spoken { text, pace: self.pace, ..Spoken::default() };
        };
        let fill = |text: &str| fill(text, chosen, request);
        Spoken {
            text: fill(&line.text),
            reasoning: fill(&line.reasoning),
            calls: line.calls.iter().map(|call| (call.tool.clone(), arguments(&call.arguments, &fill))).collect(),
            cut: line.cut,
            usage: line.usage.unwrap_or_default(),
            pace: line.pace.unwrap_or(self.pace),
        }
    }
}

/// Arguments as the text that is sent.
fn arguments(value: &Value, fill: &impl Fn(&str) -> String) -> String {
    fn filled(value: &Value, fill: &impl Fn(&str) -> String) -> Value {
        match value {
            Value::String(text) => Value::String(fill(text)),
            Value::Array(list) => list.iter().map(|value| filled(value, fill)).collect(),
            Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), filled(value, fill))).collect(),
            other => other.clone(),
        }
    }
    match value {
        Value::String(text) => fill(text),
        Value::Null => "{}".to_owned(),
        other => filled(other, fill).to_string(),
    }
}

/// Fills `{{turn}}`, `{{calls}}`, `{{scenario}}`, `{{last_output}}` and what patterns captured. What
/// is not known stays as it is.
fn fill(text: &str, chosen: &Chosen<'_>, request: &Request) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, behind)) = after.split_once("}}") else {
            out.push_str("{{");
            rest = after;
            continue;
        };
        match name.trim() {
            "turn" => out.push_str(&chosen.turn.to_string()),
            "calls" => out.push_str(&request.items.iter().filter_map(Seen::output).count().to_string()),
            "scenario" => out.push_str(&chosen.scenario),
            "last_output" => out.push_str(request.items.iter().rev().find_map(Seen::output).unwrap_or_default()),
            name => {
                let captured = chosen.captured.iter().rev().find(|(captured, _)| captured == name);
                let Some((_, value)) = captured else {
                    out.push_str("{{");
                    rest = after;
                    continue;
                };
                out.push_str(value);
            }
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}
