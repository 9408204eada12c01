//! What patches do to tests, and what they bring that a person should see.

use journeyman::{
    checks::{self, ChangedFile, Named, ScanInput, is_test_path, test_change},
    domain::check::{Finding, FindingKind, Weakening},
};

fn scan(patch: &[u8]) -> Vec<Finding> {
    checks::scan(&ScanInput { patch, ..ScanInput::default() })
}

#[test]
fn tests_are_known_by_their_paths() {
    for path in [
        "tests/test_a.py",
        "a/test_b.py",
        "b_test.py",
        "conftest.py",
        "pkg/conftest.py",
        "x/calc_test.go",
        "src/a.test.ts",
        "src/a.spec.tsx",
        "__tests__/a.js",
        "src/test/java/A.java",
        "src/ATest.java",
        "spec/a_spec.rb",
        "tests/it/main.rs",
        "pytest.ini",
        "jest.config.js",
        "vitest.config.ts",
        "tests/data/in.json",
        "app/tests.py",
    ] {
        assert!(is_test_path(path), "{path}");
    }
    for path in [
        "src/main.rs",
        "contest.py",
        "latest/a.py",
        "testing.py",
        "src/attest.go",
        "package.json",
        "Cargo.toml",
        "protest.js",
        "a/tester.rs",
    ] {
        assert!(!is_test_path(path), "{path}");
    }
}

/// How the one test file is weakened, as `name how` words.
fn weakened(path: &str, before: &str, after: Option<&str>) -> Vec<String> {
    let file = ChangedFile { path, before: Some(before.as_bytes()), after: after.map(str::as_bytes) };
    let change = test_change(&[file], [path], &Named::default());
    assert_eq!(change.touched, [path]);
    change.weakened.into_iter().map(|test| format!("{} {:?}", test.name, test.how)).collect()
}

const PYTHON: &str = "import unittest\n\nclass A(unittest.TestCase):\n    def test_one(self):\n        self.assertEqual(f(), 1)\n\n    def test_two(self):\n        self.assertEqual(f(), 2)\n";

#[test]
fn python_tests_that_are_weakened_are_seen() {
    let edit = |from: &str, to: &str| weakened("tests/test_a.py", PYTHON, Some(&PYTHON.replace(from, to)));
    assert_eq!(edit("import unittest", "import unittest, os"), Vec::<String>::new());
    assert_eq!(edit("f(), 2", "g(), 3"), Vec::<String>::new(), "another expectation is not weaker by its text");
    assert_eq!(edit("test_two", "test_other"), ["A::test_two Removed"]);
    assert_eq!(edit("self.assertEqual(f(), 2)", "pass"), ["A::test_two Emptied"]);
    assert_eq!(edit("self.assertEqual(f(), 2)", "f()"), ["A::test_two Emptied"]);
    assert_eq!(edit("self.assertEqual(f(), 2)", "self.assertTrue(True)"), ["A::test_two Emptied"]);
    assert_eq!(edit("self.assertEqual(f(), 2)", "return\n        self.assertEqual(f(), 2)"), ["A::test_two Emptied"]);
    assert_eq!(edit("    def test_two", "    @unittest.skip(\"later\")\n    def test_two"), ["A::test_two Skipped"]);
    assert_eq!(edit("    def test_two", "    @unittest.expectedFailure\n    def test_two"), ["A::test_two Skipped"]);
    assert_eq!(
        edit("self.assertEqual(f(), 2)", "self.skipTest('x')\n        self.assertEqual(f(), 2)"),
        ["A::test_two Skipped"]
    );
    assert_eq!(edit("class A", "@unittest.skip('all')\nclass A"), ["A::test_one Skipped", "A::test_two Skipped"]);
    assert_eq!(weakened("tests/test_a.py", PYTHON, None), ["A::test_one Removed", "A::test_two Removed"]);
    let function = "import pytest\n\ndef test_x():\n    assert f() == 1\n";
    let marked = function.replace("def test_x", "@pytest.mark.skip(\n    reason='x',\n)\ndef test_x");
    assert_eq!(weakened("test_x.py", function, Some(&marked)), ["test_x Skipped"]);
    assert_eq!(
        weakened("test_x.py", function, Some(&format!("{function}\npytestmark = pytest.mark.skip\n"))),
        ["test_x Skipped"]
    );
    assert_eq!(weakened("test_x.py", &marked, Some("import pytest\n")), Vec::<String>::new(), "it did not run before");
    assert_eq!(weakened("conftest.py", "x = 1\n", Some("collect_ignore = ['test_x.py']\n")), ["conftest.py Skipped"]);
}

#[test]
fn rust_go_and_javascript_tests_that_are_weakened_are_seen() {
    let rust = "#[test]\nfn adds() {\n    let text = \"}\";\n    assert_eq!(add(1, 2), 3);\n}\n\nfn helper() {}\n";
    let edit = |from: &str, to: &str| weakened("tests/it.rs", rust, Some(&rust.replace(from, to)));
    assert_eq!(edit("#[test]", "#[test]\n#[ignore = \"slow\"]"), ["adds Skipped"]);
    assert_eq!(edit("#[test]\n", ""), ["adds Removed"]);
    assert_eq!(edit("assert_eq!(add(1, 2), 3);", ""), ["adds Emptied"]);
    assert_eq!(edit("fn helper() {}", ""), Vec::<String>::new());
    let go = "package a\n\nfunc TestAdd(t *testing.T) {\n\tif Add(1, 2) != 3 {\n\t\tt.Fatal(\"no\")\n\t}\n}\n";
    let edit = |from: &str, to: &str| weakened("a_test.go", go, Some(&go.replace(from, to)));
    assert_eq!(edit("\tif Add", "\tt.Skip(\"later\")\n\tif Add"), ["TestAdd Skipped"]);
    assert_eq!(edit("TestAdd", "testAdd"), ["TestAdd Removed"]);
    assert_eq!(edit("t.Fatal(\"no\")", "_ = 1"), ["TestAdd Emptied"]);
    let js = "describe('add', () => {\n  it('adds', () => {\n    expect(add(1, 2)).toBe(3);\n  });\n  test(\"other\", async () => { expect(1 + x).toBe(2); });\n});\n";
    let edit = |from: &str, to: &str| weakened("a.test.js", js, Some(&js.replace(from, to)));
    assert_eq!(edit("it('adds'", "it.skip('adds'"), ["adds Skipped"]);
    assert_eq!(edit("it('adds'", "xit('adds'"), ["adds Skipped"]);
    assert_eq!(edit("describe(", "describe.skip("), ["adds Skipped", "other Skipped"]);
    assert_eq!(edit("it('adds'", "it.only('adds'"), ["a.test.js Skipped"]);
    assert_eq!(edit("expect(add(1, 2)).toBe(3);", ""), ["adds Emptied"]);
    assert_eq!(edit("it('adds'", "it('sums'"), ["adds Removed"]);
}

#[test]
fn a_test_that_moves_to_a_new_file_is_not_removed() {
    let moved = [
        ChangedFile { path: "tests/test_a.py", before: Some(PYTHON.as_bytes()), after: None },
        ChangedFile { path: "tests/unit/test_a.py", before: None, after: Some(PYTHON.as_bytes()) },
        ChangedFile { path: "src/a.py", before: Some(b""), after: Some(b"") },
    ];
    let change = test_change(&moved, ["tests/test_a.py", "src/a.py"], &Named::default());
    assert_eq!((change.weakened.len(), change.empty_patch, change.base_has_tests), (0, false, true));
    assert_eq!(
        (change.touched, change.added),
        (vec!["tests/test_a.py".to_owned()], vec!["tests/unit/test_a.py".to_owned()])
    );
    let emptied = PYTHON.replace("self.assertEqual(f(), 2)", "pass");
    let moved = [moved[0], ChangedFile { after: Some(emptied.as_bytes()), ..moved[1] }];
    assert_eq!(test_change(&moved, [], &Named::default()).weakened[0].how, Weakening::Emptied);
    assert!(test_change(&[], ["src/a.py"], &Named::default()).empty_patch);
}

fn patch(path: &str, lines: &str) -> Vec<u8> {
    let count = lines.lines().count();
    let added = format!("+{}\n", lines.trim_end_matches('\n').replace('\n', "\n+"));
    format!("diff --git a/{path} b/{path}\nindex 1..2 100644\n--- a/{path}\n+++ b/{path}\n@@ -10,0 +11,{count} @@ fn x()\n{added}").into_bytes()
}

/// Put together here so that no scanner of this repository takes them for real ones.
fn keys() -> Vec<(String, &'static str)> {
    let random = "q7Xw2Lm9Zt4Kv8Rb3Ny6Hc1Pd5Gf0Js2Ua9Ke";
    vec![
        (format!("key = \"AK{}{}\"", "IA", "Q7XW2LM9ZT4KV8RB"), "an AWS access key"),
        (format!("gh{}_{random}", "p"), "a GitHub token"),
        (format!("glp{}-{}", "at", &random[..22]), "a GitLab token"),
        (format!("xo{}-{random}", "xb"), "a Slack token"),
        (format!("s{}-proj-{random}", "k"), "a model provider's key"),
        (format!("-----BEGIN RSA {} KEY-----", "PRIVATE"), "a private key"),
        (format!("postgres://app:{}@db.internal/app", &random[..12]), "a password in a URL"),
        (format!("client_secret: '{}'", &random[..24]), "a secret"),
    ]
}

#[test]
fn secrets_are_found_with_their_place_and_not_repeated() {
    for (line, what) in keys() {
        let findings = scan(&patch("src/config.rs", &format!("let a = 1;\n{line}\n")));
        assert_eq!(findings.len(), 1, "{what}: {findings:?}");
        let finding = &findings[0];
        assert_eq!(
            (finding.kind, finding.path.as_deref(), finding.line),
            (FindingKind::Secret, Some("src/config.rs"), Some(12))
        );
        assert_eq!(finding.message, format!("what looks like {what} is added"));
    }
}

#[test]
fn what_only_looks_like_a_secret_is_let_be() {
    for line in [
        "password = os.environ['DATABASE_PASSWORD']",
        "token: ${{ secrets.GITHUB_TOKEN }}",
        "api_key = \"your-api-key-goes-here-1\"",
        "const tokenPattern = 'abcdefghijklmnopqrstuvwxyz'",
        "aws = \"AKIAIOSFODNN7EXAMPLE\"",
        "url = \"postgres://user:password@localhost/db\"",
        "sha256 = \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
        "secret_name = \"database-credentials\"",
        "integrity sha512-q7Xw2Lm9Zt4Kv8Rb3Ny6Hc1Pd5Gf0Js2Ua9==",
    ] {
        assert_eq!(scan(&patch("src/a.py", line)), vec![], "{line}");
    }
    let (key, _) = keys().remove(1);
    let removed =
        String::from_utf8(patch("a.py", &key)).unwrap().replace("\n+gh", "\n-gh").replace("-10,0 +11,1", "-10,1 +10,0");
    assert_eq!(scan(removed.as_bytes()), vec![], "a removed secret is no finding");
}

#[test]
fn binaries_and_large_files_are_found() {
    let binary = b"diff --git a/logo.png b/logo.png\nnew file mode 100644\nindex 0..1\nGIT binary patch\nliteral 3\nKcmZQzU\n\nliteral 0\nHcmV?d\n\n";
    let findings = scan(binary);
    assert_eq!(
        (findings.len(), findings[0].kind, findings[0].path.as_deref()),
        (1, FindingKind::Binary, Some("logo.png"))
    );
    let gone = b"diff --git a/logo.png b/logo.png\ndeleted file mode 100644\nindex 1..0\nGIT binary patch\nliteral 0\nHcmV?d\n\n";
    assert_eq!(scan(gone), vec![]);
    let large = scan(&patch("data.csv", &"1,2,3\n".repeat(400_000)));
    assert_eq!((large.len(), large[0].kind), (1, FindingKind::Large));
    let text = patch("docs.md", "GIT binary patch\ndiff --git a/x b/x\n@@ -1 +1 @@\n");
    assert_eq!(scan(&text), vec![], "lines of a hunk are content");
}

#[test]
fn findings_are_limited() {
    let (key, _) = keys().remove(1);
    let many: Vec<u8> = (0..80).flat_map(|file| patch(&format!("f{file}.py"), &key)).collect();
    let findings = scan(&many);
    assert_eq!((findings.len(), findings[50].message.as_str()), (51, "30 more findings"));
}

proptest::proptest! {
    #[test]
    fn any_patch_and_any_test_file_is_read_without_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..800)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let head = "diff --git a/x b/x\n+++ b/x\n@@ -1,4 +1,9 @@\n";
        scan(&[head.as_bytes(), &bytes].concat());
        scan(&bytes);
        for path in ["test_a.py", "tests/a.rs", "a_test.go", "a.test.ts", "src/test/A.java"] {
            let (python, code) = (format!("def test_a(): {text}"), format!("#[test]\n@Test\nfn a() {{ it('x', {text}"));
            for before in [python, code] {
                test_change(&[ChangedFile { path, before: Some(before.as_bytes()), after: Some(&bytes) }], [], &Named::default());
            }
        }
    }
}

#[test]
fn files_that_steer_how_tests_run_are_seen_where_a_patch_changes_what_they_steer() {
    let steers = |path: &str, before: Option<&str>, after: &str| {
        let file = ChangedFile { path, before: before.map(str::as_bytes), after: Some(after.as_bytes()) };
        !test_change(&[file], [path], &Named::default()).steering.is_empty()
    };
    for (path, before, after) in [
        ("conftest.py", None, "def pytest_runtest_makereport(item, call):\n    ...\n"),
        ("tests/conftest.py", Some("import pytest\n"), "import calc\ncalc.add = lambda a, b: a + b\n"),
        ("conftest.py", None, "@pytest.fixture(autouse=True)\ndef patched(monkeypatch):\n    ...\n"),
        ("sitecustomize.py", None, "pass\n"),
        ("pytest.ini", None, "[pytest]\naddopts = -p shim\n"),
        ("setup.cfg", Some("[metadata]\n"), "[metadata]\n[tool:pytest]\naddopts = --deselect test_a.py\n"),
        ("jest.config.mjs", None, "export default {}\n"),
        ("package.json", Some("{\n  \"test\": \"jest\"\n}"), "{\n  \"test\": \"true\"\n}"),
        (".cargo/config.toml", None, "[target.x86_64-unknown-linux-gnu]\nrunner = \"true\"\n"),
        (".mvn/jvm.config", None, "-javaagent:x.jar\n"),
        (
            "pom.xml",
            Some("<project>\n</project>"),
            "<project>\n<testFailureIgnore>true</testFailureIgnore>\n</project>",
        ),
        ("a_test.go", None, "package a\n\nfunc TestMain(m *testing.M) {}\n"),
    ] {
        assert!(steers(path, before, after), "{path}: {after}");
    }
    for (path, before, after) in [
        ("conftest.py", None, "import pytest\n\n@pytest.fixture\ndef cart():\n    return Cart(items=[])\n"),
        ("pytest.ini", None, "[pytest]\nasyncio_mode = auto\n"),
        ("setup.cfg", Some("[tool:pytest]\naddopts = -q\n"), "[metadata]\nname = x\n[tool:pytest]\naddopts = -q\n"),
        ("package.json", Some("{\n  \"test\": \"jest\"\n}"), "{\n  \"test\": \"jest\",\n  \"left-pad\": \"1\"\n}"),
        ("src/config.toml", None, "runner = \"true\"\n"),
        ("calc.py", None, "calc.add = 1\n"),
        ("a_test.go", None, "package a\n\nfunc TestAdd(t *testing.T) {}\n"),
    ] {
        assert!(!steers(path, before, after), "{path}: {after}");
    }
}

#[test]
fn files_that_configurations_and_commands_name_steer_and_others_do_not() {
    let steers = |config: &str, content: &str, path: &str| {
        let mut named = Named::default();
        named.by_config(config, content.as_bytes());
        let file = ChangedFile { path, before: Some(b"a"), after: Some(b"b") };
        !test_change(&[file], [path], &named).steering.is_empty()
    };
    let jest =
        r#"{"jest": {"setupFiles": ["<rootDir>/tools/first.js"], "globalSetup": "./tools/all", "preset": "./base"}}"#;
    let scripts = r#"{"scripts": {"unit": "NODE_OPTIONS='--require ./hooks/pre.cjs' node --import=./hooks/esm.mjs --loader ./hooks/load.mjs x"}}"#;
    for (config, content, path) in [
        ("pytest.ini", "[pytest]\naddopts = -q -p plugs.shim\n", "src/plugs/shim.py"),
        ("pyproject.toml", "[tool.pytest.ini_options]\naddopts = [\"-p\", \"shim\"]\n", "shim/__init__.py"),
        ("setup.cfg", "[tool:pytest]\naddopts =\n    -pshim\n", "shim.py"),
        ("tests/conftest.py", "pytest_plugins = [\n    \"support.fixtures\",\n]\n", "support/fixtures.py"),
        ("tox.ini", "[testenv]\nsetenv = PYTEST_PLUGINS=shim\n", "shim.py"),
        ("package.json", jest, "tools/first.js"),
        ("package.json", jest, "tools/all.ts"),
        ("web/package.json", jest, "web/base/jest-preset.js"),
        ("package.json", scripts, "hooks/pre.cjs"),
        ("package.json", scripts, "hooks/esm.mjs"),
        ("package.json", scripts, "hooks/load.mjs"),
        (".mocharc.json", r#"{"require": ["./hooks/pre"]}"#, "hooks/pre.js"),
        (".mocharc.yml", "require:\n  - ./hooks/pre.js\nspec: test\n", "hooks/pre.js"),
        ("a/vitest.config.ts", "export default { test: { setupFiles: ['../shared/setup.ts'] } }", "shared/setup.ts"),
        (".npmrc", "node-options=--require ./pre.js\n", "pre.js"),
    ] {
        assert!(steers(config, content, path), "{config}: {path}");
    }
    let entries =
        r#"{"exports": {"import": "./src/index.js", "require": "./src/index.cjs"}, "scripts": {"t": "jest"}}"#;
    for (config, content, path) in [
        ("pytest.ini", "[pytest]\naddopts = -p no:cacheprovider\n", "cacheprovider.py"),
        ("pytest.ini", "[pytest]\naddopts = -p shim\n", "src/shimmer.py"),
        ("pytest.ini", "[pytest]\naddopts = -p shim\n", "shim.js"),
        ("package.json", entries, "src/index.js"),
        ("package.json", jest, "src/first.js"),
        ("package.json", "no JSON: --require ./x.js", "x.js"),
    ] {
        assert!(!steers(config, content, path), "{config}: {path}");
    }
    let mut named = Named::default();
    named.by_command("", "pip install -r requirements.txt && pytest");
    let file = ChangedFile { path: "requirements.txt", before: Some(b"a"), after: Some(b"b") };
    assert!(test_change(&[file], ["requirements.txt"], &named).steering.is_empty());
    named.by_command("web", "mocha --require ./boot.js --reporter dot");
    let file = ChangedFile { path: "web/boot.js", before: None, after: Some(b"b") };
    assert_eq!(test_change(&[file], ["web/a.js"], &named).steering, ["web/boot.js"]);
}

#[test]
fn what_the_checks_commands_run_steers_and_what_they_check_does_not() {
    let commands = |command: &str, run: &[(&str, &str)], path: &str, before: Option<&str>, after: Option<&str>| {
        let mut named = Named::default();
        named.by_command("", command);
        for (path, content) in run.iter().filter(|(path, _)| named.is_run(path)).copied().collect::<Vec<_>>() {
            named.by_run(path, content.as_bytes());
        }
        let file = ChangedFile { path, before: before.map(str::as_bytes), after: after.map(str::as_bytes) };
        let base: Vec<&str> = run.iter().map(|(path, _)| *path).chain(before.map(|_| path)).collect();
        test_change(&[file], base, &named).commands == [path]
    };
    let changed = |command: &str, path: &str| commands(command, &[], path, Some("one\n"), Some("two\n"));
    for (command, path) in [
        ("make test", "Makefile"),
        ("make -C sub check", "sub/GNUmakefile"),
        ("CI=1 make -f ci/rules test", "ci/rules"),
        ("bash -lc 'cd web && just test'", "web/justfile"),
        ("timeout 60 task unit", "Taskfile.yml"),
        ("bundle exec rake", "Rakefile"),
        ("tox -e py3", "tox.ini"),
        ("uv run nox -s tests", "noxfile.py"),
        ("./run_tests.sh", "run_tests.sh"),
        ("cd web; sh t.sh", "web/t.sh"),
        ("./t", "t"),
        ("pip install . && . scripts/ci.sh", "scripts/ci.sh"),
        ("python3 -u scripts/all.py --fast", "scripts/all.py"),
        ("python -m tools.check", "tools/check.py"),
        ("node ./ci.mjs | tee log", "ci.mjs"),
    ] {
        assert!(changed(command, path), "{command}: {path}");
    }
    for (command, path) in [
        ("grep -q 'a + b' calc.py", "calc.py"),
        ("python3 calc.py", "calc.py"),
        ("./calc 2 3 | grep 5", "calc"),
        ("test \"$(./calc.sh 2 3)\" = 5", "calc.sh"),
        ("python3 tests/test_calc.py", "tests/test_calc.py"),
        ("python3 -m unittest", "Makefile"),
        ("cargo test", "package.json"),
        ("echo make", "Rakefile"),
    ] {
        assert!(!changed(command, path), "{command}: {path}");
    }
    let make = &[("Makefile", "test:\n\t@sh tools/go.sh\n"), ("tools/go.sh", "python3 check_all.py\n")];
    let go = |command: &str, path: &str| commands(command, make, path, Some("a"), Some("b"));
    assert!(go("make test", "tools/go.sh") && go("sh tools/go.sh", "check_all.py"));
    assert!(!go("make test", "other.sh") && !go("pytest", "tools/go.sh"));
    assert!(commands("make test", make, "GNUmakefile", None, Some("test:\n\ttrue\n")), "read before the base's own");
    assert!(commands("make test", &[], "Makefile", Some("test:\n"), None));
    assert!(!commands("make test", &[], "Makefile", None, Some("test:\n\ttrue\n")), "there was none");
    assert!(!commands("./new.sh", &[], "new.sh", None, Some("true\n")), "there was none");

    let package = |scripts: &str, more: &str| format!("{{\"scripts\": {{{scripts}}}, \"dependencies\": {{{more}}}}}");
    let before = package("\"unit\": \"jest\"", "");
    for (command, after, counts) in [
        ("npm run unit", package("\"unit\": \"true\"", ""), true),
        ("npm run unit", package("\"unit\": \"jest\"", "\"left-pad\": \"1\""), false),
        ("jest", package("\"unit\": \"true\"", ""), false),
    ] {
        assert_eq!(commands(command, &[], "package.json", Some(&before), Some(&after)), counts, "{command}: {after}");
    }

    let rules = "OBJS = a.o b.o\n\ntest: $(OBJS) test.o\n\tcc -o t $(OBJS)\n\t./t\n";
    for (after, counts) in [
        (rules.replace("b.o", "b.o c.o"), false),
        (rules.replace("b.o\n", "b.o \\\n c.o\n"), true),
        (rules.replace("\ntest:", "\n# the third\nc.o: c.c c.h\n\ntest:"), false),
        (rules.replace("\t./t", "\techo ./t"), true),
        (rules.replace("\t./t\n", ""), true),
        (rules.replace("test:", "test: fake\nother:"), true),
        (rules.replace("test.o\n", "test.o\nc.o: c.c\n"), true),
        (rules.replace("OBJS = a.o", "SHELL = true\nOBJS = a.o"), true),
        (format!("{rules}\ntest:\n\ttrue\n"), true),
    ] {
        assert_eq!(commands("make test", &[], "Makefile", Some(rules), Some(&after)), counts, "{after}");
    }
}

#[test]
fn a_script_that_only_says_something_any_more_is_emptied() {
    let mut named = Named::default();
    named.by_command("", "./tests/run.sh");
    let weakened = |after: &str| {
        let before = "#!/bin/sh\nset -e\nfor one in tests/*.t; do sh $one; done\n";
        let file = ChangedFile { path: "tests/run.sh", before: Some(before.as_bytes()), after: Some(after.as_bytes()) };
        test_change(&[file], ["tests/run.sh"], &named).weakened.len()
    };
    assert_eq!(weakened("#!/bin/sh\necho 'all 12 pass'\nexit 0\n"), 1);
    assert_eq!(weakened("#!/bin/sh\nset -eu\nsh tests/all.t\n"), 0);
}

#[test]
fn files_in_which_tests_do_something_else_are_edited_and_those_that_only_grow_are_not() {
    let before = "import unittest\n\nLIMIT = 3\n\nclass A(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(f(), LIMIT)\n";
    let edited = |path: &str, before: &str, after: &str| {
        let file = ChangedFile { path, before: Some(before.as_bytes()), after: Some(after.as_bytes()) };
        test_change(&[file], [path], &Named::default()).edited
    };
    for (after, is_edited) in [
        (before.replace("LIMIT)", "4)"), true),
        (before.replace("LIMIT = 3", "LIMIT = 4"), true),
        (before.replace("        self.assert", "        LIMIT = 4\n        self.assert"), true),
        (format!("{before}\n    def test_b(self):\n        self.assertEqual(f(), 3)\n"), false),
        (before.replace("import unittest\n", "import os\nimport unittest\n"), false),
        (before.replace("\n\n", "\n\n\n"), false),
    ] {
        assert_eq!(edited("test_a.py", before, &after).len(), usize::from(is_edited), "{after}");
    }
    assert_eq!(edited("spec/a_spec.rb", "expect(f).to eq 3\n", "expect(f).to eq 4\n"), ["spec/a_spec.rb"]);
    assert_eq!(edited("spec/a_spec.rb", "expect(f).to eq 3\n", "x = 1\nexpect(f).to eq 3\n").len(), 0);
    let moved = [
        ChangedFile { path: "test_a.py", before: Some(before.as_bytes()), after: None },
        ChangedFile { path: "tests/test_a.py", before: None, after: Some(before.as_bytes()) },
    ];
    assert_eq!(test_change(&moved, ["test_a.py"], &Named::default()).edited.len(), 0);
    let other = before.replace("LIMIT)", "4)");
    let moved = [moved[0], ChangedFile { after: Some(other.as_bytes()), ..moved[1] }];
    assert_eq!(test_change(&moved, ["test_a.py"], &Named::default()).edited, ["test_a.py"]);
}
