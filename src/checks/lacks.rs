//! What a log says is missing in the workspace, where a command failed and no test ran.
//!
//! Each thing comes with the mend. What the repository itself lacks, such as a module of its own that is
//! imported and not there, is a failure and not told here.

use super::{
    judge::{disk, memory},
    mend::{Ecosystem, setup},
    parse::pattern,
};
use crate::domain::check::Obstacle;

/// What was seen of the command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) code: i32,
    pub(super) text: &'a str,
    pub(super) command: &'a str,
    /// Every path of the base, sorted.
    pub(super) paths: &'a [String],
}

pattern!(NOT_FOUND, r"(?m)^(?:\S*/)?(?:ba|da|z|k)?sh: (?:line )?(?:\d+: )?(.+?): (?:command )?not found\r?$");
pattern!(NOT_FOUND_IN, r"(?m)^\S+: line \d+: (.+?): command not found$");
pattern!(
    NOT_EXECUTABLE,
    r"(?m)^.*?(?:line )?\d*:? ?(\S+): (Permission denied|No such file or directory|cannot execute.*)$"
);
pattern!(MAKE_MISSING, r"(?m)^make(?:\[\d+\])?: (\S+): No such file or directory$");
pattern!(MAKE_RULE, r"(?m)^make(?:\[\d+\])?: \*\*\* No rule to make target [`'](.+?)'(?:\.  Stop\.)?");
pattern!(MAKE_NO_FILE, r"(?m)^make: \*\*\* No targets specified and no makefile found");
pattern!(NPM_SCRIPT, r#"(?mi)^npm (?:ERR!|error) Missing script: "(.+?)""#);
pattern!(PYTHON_MODULE, r"(?m)No module named '?([\w.]+)'?");
pattern!(PYTEST_OPTION, r"(?m)error: unrecognized arguments:(.*)$");
pattern!(
    NODE_MODULE,
    r#"(?m)(?:Cannot find (?:module|package) '([^'./~#][^']*)'|Failed to resolve import "([^"./~#][^"]*)"|Could not resolve "([^"./~#][^"]*)")"#
);
pattern!(
    NODE_COMMAND,
    r#"(?m)(?:Command "([\w.@/-]+)" not found|command not found: ([\w.@/-]+)$|npx canceled due to missing packages.*?"([^"]+)")"#
);
pattern!(NODE_STATE, r"(?m)(Couldn't find the node_modules state file|doesn't seem to be present in your lockfile)");
pattern!(
    RUBY_MODULE,
    r"(?m)(?:cannot load such file -- (\S+)|Could not find (\S+) in (?:any of the sources|locally installed gems|cached gems))"
);
pattern!(
    GO_MODULE,
    r"(?m)(?:no required module provides package ([^\s;:]+)|cannot find module providing package ([^\s;:]+)|missing go\.sum entry for module providing package ([^\s;:]+)|([^\s:]+)(?:@\S+)?: module lookup disabled by)"
);
pattern!(
    RUST_MODULE,
    r"(?m)(?:no matching package (?:named )?`([^`]+)`|failed to select a version for the requirement `([^`]+)`|failed to get `([^`]+)` as a dependency)"
);
pattern!(
    JAVA_MODULE,
    r"(?m)(?:Could not find artifact (\S+)|Could not transfer artifact (\S+)|No cached version of (\S+) available for offline mode|Cannot access \S+ \(\S+\) in offline mode and the artifact (\S+)|Could not (?:find|resolve) ([\w.-]+:[\w.-]+:[\w.-]+))"
);
pattern!(
    PHP_MODULE,
    r"(?m)(vendor/autoload\.php)'?\)?:? ?.*(?:[Ff]ailed to open stream|[Ff]ailed opening required)|[Ff]ailed opening required '(?:\S*/)?(vendor/autoload\.php)'"
);
pattern!(DOCKER, r"(?m)(Cannot connect to the Docker daemon)");
pattern!(
    NETWORK,
    r"(?mi)(network refused: \S+|Received HTTP code 403 from proxy|CONNECT tunnel failed, response 403|Tunnel connection failed: 403|Temporary failure in name resolution|Could(?:n't| not) resolve host|Name or service not known|Network is unreachable|getaddrinfo (?:EAI_AGAIN|ENOTFOUND)|dial tcp: lookup|failed to lookup address information|No address associated with hostname|UnknownHostException|Unknown host|spurious network error|download of config\.json failed|unable to update registry|ENOTCACHED|Failed to establish a new connection|Could not GET 'https?:)"
);
pattern!(
    VERSION,
    r"(?m)^.*?((?:requires|is required.*running) (?:rustc|go|cargo|node|python|a different Python|version)\b.*|go\.mod requires go >= .*|rustc \S+ is not supported by the following packages?.*|feature `edition20\d\d` is required.*|lock file version `?\d+`? (?:was found|requires).*|toolchain '\S+' is not installed.*|toolchain not available.*|Unsupported engine.*|EBADENGINE.*|The engine \S+ is incompatible with this module.*|(?:invalid (?:target|source) release|release version).*|UnsupportedClassVersionError.*|CMake \S+ or higher is required.*|requires Python \S+.*)$"
);
pattern!(BAD_INTERPRETER, r"(?m)^.*?(\S+): bad interpreter: ");
pattern!(ENV_MISSING, r"(?m)^(?:\S*/)?env: ['‘]?([^'’\s:]+)['’]?: No such file or directory");
pattern!(EXEC_FORMAT, r"(?m)(\S+): (?:cannot execute binary file|.*Exec format error)");
pattern!(
    MEMORY,
    r"(?m)(Cannot allocate memory|JavaScript heap out of memory|runtime: out of memory|std::bad_alloc|java\.lang\.OutOfMemoryError|^MemoryError|signal: 9, SIGKILL)"
);
pattern!(
    PROCESSES,
    r"(?m)(fork: (?:retry: )?Resource temporarily unavailable|can't start new thread|pthread_create failed|unable to create native thread|spawn \S+ EAGAIN)"
);
pattern!(DISK, r"(?m)(No space left on device|Disk quota exceeded|ENOSPC)");

/// What is missing; absent where the log names nothing, or only the code's own faults.
pub(super) fn lacks(seen: &Seen<'_>) -> Option<(Obstacle, String)> {
    command_missing(seen).or_else(|| version(seen)).or_else(|| package_missing(seen)).or_else(|| limit(seen.text))
}

/// What a pattern names first.
fn named(pattern: &regex::Regex, text: &str) -> Option<String> {
    let found = pattern.captures(text)?;
    found.iter().skip(1).flatten().next().map(|name| name.as_str().trim().to_owned())
}

fn command_missing(seen: &Seen<'_>) -> Option<(Obstacle, String)> {
    let Seen { code, text, .. } = *seen;
    let found = |pattern: &regex::Regex| named(pattern, text);
    let because = |reason: String| Some((Obstacle::CommandMissing, reason));
    // Package managers say by themselves what their scripts did not find.
    if let Some(name) = found(&NODE_COMMAND) {
        return because(missing_command(seen, &name));
    }
    if code == 127 || text.contains("Error 127") {
        let name = found(&BAD_INTERPRETER).or_else(|| found(&ENV_MISSING)).or_else(|| found(&NOT_FOUND));
        let name = name.or_else(|| found(&NOT_FOUND_IN)).or_else(|| found(&MAKE_MISSING));
        if let Some(name) = name.or_else(|| found(&NOT_EXECUTABLE)) {
            return because(missing_command(seen, &name));
        }
    }
    if code == 126 {
        if let Some(name) = found(&EXEC_FORMAT) {
            let mend = "it was built for another machine or is no program; build it in the environment's setup";
            return because(format!("`{}` cannot be executed: {mend}", short(&name)));
        }
        if let Some(name) = found(&BAD_INTERPRETER) {
            return because(missing_command(seen, &name));
        }
        let mend = "make it executable (git update-index --chmod=+x)";
        return because(match found(&NOT_EXECUTABLE) {
            Some(name) => format!("the command `{}` cannot be executed; {mend}", short(&name)),
            None => format!("it ended with exit status 126: a command cannot be executed; {mend}"),
        });
    }
    if let Some(target) = found(&MAKE_RULE) {
        return because(format!("the Makefile has no rule for `{}`; name a target that it has", short(&target)));
    }
    if MAKE_NO_FILE.is_match(text) {
        return because("there is no Makefile; name another check".to_owned());
    }
    let script = found(&NPM_SCRIPT)?;
    because(format!("package.json has no script `{}`; name one that it has", short(&script)))
}

/// A tool of the project's own packages is missing like them; others come with the image.
fn missing_command(seen: &Seen<'_>, name: &str) -> String {
    let name = short(name);
    let begins_with_it = seen.command.trim_start().starts_with(&name);
    let ecosystem = if is_tool(&name) { &name } else { seen.command };
    let mend = match Ecosystem::of(ecosystem).filter(|_| is_tool(&name) || !begins_with_it) {
        Some(ecosystem) => setup(Some(ecosystem), &name, seen.paths),
        None => "install it by the environment's image or setup, or name another check".to_owned(),
    };
    format!("the command `{name}` is missing in the workspace; {mend}")
}

/// Installed by a project, not by an image.
fn is_tool(name: &str) -> bool {
    matches!(
        name,
        "jest" | "vitest" | "mocha" | "tsc" | "eslint" | "pytest" | "tox" | "ruff" | "mypy" | "rspec" | "phpunit"
    )
}

fn version(seen: &Seen<'_>) -> Option<(Obstacle, String)> {
    let words = short(&named(&VERSION, seen.text)?);
    let mend = "use an environment whose image has the version that the repository asks for";
    Some((Obstacle::ToolVersion, format!("a tool is there in a version that does not do ({words}); {mend}")))
}

/// What a client that was told to be silent says by its exit status alone, where it says nothing else: curl's for names
/// and connections (EXIT CODES in curl(1)), wget's for the network (EXIT STATUS in wget(1)).
fn silent(seen: &Seen<'_>) -> Option<String> {
    let runs = |client: &str| {
        seen.command.split(|c: char| !(c.is_alphanumeric() || "_-/.".contains(c))).any(|it| it == client)
    };
    let failed = match seen.code {
        5..=7 | 28 | 35 | 56 => "curl",
        4 => "wget",
        _ => return None,
    };
    (seen.text.trim().is_empty() && runs(failed)).then(|| format!("{failed} ended with exit status {}", seen.code))
}

fn package_missing(seen: &Seen<'_>) -> Option<(Obstacle, String)> {
    let Seen { text, paths, command, .. } = *seen;
    // Before packages: a download that fails is often told as a package that is missing.
    let network = NETWORK.find(text).map(|words| words.as_str().to_owned());
    if let Some(words) = network.or_else(|| silent(seen)) {
        let mend = match Ecosystem::of(command) {
            Some(ecosystem) => setup(Some(ecosystem), "", paths),
            None => "install what it loads by the environment's setup".to_owned(),
        };
        let reason = format!(
            "it needs the network, which is off or does not lead there ({words}); allow the hosts by the task's network and give the \
             check `network`, or {mend}"
        );
        return Some((Obstacle::NetworkBlocked, reason));
    }
    let missing = |name: &str, ecosystem: Option<Ecosystem>| {
        let reason = format!("the dependency `{}` is missing; {}", short(name), setup(ecosystem, &short(name), paths));
        Some((Obstacle::DependencyMissing, reason))
    };
    let all = |pattern: &'static regex::Regex| {
        pattern
            .captures_iter(text)
            .filter_map(|found| found.iter().skip(1).flatten().next().map(|name| name.as_str().trim()))
    };
    if let Some(name) = all(&PYTHON_MODULE).find(|name| !is_own_python(name, paths)) {
        return missing(name, Some(Ecosystem::Python));
    }
    if let Some(plugin) = named(&PYTEST_OPTION, text).and_then(|options| plugin(&options)) {
        return missing(plugin, Some(Ecosystem::Python));
    }
    if let Some(name) = all(&NODE_MODULE).find(|name| !is_own_node(name, paths)) {
        return missing(name, Some(Ecosystem::Node));
    }
    if NODE_STATE.is_match(text) {
        return missing("node_modules", Some(Ecosystem::Node));
    }
    for (pattern, ecosystem) in [
        (&*RUBY_MODULE, Some(Ecosystem::Ruby)),
        (&*GO_MODULE, Some(Ecosystem::Go)),
        (&*RUST_MODULE, Some(Ecosystem::Rust)),
        (&*JAVA_MODULE, Ecosystem::of(command).or(Some(Ecosystem::Maven))),
        (&*PHP_MODULE, Some(Ecosystem::Php)),
    ] {
        if let Some(name) = named(pattern, text).filter(|name| !name.starts_with(['/', '.'])) {
            return missing(&name, ecosystem);
        }
    }
    DOCKER.is_match(text).then(|| {
        let mend = "no containers run in a workspace; name a check that needs none";
        (Obstacle::DependencyMissing, format!("it needs Docker; {mend}"))
    })
}

/// A module that the repository brings, or would: importing it fails by the code's own fault.
fn is_own_python(module: &str, paths: &[String]) -> bool {
    const DEEP: usize = 3;
    let top = module.split('.').next().unwrap_or(module);
    paths.iter().any(|path| {
        let Some(stem) = path.strip_suffix(".py") else { return false };
        let mut parts = stem.rsplit('/');
        let (name, directory) = (parts.next(), parts.next());
        // The module itself, or a file right inside the package.
        path.matches('/').count() <= DEEP && (name == Some(top) || directory == Some(top))
    })
}

/// An import by a path of the repository's own, as bundlers and TypeScript let one write it.
fn is_own_node(module: &str, paths: &[String]) -> bool {
    if module.starts_with("@/") || module.starts_with('/') {
        return true;
    }
    let Some((top, _)) = module.split_once('/').filter(|_| !module.starts_with('@')) else { return false };
    let below = |start: String| {
        let at = paths.partition_point(|path| path.as_str() < start.as_str());
        paths.get(at).is_some_and(|path| path.starts_with(&start))
    };
    below(format!("{top}/")) || below(format!("src/{top}/"))
}

/// Which plugin an option that pytest does not know belongs to.
fn plugin(options: &str) -> Option<&'static str> {
    let known = [
        ("--cov", "pytest-cov"),
        ("-n", "pytest-xdist"),
        ("--numprocesses", "pytest-xdist"),
        ("--dist", "pytest-xdist"),
        ("--timeout", "pytest-timeout"),
        ("--asyncio-mode", "pytest-asyncio"),
        ("--benchmark", "pytest-benchmark"),
        ("--reruns", "pytest-rerunfailures"),
        ("--ds", "pytest-django"),
    ];
    known
        .iter()
        .find(|(option, _)| options.split_whitespace().any(|word| word.starts_with(option)))
        .map(|(_, plugin)| *plugin)
}

fn limit(text: &str) -> Option<(Obstacle, String)> {
    if MEMORY.is_match(text) {
        return Some(memory());
    }
    if PROCESSES.is_match(text) {
        let reason = "it reached the limit of processes; raise the limit or let it start fewer".to_owned();
        return Some((Obstacle::ProcessLimit, reason));
    }
    DISK.is_match(text).then(disk)
}

fn short(name: &str) -> String {
    name.chars().take(100).collect()
}
