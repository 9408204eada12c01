//! Checks run in real sandboxes.

use crate::support::sandbox::Copy;
use journeyman::{
    checks,
    domain::check::{Check, CheckOutcome, CheckSource, Obstacle, TestStatus},
    workspace::{SandboxLimits, Workspace},
};
use std::{sync::Arc, time::Duration};

async fn run(workspace: &Workspace, command: &str, seconds: u64) -> checks::Ran {
    let check = Check::command(command, CheckSource::Task);
    checks::run(workspace, &check, &[], Duration::from_secs(seconds), &Arc::from([]), None).await.unwrap()
}

const CASES: &str = "import unittest\nfrom calc import add\n\nclass A(unittest.TestCase):\n    def test_adds(self):\n        self.assertEqual(add(1, 2), 3)\n\n    def test_zero(self):\n        self.assertEqual(add(0, 0), 0)\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_suite_that_fails_is_mended_and_then_loses_its_module() {
    let copy = Copy::new().await;
    copy.write("calc.py", "def add(a, b):\n    return a - b\n");
    copy.write("tests/test_calc.py", CASES);
    let workspace = copy.open().await;
    let suite = "python3 -m unittest discover -v -s tests";

    let failing = run(&workspace, suite, 60).await;
    assert_eq!((failing.run.outcome, failing.run.exit_code), (CheckOutcome::Fail, Some(1)), "{}", failing.run.log);
    assert_eq!(failing.run.failing, ["test_calc.A.test_adds"]);
    assert!(String::from_utf8_lossy(&failing.output).contains("AssertionError: -1 != 3"));

    copy.write("calc.py", "def add(a, b):\n    return a + b  # mended\n");
    let passing = run(&workspace, suite, 60).await.run;
    let tests = passing.tests.unwrap();
    assert_eq!((passing.outcome, passing.failing.len(), tests.len()), (CheckOutcome::Pass, 0, 2), "{}", passing.log);
    assert!(tests.iter().all(|test| test.status == TestStatus::Passed) && passing.counts.unwrap().all_named);

    let lost =
        run(&workspace, "rm -rf calc.py tests/__pycache__ __pycache__; python3 -m unittest discover -v -s tests", 60)
            .await
            .run;
    assert_eq!(
        (lost.outcome, lost.obstacle),
        (CheckOutcome::CouldNotRun, Some(Obstacle::DependencyMissing)),
        "{}",
        lost.log
    );
    assert_eq!(
        lost.reason.unwrap(),
        "the dependency `calc` is missing; set up an environment that runs `pip install calc`, or let the repository bring it"
    );
    workspace.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stops_a_check_is_told() {
    let copy = Copy::new().await;
    let mut options = copy.options();
    options.limits = SandboxLimits { memory_bytes: 256 << 20, ..SandboxLimits::default() };
    let workspace = copy.sandboxes.open(options).await.unwrap();
    for (command, seconds, obstacle) in [
        ("no-such-runner --all", 60, Obstacle::CommandMissing),
        ("python3 -m no_such_runner", 60, Obstacle::DependencyMissing),
        ("python3 -c \"import urllib.request as u; u.urlopen('http://example.org')\"", 60, Obstacle::NetworkBlocked),
        ("python3 -c \"x = b'a' * (3 << 30)\"", 60, Obstacle::MemoryLimit),
        ("sleep 600", 1, Obstacle::TimeLimit),
    ] {
        let run = run(&workspace, command, seconds).await.run;
        assert_eq!((run.outcome, run.obstacle), (CheckOutcome::CouldNotRun, Some(obstacle)), "{command}: {}", run.log);
        assert!(run.reason.is_some_and(|reason| reason.contains(';')), "{command}: the reason names the mend");
    }
    let fails = run(&workspace, "echo wrong; exit 3", 60).await.run;
    assert_eq!((fails.outcome, fails.exit_code, fails.log.as_str()), (CheckOutcome::Fail, Some(3), "wrong\n"));
    let loud = run(&workspace, "echo \"$PYTEST_ADDOPTS\"", 60).await.run;
    assert_eq!((loud.outcome, loud.log.as_str()), (CheckOutcome::Pass, "-rpfEsxX --durations=25\n"));
    workspace.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_keeps_its_own_directory_and_timeout() {
    let copy = Copy::new().await;
    copy.write("web/here", "");
    let workspace = copy.open().await;
    let mut check = Check::command("test -f here", CheckSource::Repository);
    check.workdir = Some("web".to_owned());
    let ran = checks::run(&workspace, &check, &[], Duration::from_secs(60), &Arc::from([]), None).await.unwrap();
    assert_eq!(ran.run.outcome, CheckOutcome::Pass, "{}", ran.run.log);
    check.command = "sleep 600".to_owned();
    check.timeout_seconds = Some(1);
    let ran = checks::run(&workspace, &check, &[], Duration::from_secs(600), &Arc::from([]), None).await.unwrap();
    assert_eq!(ran.run.obstacle, Some(Obstacle::TimeLimit));
    workspace.close().await;
}

const REPORT: &str = "<testsuite name='A' tests='2' failures='1'><testcase classname='A' name='ok'/><testcase classname='A' name='no'><failure>x</failure></testcase></testsuite>";
/// A build by Maven, as far as its output and its files go.
const MAVEN: &str = "echo ' T E S T S'; echo '[INFO] Results:'; echo '[ERROR] Tests run: 2, Failures: 1, Errors: 0, Skipped: 0'; \
    mkdir -p app/target/surefire-reports; sleep 0.05; printf \"%s\" \"$REPORT\" > app/target/surefire-reports/TEST-A.xml; exit 1";

async fn reported(workspace: &Workspace, command: &str, paths: &[&str]) -> checks::Ran {
    let check = Check::command(format!("REPORT=\"{REPORT}\"; {command}"), CheckSource::Task);
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    checks::run(workspace, &check, &[], Duration::from_secs(60), &Arc::from(paths), None).await.unwrap()
}

fn named(ran: &checks::Ran) -> Option<Vec<String>> {
    ran.run.tests.as_ref().map(|tests| tests.iter().map(|test| test.name.clone()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_a_check_has_just_written_name_its_tests() {
    let copy = Copy::new().await;
    copy.write("app/pom.xml", "<project/>");
    copy.write("app/target/surefire-reports/TEST-Old.xml", REPORT.replace("'A'", "'Old'"));
    let workspace = copy.open().await;
    let ran = reported(&workspace, MAVEN, &["app/pom.xml"]).await;
    assert_eq!(named(&ran), Some(vec!["A::no".to_owned(), "A::ok".to_owned()]), "{}", ran.run.log);
    assert_eq!((ran.run.outcome, ran.run.failing), (CheckOutcome::Fail, vec!["A::no".to_owned()]));

    // What the run did not write is no report of it, nor is what lies elsewhere.
    let again = reported(&workspace, "echo done", &["app/pom.xml"]).await;
    assert_eq!((named(&again), again.run.outcome), (None, CheckOutcome::Pass));
    let elsewhere = MAVEN.replace("surefire-reports", "pictures");
    assert_eq!(named(&reported(&workspace, &elsewhere, &["app/pom.xml"]).await), None);
    let no_build = reported(&workspace, MAVEN, &["app/build.md"]).await;
    assert_eq!(named(&no_build), None, "nothing tells that there are any");

    // A file that the command names, wherever it lies.
    for place in ["out.xml", "/tmp/reports.xml"] {
        let command = format!("sleep 0.05; true --junitxml={place}; printf '%s' \"$REPORT\" > {place}; exit 1");
        let ran = reported(&workspace, &command, &[]).await;
        assert_eq!(named(&ran).map(|names| names.len()), Some(2), "{place}: {}", ran.run.log);
    }
    workspace.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_cannot_be_taken_leave_what_the_log_says() {
    let copy = Copy::new().await;
    let workspace = copy.open().await;
    let into = |what: &str| format!("mkdir -p target/surefire-reports; cd target/surefire-reports; sleep 0.05; {what}");
    let link = "printf '%s' \"$REPORT\" > /tmp/elsewhere.xml; ln -s /tmp/elsewhere.xml TEST-A.xml";
    let large = "head -c 9000000 /dev/zero > TEST-B.xml; printf '%s' \"$REPORT\" > TEST-A.xml; rm TEST-A.xml";
    let many = "for i in $(seq 1 600); do printf '%s' \"$REPORT\" > TEST-$i.xml; done";
    let broken = "printf '%s' '<testsuite tests=\"1\"><testcase na' > TEST-A.xml";
    for what in [link, large, many, broken] {
        let ran = reported(&workspace, &into(what), &["pom.xml"]).await;
        assert_eq!((named(&ran), ran.run.outcome), (None, CheckOutcome::Pass), "{what}: {}", ran.run.log);
        run(&workspace, "rm -rf target", 60).await;
    }
    workspace.close().await;
}
