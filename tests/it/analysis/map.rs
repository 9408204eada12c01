//! Tests of the brief's sections about code: ranking, counts, nearness, budgets.

use super::{hostile, languages};
use bytes::Bytes;
use journeyman::{
    analysis::{
        BRIEF_BYTES_MIN, BriefFile, BriefInput, brief, brief_with, room_bytes,
        skills::{Found, listing},
        symbols::{Known, Symbols, nearest},
    },
    domain::{event::ToolSpecs, mcp::McpTool, tool::ToolSpec},
    mcp::{Offered, fit},
    memory,
    tools::{ToolSet, specs_for_window},
};
use std::collections::BTreeMap;

/// A program of `count` modules that all use the first few.
fn program(count: usize) -> Vec<(String, String)> {
    let mut files = vec![
        ("src/store.rs".to_owned(), "pub struct Store;\nimpl Store {\n    /// Opens.\n    pub fn open_store(path: &str) -> Self {\n        Self\n    }\n}\n".to_owned()),
        ("src/retry.rs".to_owned(), "pub fn retry_with_backoff(times: u32) -> u32 {\n    let wait = times * 2;\n    wait\n}\nfn unseen() {}\n".to_owned()),
    ];
    for n in 0..count {
        let body = format!(
            "use crate::store::Store;\n\npub fn module_{n}(x: u32) -> Result<u32, Error> {{\n    let store = Store::open_store(\"x\");\n    let value = compute_{n}(x)?;\n    Ok(value)\n}}\n\nfn compute_{n}(x: u32) -> Result<u32, Error> {{\n    Ok(x.checked_add({n}).unwrap())\n}}\n"
        );
        files.push((format!("src/part_{}/module_{n}.rs", n % 20), body));
    }
    files
}

fn symbols(files: &[(String, String)]) -> Symbols {
    let borrowed: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    Symbols::new(files.iter().map(|(path, _)| path.clone()).collect(), languages::index(&borrowed))
}

fn brief_of(files: &[(String, String)], symbols: &Symbols, window_tokens: u64, request: &str) -> String {
    brief_beside(files, symbols, (window_tokens, None), request)
}

/// The same with the room that the rest of the prompt's head leaves.
fn brief_beside(
    files: &[(String, String)],
    symbols: &Symbols,
    (window_tokens, room_bytes): (u64, Option<usize>),
    request: &str,
) -> String {
    let listed: Vec<BriefFile<'_>> =
        files.iter().map(|(path, text)| BriefFile { path, size: text.len() as u64 }).collect();
    let contents = BTreeMap::new();
    let samples: BTreeMap<String, Vec<u8>> = nearest(symbols, request)
        .into_iter()
        .filter_map(|path| files.iter().find(|(at, _)| *at == path).map(|(_, text)| (path, text.clone().into_bytes())))
        .collect();
    let history = &[];
    let input =
        BriefInput { files: &listed, contents: &contents, request, window_tokens, room_bytes, history, programs: None };
    brief_with(&input, Some(Known { symbols, samples: &samples })).text
}

#[test]
fn what_the_rest_refers_to_comes_first_and_always_the_same() {
    let files = program(40);
    let one = symbols(&files);
    assert_eq!(one.paths[one.index.files[0].file as usize], "src/store.rs");
    let store = &one.index.files[0].definitions;
    assert_eq!(
        store.iter().map(|it| (it.name.as_str(), it.users)).collect::<Vec<_>>(),
        [("Store", 40), ("open_store", 40)]
    );
    for _ in 0..5 {
        assert_eq!(symbols(&files), one);
    }
    let text = brief_of(&files, &one, 128_000, "");
    let map = text.split("## Symbols").nth(1).unwrap();
    let first: Vec<&str> = map.lines().skip(2).take(3).collect();
    assert_eq!(first, ["src/store.rs:", "  1: pub struct Store;", "  4: Store: pub fn open_store(path: &str) -> Self"]);
}

#[test]
fn the_request_pulls_what_it_is_about_and_shows_the_nearest_code() {
    let files = program(40);
    let symbols = symbols(&files);
    let request = "Retries should wait longer: make the back-off exponential";
    assert_eq!(nearest(&symbols, request)[0], "src/retry.rs");
    let text = brief_of(&files, &symbols, 128_000, request);
    let near = text.split("## Nearest to the request").nth(1).unwrap();
    let expected = "src/retry.rs:1: pub fn retry_with_backoff(times: u32) -> u32\n    |     let wait = times * 2;\n";
    assert!(near.contains(expected), "{near}");
    assert!(!brief_of(&files, &symbols, 128_000, "").contains("## Nearest"));
}

#[test]
fn how_code_is_written_is_counted() {
    let files = program(40);
    let text = brief_of(&files, &symbols(&files), 128_000, "");
    let line = text.lines().find(|line| line.starts_with("- Rust (42 files): ")).unwrap_or_else(|| panic!("{text}"));
    for words in
        ["functions snake_case 82", "types PascalCase 1", "indentation 4 spaces 42 files", "errors `?` 40, unwrap() 40"]
    {
        assert!(line.contains(words), "{words}: {line}");
    }
    let script = [("a.js".to_owned(), "const a = 'x';\nfunction doIt() {\n  throw new Error('y');\n}\n".to_owned())];
    let text = brief_of(&script, &symbols(&script), 128_000, "");
    for words in
        ["functions camelCase 1", "indentation 2 spaces 1 files", "quotes single 2", "semicolons with 1", "throw 1"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn brief_tools_and_memory_stay_under_a_quarter_of_the_window() {
    let files = program(600);
    let symbols = symbols(&files);
    let mut shown = Vec::new();
    for window in [8_000_u64, 32_000, 128_000, 200_000] {
        let brief = brief_of(&files, &symbols, window, "retry the store").len();
        let tools = specs_for_window(ToolSet::Work, window);
        let tools: usize =
            tools.iter().map(|spec| spec.name.len() + spec.description.len() + spec.parameters.len() + 60).sum();
        let memories = memory::Recall::new(1_500, None).budget_bytes(window);
        let part = (brief + tools + memories) as f64 / (window as f64 * 4.0);
        shown.push(format!("{window}: brief {brief}, tools {tools}, memories {memories}: {part:.3}"));
        assert!(part < 0.25, "{}", shown.join("\n"));
    }
    let least = brief_of(&files, &symbols, 32_000, "retry the store");
    assert!(least.contains("## Symbols") && least.contains("## Nearest"), "{least}");
}

/// As many tools of a server as a window takes.
fn server_tools(window_tokens: u64, room_bytes: usize) -> ToolSpecs {
    let parameters = format!("{{\"type\":\"object\",\"description\":\"{}\"}}", "of it ".repeat(30));
    let one = |n: usize| {
        let name = format!("mcp__box__tool_{n:03}");
        let tool = McpTool { name: name.clone(), server: "box".into(), tool: name.clone(), reads: true };
        let spec = ToolSpec { name, description: "Does one thing.".to_owned(), parameters: parameters.clone() };
        Offered { tool, spec }
    };
    fit((0..500).map(one).collect(), window_tokens, room_bytes).0.into_iter().map(|one| one.spec).collect()
}

#[test]
fn servers_tools_and_skills_leave_the_prompt_s_head_under_a_quarter_too() {
    let files = program(600);
    let symbols = symbols(&files);
    let mut skills = Found::default();
    for n in 0..60 {
        let text = format!("---\nname: skill-{n}\ndescription: {}\n---\nDo it.\n", "How one thing is done. ".repeat(8));
        skills.add(&format!("skill-{n}"), "", Ok(text.as_bytes()));
    }
    assert!(skills.broken.is_empty(), "{:?}", skills.broken);
    let mut shown = Vec::new();
    for window in [8_000_u64, 32_000, 128_000, 200_000] {
        let mut specs = specs_for_window(ToolSet::Work, window);
        specs.extend(specs_for_window(ToolSet::Skills, window));
        let bytes = |specs: &ToolSpecs| specs.iter().map(ToolSpec::bytes).sum::<usize>();
        let list = listing(&skills, &Found::default(), window).0.len();
        let memories = memory::Recall::new(1_500, None).budget_bytes(window);
        let room = room_bytes(window, bytes(&specs) + list + memories);
        let servers = server_tools(window, room.saturating_sub(BRIEF_BYTES_MIN));
        assert!(!servers.is_empty() || window == 8_000, "{window}: only the smallest has room for skills alone");
        specs.extend(servers);
        let tools = bytes(&specs);
        let room = room_bytes(window, tools + list + memories);
        let brief = brief_beside(&files, &symbols, (window, Some(room)), "retry the store").len();
        let part = (brief + tools + list + memories) as f64 / (window as f64 * 4.0);
        shown.push(format!("{window}: brief {brief}, tools {tools}, skills {list}, memories {memories}: {part:.3}"));
        assert!(part < 0.25 && brief > 150, "{}", shown.join("\n"));
    }
}

#[test]
fn without_symbols_the_brief_is_what_it_was() {
    let listed = [BriefFile { path: "a.rs", size: 10 }];
    let contents = BTreeMap::new();
    let input = BriefInput {
        files: &listed,
        contents: &contents,
        request: "x",
        window_tokens: 128_000,
        room_bytes: None,
        history: &[],
        programs: None,
    };
    let none = Symbols::new(Vec::new(), languages::index(&[]));
    let samples = BTreeMap::new();
    assert_eq!(brief(&input), brief_with(&input, Some(Known { symbols: &none, samples: &samples })));
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_files_are_indexed_in_the_sandbox() {
    let (_data, parsers) = hostile::parsers().await;
    let files = program(5_000);
    let given: Vec<(String, Bytes)> =
        files.iter().map(|(path, text)| (path.clone(), Bytes::from(text.clone()))).collect();
    let started = std::time::Instant::now();
    let symbols = parsers.symbols(given).await.unwrap();
    let text = brief_of(&files, &symbols, 128_000, "retry the store");
    // An unoptimised build on a busy machine is far slower than what is promised of a release.
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    assert!(text.contains("  4: Store: pub fn open_store"), "{text}");
}
