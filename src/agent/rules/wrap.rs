//! Commands that run other commands: what is run is a command of its own, and so is the one that runs it.

use super::shell::{Known, Simple, Word, take_apart};
use std::collections::BTreeSet;

/// Shells in shells are followed so deep.
const DEPTH_MAX: usize = 8;
/// Commands kept of one line.
const COMMANDS_MAX: usize = 2_000;

/// What a line does, as far as it can be seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Deeds {
    /// Simple commands, their program's directory left out.
    pub(super) commands: Vec<Vec<Word>>,
    /// Texts that could not be taken apart.
    pub(super) opaque: Vec<String>,
    /// Files that redirections write.
    pub(super) targets: Vec<Word>,
}

/// A program that runs what stands behind its own options and operands.
struct Wrapper {
    names: &'static [&'static str],
    /// Words that must follow the name, such as `run` of `uv run`.
    then: &'static [&'static str],
    /// Its options that take the next word.
    takes: &'static [&'static str],
    /// Operands of its own, before the command.
    operands: usize,
    /// It gives the command more words than are seen.
    adds: bool,
}

const fn wrapper(names: &'static [&'static str], takes: &'static [&'static str], operands: usize) -> Wrapper {
    Wrapper { names, then: &[], takes, operands, adds: false }
}

const fn runner(names: &'static [&'static str], then: &'static [&'static str]) -> Wrapper {
    Wrapper { names, then, takes: &[], operands: 0, adds: false }
}

const WRAPPERS: &[Wrapper] = &[
    wrapper(&["env"], &["-u", "--unset", "-C", "--chdir"], 0),
    wrapper(
        &["sudo"],
        &[
            "-u", "-g", "-h", "-p", "-C", "-D", "-R", "-T", "-U", "-r", "-t", "--user", "--group", "--host",
            "--prompt", "--chdir", "--chroot",
        ],
        0,
    ),
    wrapper(&["doas", "runuser", "gosu", "su-exec"], &["-u", "-C", "-g"], 0),
    wrapper(&["timeout", "gtimeout"], &["-s", "-k", "--signal", "--kill-after"], 1),
    wrapper(&["nice", "chrt", "ionice"], &["-n", "-c", "--adjustment", "--class", "--classdata"], 0),
    wrapper(
        &[
            "nohup",
            "setsid",
            "chronic",
            "unbuffer",
            "builtin",
            "busybox",
            "toybox",
            "coproc",
            "caffeinate",
            "fakeroot",
            "ltrace",
        ],
        &[],
        0,
    ),
    wrapper(&["stdbuf"], &["-i", "-o", "-e", "--input", "--output", "--error"], 0),
    wrapper(&["time", "gtime"], &["-f", "-o", "--format", "--output"], 0),
    wrapper(&["exec"], &["-a"], 0),
    wrapper(&["command"], &[], 0),
    wrapper(&["watch"], &["-n", "--interval"], 0),
    wrapper(&["flock"], &["-w", "-E", "--timeout", "--wait"], 1),
    wrapper(&["chroot"], &[], 1),
    wrapper(&["strace"], &["-e", "-o", "-p", "-s", "-u", "-E", "-P", "-S"], 0),
    wrapper(&["unshare", "nsenter"], &["-t", "--target"], 0),
    Wrapper {
        names: &["xargs", "gxargs"],
        then: &[],
        takes: &[
            "-a",
            "-d",
            "-E",
            "-I",
            "-L",
            "-n",
            "-P",
            "-s",
            "--arg-file",
            "--delimiter",
            "--max-args",
            "--max-lines",
            "--max-procs",
            "--max-chars",
            "--replace",
        ],
        operands: 0,
        adds: true,
    },
    Wrapper { names: &["parallel"], then: &[], takes: &["-j", "--jobs", "-a", "-N", "-n"], operands: 0, adds: true },
    runner(&["npx", "bunx", "pnpx"], &[]),
    runner(&["uv", "poetry", "pipenv", "pdm", "hatch", "rye"], &["run"]),
    runner(&["bundle", "npm", "pnpm", "yarn", "mise", "direnv", "devbox"], &["exec"]),
    runner(&["git"], &["bisect", "run"]),
];

const SHELLS: &[&str] = &["bash", "sh", "dash", "zsh", "ksh", "ash", "rbash", "mksh"];

/// Programs that run code of another language, with the options behind which it stands.
const INTERPRETERS: &[(&str, &[&str])] = &[
    ("python", &["-c"]),
    ("pypy", &["-c"]),
    ("node", &["-e", "--eval", "-p", "--print"]),
    ("nodejs", &["-e", "--eval", "-p", "--print"]),
    ("bun", &["-e", "--eval"]),
    ("deno", &["eval"]),
    ("perl", &["-e", "-E"]),
    ("ruby", &["-e"]),
    ("php", &["-r"]),
    ("lua", &["-e"]),
    ("osascript", &["-e"]),
];

/// Words before a command that are the shell's own.
const RESERVED: &[&str] = &["{", "}", "!", "if", "then", "elif", "else", "fi", "while", "until", "do", "done", "esac"];
/// Those that begin a line of words which are no command.
const HEADS: &[&str] = &["for", "case", "select"];

/// Takes a line apart, and what its commands run.
pub(super) fn deeds(line: &str) -> Deeds {
    let mut deeds = Deeds::default();
    deeds.line(line, 0);
    deeds
}

impl Deeds {
    /// Keeps a text that cannot be taken apart.
    fn hide(&mut self, text: &str) {
        if !self.opaque.iter().any(|known| known == text) {
            self.opaque.push(text.to_owned());
        }
    }

    fn line(&mut self, line: &str, depth: usize) {
        let taken = if depth > DEPTH_MAX { None } else { take_apart(line).ok() };
        let Some(found) = taken else { return self.hide(line) };
        for simple in found {
            self.targets.extend(simple.targets.iter().cloned());
            self.command(&simple.words, &simple, line, depth);
        }
    }

    fn command(&mut self, words: &[Word], simple: &Simple, line: &str, depth: usize) {
        if self.commands.len() >= COMMANDS_MAX || depth > DEPTH_MAX {
            return self.hide(line);
        }
        let words = bare(words);
        let Some(program) = words.first() else { return };
        if program.known != Known::Whole {
            self.hide(line);
            return self.commands.push(words.to_vec());
        }
        let mut words = words.to_vec();
        let name = words[0].text.rsplit('/').next().unwrap_or_default().to_owned();
        words[0].text.clone_from(&name);
        self.commands.push(words.clone());
        let within = Within { simple, line, depth };
        if SHELLS.contains(&name.as_str()) {
            return self.shell(&words, within);
        }
        match name.as_str() {
            "eval" => self.text(&words[1..], within),
            "trap" | "alias" | "watch" => self.texts(&words[1..], within),
            "env" => self.option_texts(&words[1..], 'S', "--split-string", within),
            "su" | "script" | "flock" | "runuser" => self.option_texts(&words[1..], 'c', "--command", within),
            "find" => self.find(&words, within),
            "git"
                if words
                    .iter()
                    .any(|word| matches!(word.text.as_str(), "foreach" | "-x") || word.text.starts_with("--exec")) =>
            {
                self.texts(&words[1..], within);
            }
            "." | "source" => {
                let strange = |word: &Word| word.known != Known::Whole || word.text.starts_with("/dev/");
                if words.get(1).is_some_and(strange) {
                    self.hide(line);
                }
            }
            // It looks a command up.
            "command" if words.get(1).is_some_and(|word| matches!(word.text.as_str(), "-v" | "-V")) => return,
            _ => self.interpreter(&name, &words, within),
        }
        for wrapper in WRAPPERS.iter().filter(|wrapper| wrapper.names.contains(&name.as_str())) {
            self.wrapped(wrapper, &words, within);
        }
    }

    fn wrapped(&mut self, wrapper: &Wrapper, words: &[Word], within: Within<'_>) {
        let mut from = 1;
        for then in wrapper.then {
            while words.get(from).is_some_and(|word| word.text.starts_with('-')) {
                from += 1;
            }
            if words.get(from).is_none_or(|word| word.text != *then) {
                return;
            }
            from += 1;
        }
        for start in starts(wrapper, words, from) {
            let mut inner = words[start..].to_vec();
            if inner.is_empty() {
                continue;
            }
            if wrapper.adds {
                inner.push(Word::open());
            }
            self.command(&inner, within.simple, within.line, within.depth + 1);
        }
    }

    /// `bash -c`, a shell that reads its script from a pipe or a here-document, or one that runs a file.
    fn shell(&mut self, words: &[Word], within: Within<'_>) {
        let (mut reads_text, mut reads_stdin, mut skip, mut operand) = (false, false, false, None);
        for word in &words[1..] {
            let option = word.text.len() > 1 && word.text.starts_with(['-', '+']);
            if std::mem::take(&mut skip) {
                continue;
            }
            if option && operand.is_none() {
                let cluster = !word.text.starts_with("--");
                let minus = cluster && word.text.starts_with('-');
                reads_text |= minus && word.text.contains('c');
                reads_stdin |= minus && word.text.contains('s');
                skip = matches!(word.text.as_str(), "--rcfile" | "--init-file")
                    || (cluster && word.text.ends_with(['o', 'O']));
            } else if operand.is_none() {
                operand = Some(word);
            }
        }
        match operand {
            Some(script) if reads_text && script.known == Known::Whole => self.line(&script.text, within.depth + 1),
            Some(script) if reads_text || script.known != Known::Whole || script.text.starts_with("/dev/") => {
                self.hide(&script.text);
                self.hide(within.line);
            }
            Some(script) if script.text != "-" && !reads_stdin => {}
            _ => match &within.simple.stdin {
                Some(script) => self.line(script, within.depth + 1),
                None if within.simple.piped => self.hide(within.line),
                None => {}
            },
        }
    }

    /// Arguments that are one line of commands together.
    fn text(&mut self, words: &[Word], within: Within<'_>) {
        let text: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        self.line(&text.join(" "), within.depth + 1);
        if words.iter().any(|word| word.known != Known::Whole) {
            self.hide(within.line);
        }
    }

    /// Arguments of which each may be a line of commands: those that hold more than one word.
    fn texts(&mut self, words: &[Word], within: Within<'_>) {
        for word in words {
            let text = word.text.split_once('=').filter(|(name, _)| is_name(name) || name.starts_with('-'));
            let text = text.map_or(word.text.as_str(), |(_, text)| text);
            if text.contains([' ', ';', '\t', '\n']) {
                self.line(text, within.depth + 1);
            }
        }
    }

    /// Lines of commands that stand behind an option, in the next word or attached to it.
    fn option_texts(&mut self, words: &[Word], short: char, long: &str, within: Within<'_>) {
        for (at, word) in words.iter().enumerate() {
            let text = word.text.as_str();
            let cluster = text.starts_with('-') && !text.starts_with("--");
            let attached = text.strip_prefix(long).and_then(|rest| rest.strip_prefix('='));
            let attached = attached.or_else(|| text.split_once(short).filter(|_| cluster).map(|(_, rest)| rest));
            match attached {
                Some(line) if !line.is_empty() => self.line(line, within.depth + 1),
                _ if attached.is_some() || text == long => {
                    if let Some(next) = words.get(at + 1) {
                        self.line(&next.text, within.depth + 1);
                    }
                }
                _ => {}
            }
        }
    }

    fn find(&mut self, words: &[Word], within: Within<'_>) {
        for (at, word) in words.iter().enumerate() {
            if !matches!(word.text.as_str(), "-exec" | "-execdir" | "-ok" | "-okdir") {
                continue;
            }
            let inner = words[at + 1..].iter().take_while(|word| !matches!(word.text.as_str(), ";" | "+"));
            let named = |word: &Word| if word.text.contains("{}") { Word::open() } else { word.clone() };
            let inner: Vec<Word> = inner.map(named).collect();
            self.command(&inner, within.simple, within.line, within.depth + 1);
        }
    }

    /// Code of another language is not read; what it names counts.
    fn interpreter(&mut self, name: &str, words: &[Word], within: Within<'_>) {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let Some((_, options)) = INTERPRETERS.iter().find(|(known, _)| *known == stem) else { return };
        let inline = |word: &Word| {
            let cluster = word.text.starts_with('-') && !word.text.starts_with("--");
            options.iter().any(|option| {
                word.text == *option || (cluster && option.len() == 2 && word.text.contains(&option[1..]))
            })
        };
        for (at, word) in words.iter().enumerate().skip(1) {
            if inline(word) {
                self.opaque.extend(words[at..].iter().take(2).map(|word| word.text.clone()));
                return;
            }
            if !word.text.starts_with('-') {
                return;
            }
        }
        match &within.simple.stdin {
            Some(code) => self.hide(code),
            None if within.simple.piped => self.hide(within.line),
            None => {}
        }
    }
}

/// Where a command stands.
#[derive(Clone, Copy)]
struct Within<'a> {
    simple: &'a Simple,
    line: &'a str,
    depth: usize,
}

/// Without the reserved words and assignments before it; empty where it is no command.
fn bare(words: &[Word]) -> &[Word] {
    let mut rest = words;
    while let Some((first, after)) = rest.split_first() {
        let text = first.text.as_str();
        if HEADS.contains(&text) {
            return &[];
        }
        rest = match text {
            "function" => after.get(1..).unwrap_or_default(),
            "" if first.known == Known::Whole => after,
            _ if RESERVED.contains(&text) || is_assignment(text) => after,
            _ => return rest,
        };
    }
    rest
}

fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_assignment(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, _)| {
        let name = name.trim_end_matches('+');
        is_name(name.split_once('[').map_or(name, |(name, _)| name))
    })
}

/// Where the command may begin. An option that is not known is read both ways: with and without a word of its own.
fn starts(wrapper: &Wrapper, words: &[Word], from: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![(from, wrapper.operands)];
    while let Some((at, operands)) = open.pop() {
        if !seen.insert((at, operands)) {
            continue;
        }
        let Some(word) = words.get(at) else { continue };
        let text = word.text.as_str();
        if text == "--" {
            found.push(at + 1 + operands);
        } else if text.len() > 1 && text.starts_with('-') {
            let attached = wrapper.takes.iter().any(|option| option.len() == 2 && text.starts_with(option));
            let known = wrapper.takes.contains(&text);
            if !known {
                open.push((at + 1, operands));
            }
            if known || !(attached || text.contains('=')) {
                open.push((at + 2, operands));
            }
        } else if is_assignment(text) {
            open.push((at + 1, operands));
        } else if operands > 0 {
            open.push((at + 1, operands - 1));
        } else {
            found.push(at);
        }
    }
    found.sort_unstable();
    found.dedup();
    found.retain(|start| *start < words.len());
    found
}
