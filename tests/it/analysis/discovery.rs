//! Small repositories of many ecosystems and what is to be found in each: `corpus/*.txt`.
//!
//! A case has `%% file PATH` with its text (`%% files` lists empty ones), `%% programs` where the
//! workspace's are known, and what is expected, one a line:
//! `%% checks` all of them, as `COMMAND` or `DIRECTORY: COMMAND`; `%% commands` among others, as
//! `PURPOSE: COMMAND` or `PURPOSE in DIRECTORY: COMMAND`, with ` (ORIGIN)` where that is told;
//! `%% first` the same, the first of its purpose and directory; `%% packages` all of them, as
//! `NAME in DIRECTORY needs A, B tests COMMAND`; `%% pins` all; `%% missing`; `%% managers`;
//! `%% broken`; `%% never` texts that no command has.

use journeyman::{
    analysis::{BriefFile, BriefInput, Discovery, Package, brief, discover, wanted},
    domain::check::Check,
};
use std::collections::BTreeMap;

const CORPORA: &[(&str, &str)] = &[
    ("cargo", include_str!("corpus/cargo.txt")),
    ("python", include_str!("corpus/python.txt")),
    ("node", include_str!("corpus/node.txt")),
    ("go", include_str!("corpus/go.txt")),
    ("jvm", include_str!("corpus/jvm.txt")),
    ("dotnet", include_str!("corpus/dotnet.txt")),
    ("ruby", include_str!("corpus/ruby.txt")),
    ("php", include_str!("corpus/php.txt")),
    ("elixir", include_str!("corpus/elixir.txt")),
    ("c", include_str!("corpus/c.txt")),
    ("others", include_str!("corpus/others.txt")),
    ("runners", include_str!("corpus/runners.txt")),
    ("mixed", include_str!("corpus/mixed.txt")),
];

#[derive(Debug, Default)]
struct Case {
    name: String,
    files: BTreeMap<String, String>,
    programs: Option<Vec<String>>,
    /// By the word that begins the section, its lines.
    expected: Vec<(String, Vec<String>)>,
}

#[test]
fn every_repository_of_the_corpus_has_its_commands_found() {
    let mut wrong = Vec::new();
    let (mut cases, mut with_commands) = (0, 0);
    for (corpus, text) in CORPORA {
        for case in read(text) {
            cases += 1;
            with_commands += usize::from(case.expected.iter().any(|(what, _)| what == "commands"));
            let complaints = complaints(&case);
            if !complaints.is_empty() {
                wrong.push(format!("{corpus}, {}:\n  {}", case.name, complaints.join("\n  ")));
            }
        }
    }
    assert!(cases >= 60 && with_commands >= 40, "the corpus has cases: {cases}, {with_commands}");
    assert!(wrong.is_empty(), "{} of {cases} cases:\n\n{}", wrong.len(), wrong.join("\n\n"));
}

/// Every text of the corpus cut anywhere, and in every file's place: nothing panics and no budget
/// is passed.
#[test]
fn manifests_that_are_cut_or_another_kinds_never_panic() {
    let mut tried = 0;
    for case in CORPORA.iter().flat_map(|(_, text)| read(text)) {
        let names: Vec<String> = case.files.keys().cloned().collect();
        for (at, name) in names.iter().enumerate() {
            let text = case.files[name].clone();
            for part in 1..6 {
                let mut files = case.files.clone();
                let mut end = text.len() * part / 6;
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                files.insert(name.clone(), text[..end].to_owned());
                if part == 5 {
                    let other = &names[(at + 1) % names.len()];
                    files.insert(other.clone(), text.clone());
                }
                let found = with_input(&files, None, |input| (discover(input), brief(input)));
                assert!(found.1.text.len() < 60_000, "{}", case.name);
                tried += 1;
            }
        }
    }
    assert!(tried > 500, "{tried}");
}

#[test]
fn bombs_of_aliases_and_of_depth_are_refused_at_once() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let deep = format!("{}{}", "[".repeat(60_000), "]".repeat(60_000));
    let tables = format!("a = {deep}\n");
    let files: BTreeMap<String, String> = [
        (".github/workflows/ci.yml", bomb.as_str()),
        (".gitlab-ci.yml", &deep),
        ("package.json", &deep),
        ("deno.jsonc", &deep),
        ("Cargo.toml", &tables),
        ("pom.xml", &"<a>".repeat(60_000)),
        ("Makefile", &"a: a\n\tdocker\ntest: a test\n".repeat(5_000)),
    ]
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .into();
    let started = std::time::Instant::now();
    let found = with_input(&files, None, discover);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    for path in ["package.json", "Cargo.toml", ".github/workflows/ci.yml"] {
        assert!(found.broken.iter().any(|broken| broken == path), "{path}: {:?}", found.broken);
    }
}

#[test]
fn the_same_files_in_another_order_give_the_same() {
    for case in CORPORA.iter().flat_map(|(_, text)| read(text)) {
        let forward = with_input(&case.files, None, discover);
        let mut listed: Vec<(&String, &String)> = case.files.iter().collect();
        listed.reverse();
        let files: Vec<BriefFile<'_>> =
            listed.iter().map(|(path, text)| BriefFile { path, size: text.len() as u64 }).collect();
        let contents = contents(&case.files, &files);
        assert_eq!(discover(&input(&files, &contents, None)), forward, "{}", case.name);
    }
}

fn input<'a>(
    files: &'a [BriefFile<'a>],
    contents: &'a BTreeMap<String, Vec<u8>>,
    programs: Option<&'a [&'a str]>,
) -> BriefInput<'a> {
    BriefInput { files, contents, request: "", window_tokens: 128_000, room_bytes: None, history: &[], programs }
}

fn contents(all: &BTreeMap<String, String>, files: &[BriefFile<'_>]) -> BTreeMap<String, Vec<u8>> {
    wanted(files).into_iter().map(|path| (path.to_owned(), all[path].clone().into_bytes())).collect()
}

/// Calls with the files as a caller would read them.
pub(super) fn with_input<T>(
    all: &BTreeMap<String, String>,
    programs: Option<&[&str]>,
    call: impl Fn(&BriefInput<'_>) -> T,
) -> T {
    let files: Vec<BriefFile<'_>> =
        all.iter().map(|(path, text)| BriefFile { path, size: text.len() as u64 }).collect();
    let contents = contents(all, &files);
    call(&input(&files, &contents, programs))
}

fn complaints(case: &Case) -> Vec<String> {
    let programs: Option<Vec<&str>> = case.programs.as_ref().map(|all| all.iter().map(String::as_str).collect());
    let found = with_input(&case.files, programs.as_deref(), discover);
    let mut wrong = Vec::new();
    for (what, lines) in &case.expected {
        let all: Vec<String> = match what.as_str() {
            "checks" => found.checks.iter().map(shown_check).collect(),
            "packages" => found.packages.iter().map(shown_package).collect(),
            "pins" => found.pins.iter().map(|pin| format!("{} {} ({})", pin.tool, pin.version, pin.origin)).collect(),
            "missing" => found.missing.clone(),
            "managers" => found.managers.clone(),
            "broken" => found.broken.clone(),
            "commands" | "first" | "never" => {
                wrong.extend(lines.iter().filter_map(|line| command_is_wrong(&found, what, line)));
                continue;
            }
            other => panic!("{}: nobody knows %% {other}", case.name),
        };
        if all != *lines {
            wrong.push(format!(
                "{what}:\n    is     {}\n    wanted {}",
                all.join("\n           "),
                lines.join("\n           ")
            ));
        }
    }
    wrong
}

fn command_is_wrong(found: &Discovery, what: &str, line: &str) -> Option<String> {
    let shown: Vec<(String, String, &str)> = found
        .commands
        .iter()
        .map(|command| {
            let place = if command.directory.is_empty() { String::new() } else { format!(" in {}", command.directory) };
            let head = format!("{}{place}: ", command.purpose.name());
            (head.clone(), format!("{head}{}", command.line), command.origin.as_str())
        })
        .collect();
    let is = |(_, command, origin): &(String, String, &str)| command == line || format!("{command} ({origin})") == line;
    let right = match what {
        "never" => !found.commands.iter().any(|command| command.line.contains(line)),
        "first" => shown
            .iter()
            .position(is)
            .is_some_and(|at| shown.iter().position(|(head, ..)| *head == shown[at].0) == Some(at)),
        _ => shown.iter().any(is),
    };
    let all =
        || shown.iter().map(|(_, line, origin)| format!("{line} ({origin})")).collect::<Vec<_>>().join("\n           ");
    (!right).then(|| format!("{what} {line}\n    is     {}", all()))
}

fn shown_check(check: &Check) -> String {
    check.workdir.as_ref().map_or(check.command.clone(), |directory| format!("{directory}: {}", check.command))
}

fn shown_package(package: &Package) -> String {
    let mut text = package.name.clone();
    if !package.directory.is_empty() {
        text.push_str(&format!(" in {}", package.directory));
    }
    if !package.depends_on.is_empty() {
        text.push_str(&format!(" needs {}", package.depends_on.join(", ")));
    }
    if let Some(test) = &package.test {
        text.push_str(&format!(" tests {}", shown_check(test)));
    }
    text
}

fn read(corpus: &str) -> Vec<Case> {
    let corpus = format!("\n{corpus}");
    corpus.split("\n%% case ").skip(1).map(read_case).collect()
}

fn read_case(text: &str) -> Case {
    let (name, body) = text.split_once('\n').expect("a case has lines");
    let mut case = Case { name: name.to_owned(), ..Case::default() };
    for block in format!("\n{body}").split("\n%% ").skip(1) {
        let (head, content) = block.split_once('\n').unwrap_or((block, ""));
        let lines = || content.lines().filter(|line| !line.is_empty()).map(str::to_owned);
        match head.split_once(' ') {
            Some(("file", path)) => {
                case.files.insert(path.to_owned(), format!("{}\n", content.trim_end_matches('\n')));
            }
            _ if head == "files" => case.files.extend(lines().map(|path| (path, String::new()))),
            _ if head == "programs" => case.programs = Some(lines().collect()),
            _ => case.expected.push((head.to_owned(), lines().collect())),
        }
    }
    case
}
