//! From a call as the model wrote it to a call that can be performed.

use super::{
    ToolAnswer, arguments, nearest,
    patch::{self, Patch},
    plan, schema, specs,
};
use crate::domain::{
    approval::Question,
    network,
    plan::{Approach, PlanStep},
    tool::REQUEST_NETWORK,
};
use serde_json::{Map, Value};
use std::time::Duration;

/// For whom the agent would have something remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RememberScope {
    User,
    Repository,
}

/// A call whose arguments hold what the contract says of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    Shell { command: String, workdir: Option<String>, timeout: Duration, background: bool },
    WriteStdin { process: u32, text: String, wait: Duration },
    ApplyPatch { patch: Patch },
    Edit { path: String, old: String, new: String, replace_all: bool },
    ReadFile { path: String, offset: u64, limit: u64 },
    Search { pattern: String, path: Option<String>, glob: Option<String>, limit: usize },
    ListFiles { path: Option<String>, depth: u32, glob: Option<String> },
    AskUser { questions: Vec<Question> },
    ReadSkill { name: String, path: Option<String> },
    Remember { text: String, scope: RememberScope },
    RequestNetwork { hosts: Vec<String>, reason: String },
    UpdatePlan { steps: Vec<PlanStep>, explanation: Option<String>, approaches: Vec<Approach>, criteria: Vec<String> },
}

impl Parsed {
    /// The tool that performs it: a patch that was given to `shell` is a call of `apply_patch`.
    pub fn tool(&self) -> &'static str {
        match self {
            Self::Shell { .. } => "shell",
            Self::WriteStdin { .. } => "write_stdin",
            Self::ApplyPatch { .. } => "apply_patch",
            Self::Edit { .. } => "edit",
            Self::ReadFile { .. } => "read_file",
            Self::Search { .. } => "search",
            Self::ListFiles { .. } => "list_files",
            Self::AskUser { .. } => "ask_user",
            Self::ReadSkill { .. } => "read_skill",
            Self::Remember { .. } => "remember",
            Self::RequestNetwork { .. } => REQUEST_NETWORK,
            Self::UpdatePlan { .. } => "update_plan",
        }
    }
}

/// Reads a call. The answer on error is for the model: it names the place, the nearest match and
/// how to mend it.
pub fn parse(tool: &str, arguments: &str) -> Result<Parsed, ToolAnswer> {
    let Some(known) = specs::find(tool) else {
        return Err(unknown_tool(tool));
    };
    let mut given = match (tool, arguments::object(arguments)) {
        (_, Ok(given)) => given,
        ("apply_patch", Err(_)) if is_bare_patch(arguments) => bare_patch(arguments),
        (_, Err(why)) => return Err(ToolAnswer::refused(format!("{tool} was not called: {why}"))),
    };
    let faults = schema::check(known.fields, &mut given);
    if !faults.is_empty() {
        return Err(ToolAnswer::refused(format!(
            "{tool} was not called, its arguments are wrong:\n- {}",
            faults.join("\n- ")
        )));
    }
    typed(tool, &Checked(given))
}

/// The arguments of a tool whose schema is not ours to check.
pub fn object(tool: &str, arguments: &str) -> Result<Map<String, Value>, ToolAnswer> {
    arguments::object(arguments).map_err(|why| ToolAnswer::refused(format!("{tool} was not called: {why}")))
}

/// A patch without JSON around it, or in JSON that is broken elsewhere: of one that stops there the end mark is missing.
fn is_bare_patch(arguments: &str) -> bool {
    let json = serde_json::from_str::<String>(arguments).is_err() && arguments.trim_start().starts_with(['{', '"']);
    arguments.contains("*** Begin Patch") && (!json || arguments.contains("*** End Patch"))
}

/// Arguments that are the patch itself, or a JSON string with it.
fn bare_patch(arguments: &str) -> Map<String, Value> {
    let text = serde_json::from_str::<String>(arguments).unwrap_or_else(|_| arguments.to_owned());
    Map::from_iter([("patch".to_owned(), Value::from(text))])
}

fn unknown_tool(tool: &str) -> ToolAnswer {
    let shown: String = tool.chars().filter(|c| !c.is_control()).take(60).collect();
    let last = tool.rsplit(['.', '/', ':']).next().unwrap_or(tool);
    let names = || specs::work().map(|t| nearest::Name { name: t.name, also: t.also });
    let near = nearest::among(last, names()).map_or_else(String::new, |name| format!(", did you mean `{name}`?"));
    let all: Vec<&str> = specs::work().map(|t| t.name).collect();
    ToolAnswer::refused(
        format!("there is no tool `{shown}`{near} The tools are: {}", all.join(", ")).replace("` The", "`. The"),
    )
}

fn questions(given: &[Value]) -> Vec<Question> {
    let text = |value: &Value| value.as_str().unwrap_or_default().trim().to_owned();
    let options = |value: &Value| value["options"].as_array().map(|all| all.iter().map(text).collect());
    given
        .iter()
        .map(|one| Question { question: text(&one["question"]), options: options(one).unwrap_or_default() })
        .collect()
}

/// Hosts, of which URLs are taken for what they name.
fn hosts(given: &[Value]) -> Result<Vec<String>, ToolAnswer> {
    let mut hosts = Vec::new();
    for entry in given.iter().filter_map(Value::as_str) {
        let bare = entry.trim().trim_start_matches("https://").trim_start_matches("http://");
        let host = bare.split('/').next().unwrap_or(bare).to_ascii_lowercase();
        if let Err(error) = network::expand(&host) {
            let shown: String = entry.chars().take(100).collect();
            let text = format!("{REQUEST_NETWORK} was not called: `hosts`: \"{shown}\" {error}");
            return Err(ToolAnswer::refused(text));
        }
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    Ok(hosts)
}

/// Arguments that have passed the check against their schema.
struct Checked(Map<String, Value>);

impl Checked {
    fn text(&self, name: &str) -> String {
        self.optional_text(name).unwrap_or_default()
    }

    fn optional_text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    /// A path, pattern or directory: empty means that it was not given.
    fn place(&self, name: &str) -> Option<String> {
        self.optional_text(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn number(&self, name: &str, default: i64) -> i64 {
        self.0.get(name).and_then(Value::as_i64).unwrap_or(default)
    }

    fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    fn list(&self, name: &str) -> &[Value] {
        self.0.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

fn typed(tool: &str, given: &Checked) -> Result<Parsed, ToolAnswer> {
    let millis = |name, default| Duration::from_millis(given.number(name, default).unsigned_abs());
    match tool {
        "shell" => {
            let background = given.flag("background");
            let default = if background { specs::TIMEOUT_MS_MAX } else { specs::TIMEOUT_MS_DEFAULT };
            shell(given, millis("timeout_ms", default), background)
        }
        "read_skill" => Ok(Parsed::ReadSkill { name: given.text("name").trim().to_owned(), path: given.place("path") }),
        REQUEST_NETWORK => Ok(Parsed::RequestNetwork {
            hosts: hosts(given.list("hosts"))?,
            reason: given.text("reason").trim().to_owned(),
        }),
        "remember" => remember(given),
        "write_stdin" => Ok(Parsed::WriteStdin {
            process: given.number("process", 0) as u32,
            text: given.text("text"),
            wait: millis("wait_ms", specs::WAIT_MS_DEFAULT),
        }),
        "apply_patch" => apply_patch(&given.text("patch"), None),
        "edit" => Ok(Parsed::Edit {
            path: given.path(tool)?,
            old: given.text("old"),
            new: given.text("new"),
            replace_all: given.flag("replace_all"),
        }),
        "read_file" => Ok(Parsed::ReadFile {
            path: given.readable(tool)?,
            offset: given.number("offset", 1).unsigned_abs(),
            limit: given.number("limit", specs::READ_LINES_DEFAULT).unsigned_abs(),
        }),
        "search" => Ok(Parsed::Search {
            pattern: given.text("pattern"),
            path: given.directory(tool)?,
            glob: given.place("glob"),
            limit: given.number("limit", specs::SEARCH_HITS_DEFAULT) as usize,
        }),
        "list_files" => {
            let glob = given.place("glob");
            let default = if glob.is_some() { 100 } else { specs::LIST_DEPTH_DEFAULT };
            let depth = given.number("depth", default) as u32;
            Ok(Parsed::ListFiles { path: given.directory(tool)?, depth, glob })
        }
        "ask_user" => Ok(Parsed::AskUser { questions: questions(given.list("questions")) }),
        "update_plan" => Ok(Parsed::UpdatePlan {
            steps: plan::steps(given.list("plan")),
            explanation: given.place("explanation"),
            approaches: plan::approaches(given.list("approaches")),
            criteria: plan::criteria(given.list("criteria")),
        }),
        other => Err(unknown_tool(other)),
    }
}

impl Checked {
    /// The file that the call is about, relative to the working copy.
    fn path(&self, tool: &str) -> Result<String, ToolAnswer> {
        patch::relative_path(&self.text("path"), None)
            .map_err(|why| ToolAnswer::refused(format!("{tool} was not called: `path`: {why}")))
    }

    /// As `path`, or a file of the sandbox outside the working copy, such as a header or a library.
    fn readable(&self, tool: &str) -> Result<String, ToolAnswer> {
        let given = self.text("path").trim().to_owned();
        let elsewhere = given.starts_with('/') && !given.contains("..") && !given.starts_with("/workspace");
        if elsewhere { Ok(given) } else { self.path(tool) }
    }

    /// A place to look below; none means the whole working copy.
    fn directory(&self, tool: &str) -> Result<Option<String>, ToolAnswer> {
        match self.place("path").as_deref().map(|path| path.trim_end_matches('/')) {
            None | Some("" | "." | "./." | "/workspace" | "/workspace/.") => Ok(None),
            Some(_) => self.path(tool).map(Some),
        }
    }
}

fn remember(given: &Checked) -> Result<Parsed, ToolAnswer> {
    let text = given.text("text").trim().to_owned();
    if text.is_empty() {
        return Err(ToolAnswer::refused("remember was not called: `text` is empty"));
    }
    let of_user = given.place("scope").as_deref() == Some("user");
    Ok(Parsed::Remember { text, scope: if of_user { RememberScope::User } else { RememberScope::Repository } })
}

fn shell(given: &Checked, timeout: Duration, background: bool) -> Result<Parsed, ToolAnswer> {
    let command = given.text("command");
    let workdir = given.place("workdir");
    if command.trim().is_empty() {
        return Err(ToolAnswer::refused("shell was not called: `command` is empty"));
    }
    if let Some(pasted) = patch::in_command(&command) {
        let base = match (workdir, pasted.directory) {
            (Some(outer), Some(inner)) if !inner.starts_with('/') => Some(format!("{outer}/{inner}")),
            (outer, inner) => inner.map(str::to_owned).or(outer),
        };
        return apply_patch(pasted.patch, base.as_deref());
    }
    Ok(Parsed::Shell { command, workdir, timeout, background })
}

fn apply_patch(text: &str, base: Option<&str>) -> Result<Parsed, ToolAnswer> {
    match patch::parse_below(text, base) {
        Ok(patch) => Ok(Parsed::ApplyPatch { patch }),
        Err(error) => Err(ToolAnswer::refused(format!("the patch was not applied, nothing was changed: {error}"))),
    }
}
