//! Calls in Python's way, as Llama and Gemma write them: `[shell(command="ls")]`,
//! `print(default_api.shell(command="ls"))`. Literals alone are read; nothing is evaluated.

use super::{Offered, cursor::Cursor};
use serde_json::{Map, Number, Value};

/// Values within values.
const DEPTH_MAX: usize = 32;

/// The calls that `text` is made of, in a list, on lines or one alone.
pub(super) fn calls(text: &str, offered: &Offered) -> Option<Vec<(String, String)>> {
    let mut cursor = Cursor(text);
    let list = cursor.eat("[");
    let mut calls = Vec::new();
    while !cursor.is_at_end() {
        if list && cursor.eat("]") {
            return (cursor.is_at_end() && !calls.is_empty()).then_some(calls);
        }
        calls.push(call(&mut cursor, offered)?);
        if list {
            cursor.eat(",");
        }
        if calls.len() > super::CALLS_MAX {
            return None;
        }
    }
    (!list && !calls.is_empty()).then_some(calls)
}

fn call(cursor: &mut Cursor<'_>, offered: &Offered) -> Option<(String, String)> {
    let printed = cursor.eat("print(");
    let tool = offered.tool(cursor.name()?)?.to_owned();
    cursor.need("(")?;
    let mut arguments = Map::new();
    while !cursor.eat(")") {
        let name = cursor.name()?.to_owned();
        cursor.need("=")?;
        let value = value(cursor, 0)?;
        if arguments.insert(name, value).is_some() {
            return None;
        }
        if !cursor.eat(",") {
            cursor.need(")")?;
            break;
        }
    }
    if printed {
        cursor.need(")")?;
    }
    Some((tool, Value::Object(arguments).to_string()))
}

fn value(cursor: &mut Cursor<'_>, depth: usize) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    cursor.blanks();
    match cursor.0.chars().next()? {
        '"' | '\'' => text(cursor).map(Value::String),
        '[' => {
            cursor.eat("[");
            let mut list = Vec::new();
            while !cursor.eat("]") {
                list.push(value(cursor, depth + 1)?);
                if !cursor.eat(",") {
                    cursor.need("]")?;
                    break;
                }
            }
            Some(Value::Array(list))
        }
        '{' => {
            cursor.eat("{");
            let mut map = Map::new();
            while !cursor.eat("}") {
                cursor.blanks();
                let key = text(cursor)?;
                cursor.need(":")?;
                map.insert(key, value(cursor, depth + 1)?);
                if !cursor.eat(",") {
                    cursor.need("}")?;
                    break;
                }
            }
            Some(Value::Object(map))
        }
        _ => {
            let word = cursor.name()?;
            match word {
                "True" | "true" => Some(Value::Bool(true)),
                "False" | "false" => Some(Value::Bool(false)),
                "None" | "null" => Some(Value::Null),
                number => match number.parse::<i64>() {
                    Ok(whole) => Some(Value::Number(whole.into())),
                    Err(_) => number.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number),
                },
            }
        }
    }
}

/// A text in single, double or threefold quotes, with the escapes that JSON and Python share.
fn text(cursor: &mut Cursor<'_>) -> Option<String> {
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| cursor.0.starts_with(quote))?;
    let mut out = String::new();
    let mut rest = &cursor.0[quote.len()..];
    loop {
        if let Some(after) = rest.strip_prefix(quote) {
            cursor.0 = after;
            return Some(out);
        }
        let c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let escaped = rest.chars().next()?;
                rest = &rest[escaped.len_utf8()..];
                match escaped {
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    'r' => out.push('\r'),
                    '\n' => {}
                    '\\' | '\'' | '"' => out.push(escaped),
                    // Python keeps escapes that it does not know; those of code points are left alone.
                    'x' | 'u' | 'U' | 'N' | '0'..='7' => return None,
                    other => out.extend(['\\', other]),
                }
            }
            '\n' if quote.len() == 1 => return None,
            c => out.push(c),
        }
    }
}
