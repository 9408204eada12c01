//! The forms in which models' templates have calls.

use super::{
    Found, Offered,
    cursor::{Cursor, object_text},
    place::{self, Fence},
    python,
};
use crate::llm::fields::Fields;
use serde_json::{Map, Value, value::RawValue};

type Call = (String, String);

/// Marks that begin a call or a list of calls.
const OPENERS: [&str; 17] = [
    "<tool_call>",
    "<tool_calls>",
    "<toolcall>",
    "<tool_use>",
    "<function_call>",
    "<function_calls>",
    "<minimax:tool_call>",
    "<function=",
    "<invoke name=",
    "[TOOL_CALLS]",
    "<|python_tag|>",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
    "<｜DSML｜function_calls>",
    "<|tool_calls_section_begin|>",
    "<|tool_call_begin|>",
    "<|channel|>commentary to=",
];

/// Words after a fence that say that a call is in it.
const CALL_FENCES: [&str; 6] = ["tool_call", "tool_calls", "tool_code", "tool", "tool_use", "function_call"];

/// Calls in a form that begins with a mark of its own.
pub(super) fn marked(text: &str, offered: &Offered) -> Option<Found> {
    let from = place::after_thoughts(text);
    let (fences, open) = place::fences(text);
    let mut places: Vec<usize> =
        OPENERS.iter().flat_map(|opener| text.match_indices(opener).map(|(at, _)| at)).collect();
    places.retain(|at| {
        let fenced = fences.iter().any(|fence| fence.whole.contains(at)) || open.is_some_and(|open| *at >= open);
        *at >= from && !fenced && place::may_begin(text, *at)
    });
    places.sort_unstable();
    let mut places = places.into_iter().take(super::TRIES_MAX);
    let in_tags = places.find_map(|at| Some(Found { at, calls: run_of(Cursor(&text[at..]), offered)? }));
    in_tags.or_else(|| {
        fenced(text, from, &fences, &|fence| {
            CALL_FENCES.contains(&fence.tag.as_str()).then(|| inside(fence.inside, offered)).flatten()
        })
    })
}

/// Calls as plain JSON: in a fence at the end, as the last paragraph, or as the whole text.
pub(super) fn unmarked(text: &str, offered: &Offered) -> Option<Found> {
    let from = place::after_thoughts(text);
    let fits = |calls: Vec<Call>| calls.iter().all(|(tool, arguments)| offered.fits(tool, arguments)).then_some(calls);
    let (fences, open) = place::fences(text);
    let in_fence = fenced(text, from, &fences, &|fence| {
        let plain = matches!(fence.tag.as_str(), "" | "json");
        plain.then(|| objects(Cursor(fence.inside), offered)).flatten().and_then(fits)
    });
    if in_fence.is_some() || open.is_some() {
        return in_fence;
    }
    let last = text[from..].trim_end().rfind("\n\n").map_or(from, |at| from + at);
    let fenced = |at: usize| fences.iter().any(|fence| fence.whole.contains(&at));
    [from, last].into_iter().find_map(|start| {
        let at = start + text[start..].len() - text[start..].trim_start().len();
        let tail = text[at..].trim_end();
        if fenced(at) {
            return None;
        }
        let calls = match tail.as_bytes().first()? {
            b'{' | b'[' => objects(Cursor(tail), offered).or_else(|| python::calls(tail, offered)).and_then(fits),
            _ => None,
        }?;
        Some(Found { at, calls })
    })
}

/// The fences that end the text, as far back as `read` finds calls in them.
fn fenced(
    text: &str,
    from: usize,
    fences: &[Fence<'_>],
    read: &dyn Fn(&Fence<'_>) -> Option<Vec<Call>>,
) -> Option<Found> {
    let mut end = text.trim_end().len();
    let mut found: Option<Found> = None;
    for fence in fences.iter().rev().take_while(|fence| fence.whole.start >= from) {
        if fence.whole.end > end || !text[fence.whole.end..end].trim().is_empty() {
            break;
        }
        let Some(mut calls) = read(fence) else { break };
        end = fence.whole.start;
        calls.extend(found.take().map(|later| later.calls).unwrap_or_default());
        found = Some(Found { at: fence.whole.start, calls });
    }
    found
}

/// What stands in a fence or between tags: JSON, a call in tags, or one in Python's way.
fn inside(text: &str, offered: &Offered) -> Option<Vec<Call>> {
    objects(Cursor(text), offered).or_else(|| run_of(Cursor(text), offered)).or_else(|| python::calls(text, offered))
}

/// Calls to the end of the text, one after the other.
fn run_of(mut cursor: Cursor<'_>, offered: &Offered) -> Option<Vec<Call>> {
    let mut calls = Vec::new();
    loop {
        // What closes a list, and tokens that end a reply.
        while [
            "</tool_calls>",
            "</function_calls>",
            "</minimax:tool_call>",
            "</｜DSML｜function_calls>",
            "<｜tool▁calls▁end｜>",
            "<|tool_calls_section_end|>",
            "<｜end▁of▁sentence｜>",
            "<|im_end|>",
            "<|eom_id|>",
            "<|eot_id|>",
            "<|call|>",
            "</s>",
        ]
        .iter()
        .any(|token| cursor.eat(token))
        {}
        if cursor.is_at_end() {
            return (!calls.is_empty()).then_some(calls);
        }
        if calls.len() > super::CALLS_MAX {
            return None;
        }
        calls.extend(next(&mut cursor, offered)?);
    }
}

/// The next call, or the next few where one mark has several.
fn next(cursor: &mut Cursor<'_>, offered: &Offered) -> Option<Vec<Call>> {
    for list in [
        "<tool_calls>",
        "<function_calls>",
        "<minimax:tool_call>",
        "<｜DSML｜function_calls>",
        "<｜tool▁calls▁begin｜>",
        "<|tool_calls_section_begin|>",
    ] {
        if cursor.eat(list) {
            break;
        }
    }
    for tag in ["tool_call", "toolcall", "tool_use", "function_call"] {
        if cursor.eat(&format!("<{tag}>")) {
            return tagged(cursor, &format!("</{tag}>"), offered);
        }
    }
    if cursor.eat("[TOOL_CALLS]") {
        return mistral(cursor, offered);
    }
    if cursor.eat("<|python_tag|>") {
        let rest = Cursor(std::mem::take(&mut cursor.0));
        let text = rest.0.trim().trim_end_matches("<|eom_id|>").trim_end_matches("<|eot_id|>");
        return objects(Cursor(text), offered).or_else(|| python::calls(text, offered));
    }
    let one = if cursor.eat("<｜tool▁call▁begin｜>") {
        deepseek(cursor, offered)
    } else if cursor.eat("<|tool_call_begin|>") {
        // Kimi's names are `functions.NAME:INDEX`.
        let name = cursor.name()?;
        cursor.need("<|tool_call_argument_begin|>")?;
        let call = (offered.tool(name.split(':').next()?)?.to_owned(), cursor.object()?);
        cursor.close("<|tool_call_end|>")?;
        Some(call)
    } else if cursor.eat("<|channel|>commentary to=") {
        let tool = offered.tool(cursor.name()?)?.to_owned();
        cursor.until("<|message|>")?;
        Some((tool, cursor.object()?))
    } else if cursor.eat("<function=") {
        function(cursor, offered)
    } else if cursor.eat("<invoke name=") || cursor.eat("<｜DSML｜invoke name=") {
        invoke(cursor, offered)
    } else {
        None
    };
    one.map(|call| vec![call])
}

/// What stands within a pair of tags: JSON, `<function=…>`, or GLM's name and pairs.
fn tagged(cursor: &mut Cursor<'_>, end: &str, offered: &Offered) -> Option<Vec<Call>> {
    cursor.blanks();
    let calls = if cursor.0.starts_with(['{', '[']) {
        let raw: &RawValue = cursor.json()?;
        listed(raw, offered)?
    } else if cursor.eat("<function=") {
        vec![function(cursor, offered)?]
    } else {
        let tool = offered.tool(cursor.name()?)?.to_owned();
        let mut arguments = Map::new();
        while cursor.eat("<arg_key>") {
            let key = cursor.until("</arg_key>")?.trim();
            cursor.need("<arg_value>")?;
            arguments.insert(key.to_owned(), offered.value(&tool, key, cursor.until("</arg_value>")?));
        }
        vec![(tool, Value::Object(arguments).to_string())]
    };
    cursor.close(end)?;
    Some(calls)
}

/// After `<function=`: Llama's JSON or Qwen's parameters.
fn function(cursor: &mut Cursor<'_>, offered: &Offered) -> Option<Call> {
    let tool = offered.tool(cursor.until(">")?.trim_matches('"'))?.to_owned();
    cursor.blanks();
    let arguments = if cursor.0.starts_with('{') {
        cursor.object()?
    } else {
        let mut arguments = Map::new();
        while cursor.eat("<parameter=") {
            let key = cursor.until(">")?.trim_matches('"');
            let value = inner(cursor.until("</parameter>")?);
            arguments.insert(key.to_owned(), offered.value(&tool, key, value));
        }
        Value::Object(arguments).to_string()
    };
    cursor.close("</function>")?;
    Some((tool, arguments))
}

/// After `<invoke name=`: named parameters. `DeepSeek` says of each whether it is a text.
fn invoke(cursor: &mut Cursor<'_>, offered: &Offered) -> Option<Call> {
    let tool = offered.tool(cursor.until(">")?.trim_matches('"'))?.to_owned();
    let mut arguments = Map::new();
    while let Some(dsml) = [("<parameter name=\"", ""), ("<｜DSML｜parameter name=\"", "｜DSML｜")]
        .into_iter()
        .find_map(|(open, mark)| cursor.eat(open).then_some(mark))
    {
        let key = cursor.until("\"")?.to_owned();
        cursor.until(">")?;
        let value = inner(cursor.until(&format!("</{dsml}parameter>"))?);
        let value = offered.value(&tool, &key, value);
        arguments.insert(key, value);
    }
    if !cursor.eat("</｜DSML｜invoke>") {
        cursor.close("</invoke>")?;
    }
    Some((tool, Value::Object(arguments).to_string()))
}

/// After `[TOOL_CALLS]`: a list, or a name with its arguments.
fn mistral(cursor: &mut Cursor<'_>, offered: &Offered) -> Option<Vec<Call>> {
    cursor.blanks();
    if cursor.0.starts_with(['[', '{']) {
        return listed(cursor.json::<&RawValue>()?, offered);
    }
    let tool = offered.tool(cursor.name()?)?.to_owned();
    if cursor.eat("[CALL_ID]") {
        cursor.name()?;
    }
    cursor.eat("[ARGS]");
    cursor.blanks();
    Some(vec![(tool, cursor.object()?)])
}

/// `function<｜tool▁sep｜>NAME` and fenced JSON, or `NAME<｜tool▁sep｜>` and JSON.
fn deepseek(cursor: &mut Cursor<'_>, offered: &Offered) -> Option<Call> {
    let first = cursor.until("<｜tool▁sep｜>")?;
    let tool = if first.trim() == "function" { cursor.name()? } else { first };
    let tool = offered.tool(tool)?.to_owned();
    let fenced = cursor.eat("```json");
    cursor.blanks();
    let arguments = cursor.object()?;
    if fenced {
        cursor.close("```")?;
    }
    cursor.close("<｜tool▁call▁end｜>")?;
    Some((tool, arguments))
}

/// JSON values to the end of the text, each of which is a call or a list of calls.
fn objects(mut cursor: Cursor<'_>, offered: &Offered) -> Option<Vec<Call>> {
    let mut calls = Vec::new();
    while !cursor.is_at_end() {
        cursor.blanks();
        calls.extend(listed(cursor.json::<&RawValue>()?, offered)?);
        // Llama puts a semicolon between.
        cursor.eat(";");
        if calls.len() > super::CALLS_MAX {
            return None;
        }
    }
    (!calls.is_empty()).then_some(calls)
}

/// One JSON value: a call, a list of calls, or an object with one of these inside.
fn listed(raw: &RawValue, offered: &Offered) -> Option<Vec<Call>> {
    if raw.get().starts_with('[') {
        let all: Vec<Fields> = serde_json::from_str(raw.get()).ok()?;
        return all.iter().map(|one| named(one, offered)).collect();
    }
    let fields: Fields = serde_json::from_str(raw.get()).ok()?;
    match fields.raw("tool_calls") {
        Some(inner) if inner.get().starts_with('[') => listed(inner, offered),
        _ => Some(vec![named(&fields, offered)?]),
    }
}

/// A call as an object: a tool's name, its arguments, and nothing else of weight.
fn named(fields: &Fields, offered: &Offered) -> Option<Call> {
    const NAMES: [&str; 5] = ["name", "tool", "tool_name", "function", "action"];
    const ARGUMENTS: [&str; 6] = ["arguments", "parameters", "args", "input", "tool_input", "action_input"];
    const BESIDES: [&str; 3] = ["id", "type", "call_id"];
    for outer in ["function", "function_call", "tool_call"] {
        if let Some(inner) = fields.get::<Fields>(outer) {
            return fields
                .iter()
                .all(|(key, _)| key == outer || BESIDES.contains(&key))
                .then(|| named(&inner, offered))?;
        }
    }
    let known = |key: &str| NAMES.contains(&key) || ARGUMENTS.contains(&key) || BESIDES.contains(&key);
    if !fields.iter().all(|(key, _)| known(key)) {
        return None;
    }
    let mut names = NAMES.iter().filter_map(|key| fields.text(key));
    let tool = offered.tool(&names.next()?)?.to_owned();
    let mut arguments = ARGUMENTS.iter().filter_map(|key| fields.raw(key));
    let given = arguments.next();
    if names.next().is_some() || arguments.next().is_some() {
        return None;
    }
    Some((tool, given.map_or_else(|| Some("{}".to_owned()), object_text)?))
}

/// A parameter's value without the line ends that the template puts around it.
fn inner(value: &str) -> &str {
    let value = value.strip_prefix('\n').unwrap_or(value);
    value.strip_suffix('\n').unwrap_or(value)
}
