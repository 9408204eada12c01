//! The table of tools: names, descriptions and arguments, in the order in which models see them.
//!
//! The texts are part of every prompt's prefix: a change here is a new prefix for new tasks;
//! running tasks keep the texts that they started with.

use super::{
    nearest::Name,
    schema::{self, Field, Kind},
};
use crate::domain::{
    event::ToolSpecs,
    network::HOSTS_ASKED_MAX,
    tool::{REQUEST_NETWORK, ToolSpec},
};

/// Which of the tools a model is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolSet {
    /// What is offered in every task.
    Work,
    /// What is offered besides where the operator keeps skills.
    Skills,
    /// What is offered besides where the task is done for a member of the team.
    Memory,
    /// What is offered besides where people can be asked for hosts.
    Network,
    /// Every tool of the contract.
    Contract,
}

/// One tool of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) fields: &'static [Field],
    /// What other systems call it.
    pub(super) also: &'static [&'static str],
    pub(super) set: ToolSet,
}

/// The descriptions for a model: fixed order, schemas with sorted keys.
pub fn specs(set: ToolSet) -> ToolSpecs {
    let contract = |tool: &Tool| set == ToolSet::Contract && matches!(tool.set, ToolSet::Work | ToolSet::Memory);
    let given = |tool: &&Tool| contract(tool) || tool.set == set;
    let spec = |tool: &Tool| ToolSpec {
        name: tool.name.to_owned(),
        description: tool.about.to_owned(),
        parameters: schema::written(tool.fields),
    };
    TOOLS.iter().filter(given).map(spec).collect()
}

/// The same for a model with a window of so many tokens: where it is small, arguments are named and
/// typed but not described, and of a tool's description its first sentence stays, but for the
/// patch's form, which nobody guesses.
pub fn specs_for_window(set: ToolSet, window_tokens: u64) -> ToolSpecs {
    let mut specs = specs(set);
    if window_tokens >= SMALL_WINDOW_TOKENS {
        return specs;
    }
    for spec in &mut specs {
        if spec.name != "apply_patch" {
            let end = spec.description.find(". ").map_or(spec.description.len(), |at| at + 1);
            spec.description.truncate(end);
        }
        spec.parameters = schema::without_descriptions(&spec.parameters);
    }
    specs
}

/// Below this the tools are described shortly.
const SMALL_WINDOW_TOKENS: u64 = 16_000;

pub(super) fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

/// What is offered in every task.
pub(super) fn work() -> impl Iterator<Item = &'static Tool> {
    TOOLS.iter().filter(|tool| tool.set == ToolSet::Work)
}

pub(super) const TIMEOUT_MS_DEFAULT: i64 = 120_000;
pub(super) const TIMEOUT_MS_MAX: i64 = 3_600_000;
pub(super) const WAIT_MS_DEFAULT: i64 = 1_000;
pub(super) const WAIT_MS_MAX: i64 = 300_000;
pub(super) const PLAN_STEPS_MAX: usize = 50;
pub(super) const READ_LINES_DEFAULT: i64 = 1_000;
pub(super) const SEARCH_HITS_DEFAULT: i64 = 100;
pub(super) const LIST_DEPTH_DEFAULT: i64 = 3;

const fn required(name: &'static str, kind: Kind, about: &'static str, also: &'static [&'static str]) -> Field {
    Field { name, kind, required: true, about, also }
}

const fn optional(name: &'static str, kind: Kind, about: &'static str, also: &'static [&'static str]) -> Field {
    Field { name, kind, required: false, about, also }
}

const fn count(max: i64) -> Kind {
    Kind::Integer { min: 1, max }
}

const fn choice(name: &'static str, also: &'static [&'static str]) -> Name {
    Name { name, also }
}

const PATH_ALSO: &[&str] = &["file_path", "filename", "file", "target_file", "dir", "directory"];
const STEP_STATES: &[Name] = &[
    choice("pending", &["todo", "open", "not_started", "planned"]),
    choice("in_progress", &["doing", "active", "started", "current", "running"]),
    choice("completed", &["done", "finished", "complete", "closed"]),
];
const SCOPES: &[Name] = &[choice("user", &["me", "personal"]), choice("repository", &["repo", "project"])];

const TOOLS: &[Tool] = &[
    Tool {
        name: "shell",
        about: "Runs a command with `bash -c` in the working copy, /workspace. The answer has the exit code, the \
                duration, and stdout and stderr together, cut in the middle where they are long.\n\
                - Every call is a new shell: `cd` and variables do not last, so give `workdir`.\n\
                - There is no terminal and stdin is empty: use flags that keep programs from asking. What \
                network there is, the task says.\n\
                - Servers, watchers and programs that want input: set `background`, then use write_stdin.\n\
                - To look at code, search, read_file and list_files are quicker; to change files use apply_patch or edit.",
        fields: &[
            required(
                "command",
                Kind::Text,
                "The command line, such as `cargo test parser`.",
                &["cmd", "script", "code"],
            ),
            optional(
                "workdir",
                Kind::Text,
                "Directory to run in, relative to /workspace. Default: /workspace.",
                &["cwd", "working_directory", "dir"],
            ),
            optional(
                "timeout_ms",
                Kind::Integer { min: 1, max: TIMEOUT_MS_MAX },
                "Milliseconds after which the command is killed. Default: 120000, in the background 3600000.",
                &["timeout", "yield_time_ms"],
            ),
            optional(
                "background",
                Kind::Flag,
                "Start it and answer at once with a `process` number for write_stdin.",
                &["run_in_background", "is_background", "detach"],
            ),
        ],
        also: &["bash", "sh", "exec", "exec_command", "run", "run_command", "terminal", "local_shell", "execute"],
        set: ToolSet::Work,
    },
    Tool {
        name: "write_stdin",
        about: "Writes to a process that `shell` started in the background, waits, and answers what it has printed since \
                the last look, with its exit code once it has ended. Without `text` it only looks.",
        fields: &[
            required(
                "process",
                count(4_294_967_295),
                "The number that `shell` gave.",
                &["process_id", "pid", "session_id", "id"],
            ),
            optional(
                "text",
                Kind::Text,
                "What to write; end a line with \\n. \\u0003 is Ctrl-C.",
                &["chars", "input", "stdin", "data"],
            ),
            optional(
                "wait_ms",
                Kind::Integer { min: 0, max: WAIT_MS_MAX },
                "Milliseconds to wait for output or the end. Default: 1000.",
                &["yield_time_ms", "timeout_ms", "wait"],
            ),
        ],
        also: &["send_input", "bash_output", "write_to_process", "read_output"],
        set: ToolSet::Work,
    },
    Tool {
        name: "apply_patch",
        about: "Adds, changes, moves and deletes files; all of the patch is applied or none of it. Form:\n\
                *** Begin Patch\n\
                *** Update File: src/cart.py\n\
                @@ def total(self):\n\
                \x20    result = 0\n\
                -    for item in self.items[1:]:\n\
                +    for item in self.items:\n\
                \x20        result += item.price\n\
                *** Add File: src/tax.py\n\
                +RATE = 0.2\n\
                *** Delete File: src/old.py\n\
                *** End Patch\n\
                - In an update every line begins with a space (stays), `-` (goes) or `+` (comes). Give about three lines \
                that stay before and after each change, copied exactly from the file, and no line numbers.\n\
                - Each change of a file is a part of its own that begins with `@@`. Where the lines stand more than once, \
                name the class or function around them after `@@`; several `@@` lines in a row go from outer to inner.\n\
                - `*** Move to: new/path` right after `*** Update File:` moves the file. `*** End of File` after a part \
                binds it to the end of the file. New files have `+` before every line. One section per file.",
        fields: &[required(
            "patch",
            Kind::Text,
            "The patch, from `*** Begin Patch` to `*** End Patch`.",
            &["input", "diff", "content", "text", "changes"],
        )],
        also: &["patch", "applypatch", "apply_diff", "multi_edit", "write_file", "create_file"],
        set: ToolSet::Work,
    },
    Tool {
        name: "edit",
        about: "Replaces text in one file. `old` must be copied exactly from the file, without line numbers, and stand in \
                it exactly once: take in lines around it until it does, or set `replace_all`. With an empty `old` a file \
                that is not there yet is made with the content `new`.",
        fields: &[
            required("path", Kind::Text, "The file, relative to /workspace.", PATH_ALSO),
            required(
                "old",
                Kind::Text,
                "The text to replace, with its indentation; may span lines.",
                &["old_string", "old_str", "old_text", "search", "find"],
            ),
            required(
                "new",
                Kind::Text,
                "The text to put in its place; may be empty.",
                &["new_string", "new_str", "new_text", "replace", "replacement"],
            ),
            optional("replace_all", Kind::Flag, "Replace it wherever it stands.", &["all", "global"]),
        ],
        also: &["str_replace", "replace", "edit_file", "str_replace_editor", "search_replace"],
        set: ToolSet::Work,
    },
    Tool {
        name: "read_file",
        about: "Shows lines of a text file, each with its number and a tab before it. Long files are shown in parts: the \
                answer says how to go on.",
        fields: &[
            required("path", Kind::Text, "The file, relative to /workspace.", PATH_ALSO),
            optional(
                "offset",
                count(i64::MAX),
                "The first line to show, from 1. Default: 1.",
                &["start_line", "start", "line", "from"],
            ),
            optional(
                "limit",
                count(i64::MAX),
                "How many lines to show. Default: 1000.",
                &["lines", "num_lines", "count", "end_line"],
            ),
        ],
        also: &["read", "cat", "open_file", "view", "view_file", "open"],
        set: ToolSet::Work,
    },
    Tool {
        name: "search",
        about: "Finds lines that match a regular expression in the working copy; answers `path:line: text`. Ignored and \
                binary files are left out. Escape ( ) [ ] { } . * + ? | ^ $ \\ to find them as they are; (?i) at the \
                beginning ignores case.",
        fields: &[
            required(
                "pattern",
                Kind::Text,
                "The regular expression (Rust syntax: no look-around).",
                &["query", "regex", "search", "text"],
            ),
            optional("path", Kind::Text, "A file or directory to search in. Default: all.", PATH_ALSO),
            optional(
                "glob",
                Kind::Text,
                "Only files whose path fits, such as `*.py` or `src/**/*.ts`.",
                &["include", "file_pattern", "type"],
            ),
            optional(
                "limit",
                count(1_000),
                "The most lines to answer. Default: 100.",
                &["max_results", "max", "head_limit"],
            ),
        ],
        also: &["grep", "rg", "ripgrep", "search_files", "grep_search", "code_search", "find"],
        set: ToolSet::Work,
    },
    Tool {
        name: "list_files",
        about: "Shows the files and directories of the working copy as a tree; ignored files are left out.",
        fields: &[
            optional("path", Kind::Text, "The directory to begin at. Default: /workspace.", PATH_ALSO),
            optional(
                "depth",
                count(100),
                "How many levels to show. Default: 3, with `glob` all.",
                &["max_depth", "levels", "recursive"],
            ),
            optional(
                "glob",
                Kind::Text,
                "Only files whose path fits, such as `**/*_test.go`.",
                &["pattern", "include", "filter"],
            ),
        ],
        also: &["ls", "list", "list_dir", "list_directory", "glob", "tree", "find_files"],
        set: ToolSet::Work,
    },
    Tool {
        name: "update_plan",
        about: "Sets the plan of the work: a few short steps that can be checked. Make it before the first edit, keep one \
                step `in_progress` at most, and call this again when a step is done or the plan changes. The whole plan is \
                sent each time.",
        fields: &[
            required(
                "plan",
                Kind::List {
                    of: &Kind::Record(&[
                        required(
                            "step",
                            Kind::Text,
                            "What is done, in a few words.",
                            &["text", "content", "title", "description", "task"],
                        ),
                        required("status", Kind::Choice(STEP_STATES), "How far it is.", &["state"]),
                    ]),
                    min: 1,
                    max: PLAN_STEPS_MAX,
                },
                "All steps, in order.",
                &["steps", "todos", "items", "tasks"],
            ),
            optional("explanation", Kind::Text, "Why the plan is so, or why it changes.", &["reason", "why"]),
            optional(
                "approaches",
                Kind::List {
                    of: &Kind::TextOrRecord(&[
                        required("name", Kind::Text, "The approach.", &["title", "approach"]),
                        optional("for", Kind::Text, "What speaks for it.", &["pro", "pros"]),
                        optional("against", Kind::Text, "What speaks against it.", &["con", "cons"]),
                        optional("chosen", Kind::Flag, "Whether it is the one taken.", &["selected"]),
                    ]),
                    min: 0,
                    max: 10,
                },
                "The ways that were weighed, where there was a choice.",
                &["alternatives", "options"],
            ),
            optional(
                "criteria",
                Kind::List { of: &Kind::Text, min: 0, max: 20 },
                "What must hold when the work is done, each so that it can be checked.",
                &["acceptance_criteria", "acceptance", "done_when"],
            ),
        ],
        also: &["plan", "todo", "todo_write", "set_plan", "write_todos", "todowrite"],
        set: ToolSet::Work,
    },
    Tool {
        name: "ask_user",
        about: "Asks the person who gave the task, and waits. Only for what neither the code nor the request can tell and \
                what would change the work.",
        fields: &[required(
            "questions",
            Kind::List {
                of: &Kind::Record(&[
                    required("question", Kind::Text, "One question, complete in itself.", &["text"]),
                    optional(
                        "options",
                        Kind::List { of: &Kind::Text, min: 0, max: 5 },
                        "Answers to choose from, the recommended one first.",
                        &["choices", "answers"],
                    ),
                ]),
                min: 1,
                max: 3,
            },
            "One to three questions.",
            &["question"],
        )],
        also: &["request_user_input", "ask", "question", "ask_followup_question"],
        set: ToolSet::Work,
    },
    Tool {
        name: "remember",
        about: "Proposes something to be remembered for later tasks: a lasting preference, convention or fact that was not \
                known and will be of use again. A person decides.",
        fields: &[
            required("text", Kind::Text, "One statement, complete in itself.", &["memory", "note", "content"]),
            optional("scope", Kind::Choice(SCOPES), "For whom it holds. Default: repository.", &["level"]),
        ],
        also: &["save_memory", "memory", "memorize"],
        set: ToolSet::Memory,
    },
    Tool {
        name: "read_skill",
        about: "Reads a skill of the operator's, which tells how a kind of work is done, or one of its files. The brief \
                lists them.",
        fields: &[
            required("name", Kind::Text, "The skill.", &["skill", "skill_name"]),
            optional(
                "path",
                Kind::Text,
                "A file of its folder. Default: SKILL.md, which comes with a list of them.",
                PATH_ALSO,
            ),
        ],
        also: &["skill", "load_skill", "use_skill", "view_skill"],
        set: ToolSet::Skills,
    },
    Tool {
        name: REQUEST_NETWORK,
        about: "Asks a person to let this task's commands reach hosts that they cannot reach, and waits. Processes in the \
                background end meanwhile. Only for what the work cannot be done without, and all of it in one call.",
        fields: &[
            required(
                "hosts",
                Kind::List { of: &Kind::Text, min: 1, max: HOSTS_ASKED_MAX },
                "Names such as `pypi.org` or `*.debian.org`, with a port where it is not 80 or 443; or presets of package \
                 registries: `preset:npm`, `preset:pypi`, `preset:crates`, `preset:go`, `preset:maven`, `preset:debian`, \
                 `preset:rubygems`.",
                &["host", "domains", "urls", "names"],
            ),
            required(
                "reason",
                Kind::Text,
                "What is loaded from there, and what it is needed for.",
                &["why", "justification"],
            ),
        ],
        also: &["allow_network", "request_hosts", "network_access", "request_permissions"],
        set: ToolSet::Network,
    },
];
