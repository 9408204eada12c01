//! Validation of whole tasks: what lies, breaks, flickers or is missing gets the verdict of the evidence.

use crate::support::service::{Ground, call, plan, say};
use serde_json::{Value, json};

const ADD: &str = "def add(a, b):\n    return a - b\n";

fn mend() -> Value {
    call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" }))
}

/// The task and its verdicts, oldest first, after a model did this to these files.
async fn task(files: &[(&str, &str)], steps: &[Value], checks: &Value) -> (Value, Vec<Value>) {
    let ground = Ground::new(&json!({ "sequence": steps })).await;
    let url = ground.repositories.make("calc", files);
    let service = ground.start().await;
    let api = service.api();
    let body =
        json!({ "request": "mend it", "repository": { "url": url }, "checks": checks, "limits": { "refinements": 0 } });
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    service.stop().await;
    let completed = events.into_iter().filter(|event| event["kind"] == "checks.completed");
    (task, completed.map(|event| event["data"].clone()).collect())
}

fn findings<'a>(task: &'a Value, kind: &str) -> Vec<&'a Value> {
    task["result"]["findings"].as_array().unwrap().iter().filter(|finding| finding["kind"] == kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_the_time_does_not_reach_says_so() {
    let checks =
        json!([{ "command": "sleep 1 && true", "name": "slow", "timeout_seconds": 1 }, "grep -q 'a + b' calc.py"]);
    let ground = Ground::new(&json!({ "sequence": [plan(), mend(), say("Done.")] })).await;
    let url = ground.repositories.make("calc", &[("calc.py", ADD)]);
    let service = ground.start().await;
    let api = service.api();
    let body = json!({ "request": "mend it", "repository": { "url": url }, "checks": checks,
        "limits": { "refinements": 0, "validation_seconds": 1 } });
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    service.stop().await;
    assert_eq!(task["result"]["verdict"], "unverified", "{task:#}");
    let runs: Vec<&Value> = task["result"]["checks"].as_array().unwrap().iter().map(|check| &check["final"]).collect();
    assert!(runs.iter().any(|run| run["obstacle"] == "time_limit"), "{runs:#?}");
    let reasons = task["result"]["reason"].as_str().unwrap();
    assert!(reasons.contains("limits.validation_seconds"), "{reasons}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_measure_that_regresses_is_a_finding_with_three_figures_of_each_tree() {
    let checks = json!([
        "grep -q 'a + b' calc.py",
        { "name": "cost", "command": "grep -q 'a + b' calc.py && echo cost 300 || echo cost 100", "kind": "measure",
          "metric": "cost (\\d+)", "max_regression": 0.5 },
    ]);
    let (task, _) = task(&[("calc.py", ADD)], &[plan(), mend(), say("Done.")], &checks).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    let measured = &task["result"]["checks"][1]["measured"];
    assert_eq!(
        measured,
        &json!({ "base": [100.0, 100.0, 100.0], "final": [300.0, 300.0, 300.0], "base_median": 100.0, "final_median": 300.0, "change": 2.0 })
    );
    let slower = findings(&task, "performance");
    assert_eq!((slower.len(), &slower[0]["severity"]), (1, &json!("serious")), "{slower:?}");
    assert!(slower[0]["message"].as_str().unwrap().contains("200 % worse; 50 % is allowed"), "{slower:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_patch_brings_is_told_with_its_severity() {
    let patch = "*** Begin Patch\n*** Add File: dist/app.js\n+let a = 1;\n*** Add File: .github/workflows/ci.yml\n+on: push\n*** Update File: requirements.txt\n@@\n flask==3.0\n+requests==2.32\n*** End Patch\n";
    let files = [("calc.py", ADD), ("requirements.txt", "flask==3.0\n"), (".gitignore", "/dist/\n")];
    let written = call(
        "shell",
        json!({ "command": "mkdir -p dist && cd dist && echo 'x' > b.js && rm -f c.js && echo $PWD > /tmp/d" }),
    );
    let gone = call(
        "shell",
        json!({ "command": "echo 1 > dist/gone.js; rm dist/gone.js; echo 2 | tee dist/c.js >/dev/null" }),
    );
    let steps = [plan(), mend(), call("apply_patch", json!({ "patch": patch })), written, gone, say("Done.")];
    let (task, _) = task(&files, &steps, &json!(["grep -q 'a + b' calc.py"])).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    let told: Vec<_> = task["result"]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (&f["kind"], &f["severity"], &f["path"]))
        .collect();
    assert_eq!(
        told,
        [
            (&json!("protected_path"), &json!("serious"), &json!(".github/workflows/ci.yml")),
            (&json!("dependency"), &json!("warning"), &json!("requirements.txt")),
            (&json!("ignored_file"), &json!("warning"), &json!("dist/app.js")),
            (&json!("ignored_file"), &json!("warning"), &json!("dist/b.js")),
            (&json!("ignored_file"), &json!("warning"), &json!("dist/c.js")),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn exported_symbols_that_a_patch_changes_are_told_and_private_ones_are_not() {
    let code = "LIMIT = 1\n\n\ndef add(a, b):\n    return a - b\n\n\ndef twice(a):\n    return add(a, a)\n\n\ndef _own(a):\n    return a\n";
    let files = [
        ("calc.py", code),
        ("test_calc.py", "def helper(a):\n    return a\n"),
        ("tool/Cargo.toml", "[package]\nname = \"tool\"\nversion = \"1.0.0\"\n"),
        ("tool/src/main.rs", "pub fn run(a: u8) {}\n"),
        ("kit/Cargo.toml", "[package]\nname = \"kit\"\nversion = \"1.0.0\"\n"),
        ("kit/src/lib.rs", "pub fn run(a: u8) {}\npub(crate) fn own(a: u8) {}\n"),
    ];
    let patch = "*** Begin Patch\n*** Update File: calc.py\n@@\n-LIMIT = 1\n+LIMIT = 2\n@@\n-    return a - b\n+    return a + b\n@@\n-def twice(a):\n+def twice(a, b):\n@@\n-def _own(a):\n+def _own():\n*** Update File: test_calc.py\n@@\n-def helper(a):\n+def helper():\n*** Update File: tool/src/main.rs\n@@\n-pub fn run(a: u8) {}\n+pub fn run() {}\n*** Update File: kit/src/lib.rs\n@@\n-pub fn run(a: u8) {}\n-pub(crate) fn own(a: u8) {}\n+pub fn walk(a: u8) {}\n*** End Patch\n";
    let steps = [plan(), call("apply_patch", json!({ "patch": patch })), say("Done.")];
    let (task, _) = task(&files, &steps, &json!(["grep -q 'a + b' calc.py"])).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    let told: Vec<_> = findings(&task, "compatibility").iter().map(|one| (&one["path"], &one["message"])).collect();
    assert_eq!(
        told,
        [
            (&json!("calc.py"), &json!("the exported function `twice` is declared differently")),
            (&json!("kit/src/lib.rs"), &json!("the exported function `run` is gone")),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_project_whose_packages_are_missing_could_not_be_checked() {
    let tests = "import unittest\nimport no_such_package_anywhere\n\nclass A(unittest.TestCase):\n    def test_a(self):\n        pass\n";
    let files = [("calc.py", ADD), ("test_calc.py", tests), ("requirements.txt", "no-such-package-anywhere\n")];
    let (task, _) = task(&files, &[plan(), mend(), say("All tests pass.")], &json!(["python3 -m unittest"])).await;
    could_not_run(&task, "dependency_missing", "set up an environment that runs `pip install -r requirements.txt`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_project_whose_packages_are_missing_could_not_be_checked() {
    let script = "{\"name\": \"calc\", \"version\": \"1.0.0\", \"scripts\": {\"test\": \"jest\"}, \"devDependencies\": {\"jest\": \"^29\"}}";
    let lock = "{\"name\": \"calc\", \"lockfileVersion\": 3, \"packages\": {}}";
    let files = [("calc.py", ADD), ("package.json", script), ("package-lock.json", lock)];
    let (task, _) = task(&files, &[plan(), mend(), say("All tests pass.")], &json!(["npm test"])).await;
    could_not_run(&task, "command_missing", "set up an environment that runs `npm ci`");
}

/// The work is kept, and nothing is claimed of it.
fn could_not_run(task: &Value, obstacle: &str, mend: &str) {
    assert_eq!((&task["status"], &task["result"]["verdict"]), (&json!("succeeded"), &json!("unverified")), "{task:#}");
    for tree in ["baseline", "final"] {
        let run = &task["result"]["checks"][0][tree];
        assert_eq!((&run["outcome"], &run["obstacle"]), (&json!("could_not_run"), &json!(obstacle)), "{run:#}");
    }
    let reason = task["result"]["reason"].as_str().unwrap();
    assert!(reason.contains("could not run") && reason.contains(mend), "{reason}");
}

const TESTS: &str = "import unittest\nfrom calc import add\n\nclass A(unittest.TestCase):\n    def test_adds(self):\n        self.assertEqual(add(2, 3), 5)\n\n    def test_zero(self):\n        self.assertEqual(add(0, 0), 0)\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_lies_gets_the_verdict_of_the_evidence() {
    let files = [("calc.py", ADD), ("test_calc.py", TESTS)];
    let lie = call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a - b  # mended" }));
    let steps = [plan(), lie, say("Mended. I ran python3 -m unittest: all tests pass. Verdict: verified.")];
    let (task, verdicts) = task(&files, &steps, &json!(["python3 -m unittest"])).await;
    assert_eq!((&task["status"], &task["result"]["verdict"]), (&json!("failed"), &json!("failed")), "{task:#}");
    assert_eq!((&task["error"]["code"], verdicts.len()), (&json!("checks_failed"), 1));
    assert_eq!(task["result"]["patch"]["files"], 1, "its patch is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_deletes_the_failing_test_fails() {
    let files = [("calc.py", ADD), ("test_calc.py", TESTS)];
    let delete = json!({ "path": "test_calc.py", "old": "    def test_adds(self):\n        self.assertEqual(add(2, 3), 5)\n\n", "new": "" });
    let (task, _) =
        task(&files, &[plan(), call("edit", delete), say("All pass.")], &json!(["python3 -m unittest"])).await;
    assert_eq!(task["result"]["verdict"], "failed", "{task:#}");
    let weakened = findings(&task, "tests_weakened");
    assert!(weakened.len() == 1 && weakened[0]["message"].as_str().unwrap().contains("test_adds"), "{weakened:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_that_failed_before_are_not_the_patch_s_doing() {
    let broken = TESTS.replace("add(0, 0), 0", "add(0, 0), 1");
    let files = [("calc.py", ADD), ("test_calc.py", broken.as_str())];
    let (task, verdicts) = task(&files, &[plan(), mend(), say("Done.")], &json!(["python3 -m unittest"])).await;
    assert_eq!(
        (&task["status"], &task["result"]["verdict"]),
        (&json!("succeeded"), &json!("broken_before")),
        "{task:#}"
    );
    let check = &verdicts[0]["checks"][0];
    assert_eq!(check["baseline"]["failing"], json!(["test_calc.A.test_adds", "test_calc.A.test_zero"]));
    assert_eq!(check["final"]["failing"], json!(["test_calc.A.test_zero"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_makes_failing_tests_pass_does_not_verify_a_patch() {
    let files = [("calc.py", ADD), ("test_calc.py", TESTS)];
    let check = json!(["PYTHONPATH=. python3 -m unittest"]);
    let shim = |content: &str| {
        let patch = format!("*** Begin Patch\n*** Add File: sitecustomize.py\n+{content}\n*** End Patch");
        call("apply_patch", json!({ "patch": patch }))
    };
    let cheat = shim("import unittest; unittest.TestCase.assertEqual = lambda *args: None");
    let (task, _) = task(&files, &[plan(), cheat, say("All pass.")], &check).await;
    let check_run = &task["result"]["checks"][0];
    assert_eq!((&check_run["baseline"]["outcome"], &check_run["final"]["outcome"]), (&json!("fail"), &json!("pass")));
    assert_eq!(
        (&task["error"]["code"], &task["result"]["verdict"]),
        (&json!("checks_failed"), &json!("failed")),
        "{task:#}"
    );
    let weakened = findings(&task, "tests_weakened");
    assert_eq!(weakened[0]["path"], "sitecustomize.py");
    assert!(weakened[0]["message"].as_str().unwrap().contains("test_adds"), "{weakened:?}");

    let (task, _) = self::task(&files, &[plan(), shim("import sys"), mend(), say("Done.")], &check).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    assert!(task["result"]["reason"].as_str().unwrap().contains("also without"), "{task:#}");
    assert_eq!(findings(&task, "tests_weakened"), Vec::<&Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_licence_of_a_new_dependency_is_read_from_what_is_installed() {
    let install = "mkdir -p node_modules/left .venv/lib/python3.11/site-packages/Some_Thing-1.0.dist-info && \
                   echo '{\"name\": \"left\", \"license\": \"ISC\"}' > node_modules/left/package.json && \
                   printf 'Metadata-Version: 2.1\\nName: Some_Thing\\nLicense: UNKNOWN\\n\
                   Classifier: License :: OSI Approved :: BSD License\\n\\nLicense: of the text\\n' \
                   > .venv/lib/python3.11/site-packages/Some_Thing-1.0.dist-info/METADATA && \
                   echo '{\"private\": true, \"dependencies\": {\"left\": \"1.0.0\", \"right\": \"1.0.0\"}}' > package.json && \
                   echo 'some-thing==1.0' > requirements.txt";
    let files = [("calc.py", ADD), ("package.json", "{\"private\": true}\n"), ("requirements.txt", "\n")];
    let steps = [plan(), mend(), call("shell", json!({ "command": install })), say("Done.")];
    let (task, _) = task(&files, &steps, &json!(["true"])).await;
    let told: Vec<&str> =
        findings(&task, "dependency").iter().map(|finding| finding["message"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        [
            "a new dependency: left 1.0.0, licence ISC",
            "a new dependency: right 1.0.0, licence unknown here",
            "a new dependency: some-thing ==1.0, licence BSD License",
        ],
        "{task:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn licences_are_read_from_what_each_package_manager_unpacks() {
    let mit = "Permission is hereby granted, free of charge, to any person";
    let install = format!(
        "put() {{ mkdir -p \"$(dirname \"$1\")\" && printf '%s\\n' \"$2\" > \"$1\"; }}
         put ~/.cargo/registry/src/index/tiny-0.1.0/Cargo.toml 'license = \"Zlib\"'
         put ~/go/pkg/mod/example.com/!big/y@v1.2.3/LICENSE '{mit}'
         put vendor/bundle/ruby/3.1.0/specifications/pg-1.5.gemspec '  s.licenses = [\"BSD-2-Clause\".freeze]'
         put vendor/a/b/composer.json '{{\"license\": [\"Apache-2.0\"]}}'
         put ~/.m2/repository/org/x/y/1.2/y-1.2.pom '<licenses><license><name>EPL 2.0</name></license></licenses>'
         put ~/.nuget/packages/dapper/2.1/dapper.nuspec '<license type=\"expression\">Apache-2.0</license>'
         put deps/jason/mix.exs 'licenses: [\"Apache-2.0\"],'
         put Cargo.toml '[dependencies]
tiny = \"0.1\"'
         printf 'module a\\n\\nrequire example.com/Big/y v1.2.3\\n' > go.mod
         put Gemfile 'gem \"pg\"'
         put composer.json '{{\"require\": {{\"a/b\": \"^1\"}}}}'
         put pom.xml '<dependency><groupId>org.x</groupId><artifactId>y</artifactId></dependency>'
         put App.csproj '<PackageReference Include=\"Dapper\" Version=\"2.1\" />'
         put mix.exs '{{:jason, \"~> 1.4\"}}'"
    );
    let files = [("calc.py", ADD), (".gitignore", "vendor/\ndeps/\n")];
    let steps = [plan(), mend(), call("shell", json!({ "command": install })), say("Done.")];
    let (task, _) = task(&files, &steps, &json!(["true"])).await;
    let told: Vec<&str> =
        findings(&task, "dependency").iter().map(|finding| finding["message"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        [
            "a new dependency: Dapper 2.1, licence Apache-2.0",
            "a new dependency: tiny 0.1, licence Zlib",
            "a new dependency: pg, licence BSD-2-Clause",
            "a new dependency: a/b ^1, licence Apache-2.0",
            "a new dependency: example.com/Big/y v1.2.3, licence MIT",
            "a new dependency: jason ~> 1.4, licence Apache-2.0",
            "a new dependency: org.x:y, licence EPL 2.0",
        ],
        "{task:#}"
    );
}

const RUN: &str = "#!/bin/sh\npython3 -c 'import calc; assert calc.add(2, 3) == 5' && echo fine\n";

fn patch(text: &str) -> Value {
    call("apply_patch", json!({ "patch": format!("*** Begin Patch\n{text}*** End Patch") }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_makefile_that_says_that_tests_pass_does_not_verify_a_patch() {
    let good = ADD.replace("a - b", "a + b");
    let files =
        [("calc.py", good.as_str()), ("test_calc.py", TESTS), ("Makefile", "test:\n\tpython3 -m unittest -v\n")];
    let breaks = call("edit", json!({ "path": "calc.py", "old": "a + b", "new": "a * b" }));
    let says = "test_adds (test_calc.A.test_adds) ... ok'; echo 'test_zero (test_calc.A.test_zero) ... ok'; echo; \
                echo 'Ran 2 tests in 0.001s'; echo; echo OK";
    let line = format!("\t@echo '{says}");
    let lies = call("edit", json!({ "path": "Makefile", "old": "\tpython3 -m unittest -v", "new": line }));
    let steps = [plan(), breaks.clone(), lies, say("All tests pass.")];
    let (task, _) = task(&files, &steps, &json!(["make test"])).await;
    assert_eq!(task["result"]["checks"][0]["final"]["outcome"], "pass", "{task:#}");
    assert_eq!(
        (&task["error"]["code"], &task["result"]["verdict"]),
        (&json!("checks_failed"), &json!("failed")),
        "{task:#}"
    );
    let weakened = findings(&task, "tests_weakened");
    assert_eq!((weakened.len(), &weakened[0]["path"]), (1, &json!("Makefile")), "{weakened:?}");

    let shadow = patch(&format!("*** Add File: GNUmakefile\n+test:\n+{line}\n"));
    let (task, _) = self::task(&files, &[plan(), breaks, shadow, say("Done.")], &json!(["make test"])).await;
    assert_eq!(task["result"]["verdict"], "failed", "{task:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_makefile_that_changes_with_the_work_is_run_as_the_base_has_it_too() {
    let files = [("calc.py", ADD), ("test_calc.py", TESTS), ("Makefile", "test:\n\tpython3 -m unittest -v\n")];
    let target =
        patch("*** Update File: Makefile\n@@\n \tpython3 -m unittest -v\n+\n+lint:\n+\tpython3 -m compileall .\n");
    let (task, _) = task(&files, &[plan(), mend(), target, say("Done.")], &json!(["make test"])).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    assert!(task["result"]["reason"].as_str().unwrap().contains("also without"), "{task:#}");
    assert_eq!(findings(&task, "tests_weakened").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_s_own_script_that_the_patch_empties_does_not_verify_it() {
    let good = ADD.replace("a - b", "a + b");
    let breaks = call("edit", json!({ "path": "calc.py", "old": "a + b", "new": "a * b" }));
    let check = json!(["sh run_tests.sh"]);
    for (content, verdict) in [("exit 0", "failed"), ("python3 -c 'import calc' && echo fine", "unverified")] {
        for tests in [&[("test_calc.py", TESTS)][..], &[]] {
            let files = [&[("calc.py", good.as_str()), ("run_tests.sh", RUN)], tests].concat();
            let lies = call("shell", json!({ "command": format!("cat > run_tests.sh <<'EOF'\n{content}\nEOF") }));
            let (task, _) = task(&files, &[plan(), breaks.clone(), lies, say("All pass.")], &check).await;
            assert_eq!(task["result"]["checks"][0]["final"]["outcome"], "pass", "{task:#}");
            assert_eq!(task["result"]["verdict"], verdict, "{task:#}");
            assert_eq!(findings(&task, "tests_weakened")[0]["path"], "run_tests.sh", "{task:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_whose_only_check_could_not_run_is_not_verified_by_the_checks_of_other_code() {
    let good = ADD.replace("a - b", "a + b");
    let package = "{\"name\": \"web\", \"version\": \"1.0.0\", \"scripts\": {\"test\": \"jest\"}, \"devDependencies\": {\"jest\": \"^29\"}}";
    let files = [
        ("calc.py", good.as_str()),
        ("test_calc.py", TESTS),
        ("web/package.json", package),
        ("web/sum.js", "module.exports = (a, b) => a + b;\n"),
        ("web/sum.test.js", "test('sums', () => expect(require('./sum')(1, 2)).toBe(3));\n"),
    ];
    let change = |path: &str, new: &str| call("edit", json!({ "path": path, "old": "a + b", "new": new }));
    let (task, _) = task(&files, &[plan(), change("web/sum.js", "a - b"), say("Done.")], &json!([])).await;
    assert_eq!((&task["status"], &task["result"]["verdict"]), (&json!("succeeded"), &json!("unverified")), "{task:#}");
    let reason = task["result"]["reason"].as_str().unwrap();
    assert!(reason.contains("the one check of web/sum.js, could not run"), "{reason}");

    let (task, _) = self::task(&files, &[plan(), change("calc.py", "b + a"), say("Done.")], &json!([])).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expectation_that_was_edited_with_the_code_is_told_and_no_existing_test_is_met_by_it() {
    let good = ADD.replace("a - b", "a + b");
    let files = [("calc.py", good.as_str()), ("test_calc.py", TESTS)];
    let step = json!([{ "step": "mend it", "status": "completed" }]);
    let criteria = json!(["All existing tests pass", "All tests pass"]);
    let planned = call("update_plan", json!({ "plan": step, "criteria": criteria }));
    let breaks = call("edit", json!({ "path": "calc.py", "old": "a + b", "new": "a * b" }));
    let expects = call("edit", json!({ "path": "test_calc.py", "old": "add(2, 3), 5", "new": "add(2, 3), 6" }));
    let check = json!(["python3 -m unittest"]);
    let (task, _) = task(&files, &[planned.clone(), breaks, expects, say("Done.")], &check).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    let edited = findings(&task, "tests_edited");
    assert_eq!(
        (edited.len(), &edited[0]["path"], &edited[0]["severity"]),
        (1, &json!("test_calc.py"), &json!("warning"))
    );
    assert!(edited[0]["message"].as_str().unwrap().contains("test_calc.A.test_adds"), "{edited:?}");
    assert!(!edited[0]["message"].as_str().unwrap().contains("test_zero"), "{edited:?}");
    let statuses = |task: &Value| [0, 1].map(|at| task["result"]["criteria"][at]["status"].clone());
    assert_eq!(statuses(&task), ["unmet", "met"], "{task:#}");

    // What holds with the base's tests too, and what is only added, is no finding.
    let renames = call("edit", json!({ "path": "test_calc.py", "old": "add(2, 3), 5", "new": "add(1, 4), 5" }));
    let adds = call(
        "shell",
        json!({ "command": "printf '\\n    def test_more(self):\\n        self.assertEqual(add(1, 1), 2)\\n' >> test_calc.py" }),
    );
    for change in [renames, adds] {
        let (task, _) = self::task(&files, &[planned.clone(), change, say("Done.")], &check).await;
        assert_eq!(
            (findings(&task, "tests_edited").len(), statuses(&task)),
            (0, [json!("met"), json!("met")]),
            "{task:#}"
        );
    }
}
