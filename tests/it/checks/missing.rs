//! What a workspace lacks, as real tools say it, with the mend.

use super::{output, test_check};
use journeyman::{
    checks::{Output, judge},
    domain::check::{CheckOutcome, CheckRun, Obstacle},
};

fn ended(command: &str, log: &str, exit: i32, paths: &[&str]) -> CheckRun {
    let mut paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    paths.sort();
    judge(&test_check(command), &Output { paths: &paths, ..output(log.as_bytes(), exit, None) })
}

#[test]
fn each_ecosystem_s_missing_things_are_told_with_the_mend() {
    use Obstacle::{CommandMissing, DependencyMissing, NetworkBlocked, ToolVersion};
    let node = &["package-lock.json", "package.json", "src/util/a.js"][..];
    let python = &["requirements.txt", "tests/test_a.py", "app/__init__.py"][..];
    for (command, exit, log, paths, obstacle, words) in [
        ("npm test", 127, "\n> calc@1.0.0 test\n> jest\n\nsh: 1: jest: not found\n", node, CommandMissing, "`npm ci`"),
        (
            "yarn test",
            1,
            "yarn run v1.22.19\nerror Command \"jest\" not found.\n",
            &["yarn.lock"],
            CommandMissing,
            "`yarn install --frozen-lockfile`",
        ),
        (
            "pnpm test",
            1,
            " ERR_PNPM_RECURSIVE_EXEC_FIRST_FAIL  Command \"vitest\" not found\n",
            &["pnpm-lock.yaml"],
            CommandMissing,
            "`pnpm install --frozen-lockfile`",
        ),
        (
            "npx jest",
            1,
            "npm error npx canceled due to missing packages and no YES option: [\"jest@29.7.0\"]\n",
            node,
            CommandMissing,
            "jest@29",
        ),
        ("npm test", 127, "bash: line 1: npm: command not found\n", node, CommandMissing, "image"),
        (
            "npm test",
            1,
            "node:internal/modules/cjs/loader:1228\n  throw err;\n\nError: Cannot find module 'express'\nRequire stack:\n- /workspace/src/a.js\n",
            node,
            DependencyMissing,
            "`express` is missing; set up an environment that runs `npm ci`",
        ),
        (
            "npx tsc",
            2,
            "src/a.ts(1,20): error TS2307: Cannot find module 'zod' or its corresponding type declarations.\n",
            node,
            DependencyMissing,
            "`zod`",
        ),
        (
            "npm test",
            1,
            "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'chalk' imported from /workspace/a.mjs\n",
            node,
            DependencyMissing,
            "`chalk`",
        ),
        (
            "npm ci && npm test",
            1,
            "npm error code ENOTCACHED\nnpm error request to https://x failed: cache mode is 'only-if-cached'\n",
            node,
            NetworkBlocked,
            "`npm ci`",
        ),
        (
            "python3 -m pytest",
            1,
            "/usr/bin/python3: No module named pytest\n",
            python,
            DependencyMissing,
            "`pip install -r requirements.txt`",
        ),
        (
            "pytest",
            2,
            "ImportError while loading conftest\nE   ModuleNotFoundError: No module named 'requests'\n",
            python,
            DependencyMissing,
            "`requests`",
        ),
        (
            "pytest --cov=app",
            4,
            "ERROR: usage: pytest [options]\npytest: error: unrecognized arguments: --cov=app\n",
            python,
            DependencyMissing,
            "`pytest-cov`",
        ),
        ("pytest", 127, "bash: line 1: pytest: command not found\n", &["uv.lock"], CommandMissing, "`uv sync`"),
        (
            "python3 -m pytest",
            1,
            "ModuleNotFoundError: No module named 'yaml'\n",
            &[],
            DependencyMissing,
            "`pip install yaml`",
        ),
        (
            "cargo test",
            101,
            "    Updating the index\nwarning: spurious network error (3 tries remaining): [6] Couldn't resolve host name\nerror: failed to get `serde` as a dependency of package `a v0.1.0`\n",
            &["Cargo.toml"],
            NetworkBlocked,
            "`cargo fetch`",
        ),
        (
            "cargo test --offline",
            101,
            "error: no matching package named `serde` found\nlocation searched: registry\n",
            &["Cargo.toml"],
            DependencyMissing,
            "`serde`",
        ),
        (
            "cargo test",
            101,
            "error: package `time v0.3.41` cannot be built because it requires rustc 1.81.0 or newer, while the currently active rustc version is 1.74.0\n",
            &[],
            ToolVersion,
            "requires rustc 1.81.0",
        ),
        (
            "cargo test",
            101,
            "error: rustc 1.70.0 is not supported by the following packages:\n  a@1 requires rustc 1.80\n",
            &[],
            ToolVersion,
            "rustc 1.70.0",
        ),
        (
            "go test ./...",
            1,
            "go: example.com/x/y@v1.2.3: Get \"https://modules.invalid/example.com\": dial tcp: lookup modules.invalid: no such host\n",
            &["go.mod"],
            NetworkBlocked,
            "`go mod download`",
        ),
        (
            "go test ./...",
            1,
            "main.go:3:8: no required module provides package github.com/a/b; to add it:\n\tgo get github.com/a/b\n",
            &["go.mod"],
            DependencyMissing,
            "`github.com/a/b`",
        ),
        (
            "go test ./...",
            1,
            "go: go.mod requires go >= 1.23 (running go 1.21.5; GOTOOLCHAIN=local)\n",
            &[],
            ToolVersion,
            "go.mod requires go >= 1.23",
        ),
        (
            "mvn -o test",
            1,
            "[ERROR] Failed to execute goal: Cannot access central (https://x) in offline mode and the artifact org.a:b:jar:1.0 has not been downloaded\n",
            &[],
            DependencyMissing,
            "`mvn dependency:go-offline`",
        ),
        (
            "mvn test",
            1,
            "[ERROR] Could not transfer artifact org.a:b:pom:1 from/to central (https://x): x: Unknown host\n",
            &[],
            NetworkBlocked,
            "mvn",
        ),
        (
            "./gradlew test",
            1,
            "> No cached version of org.a:b:1.0 available for offline mode.\n",
            &["gradlew"],
            DependencyMissing,
            "`./gradlew dependencies`",
        ),
        (
            "bundle exec rspec",
            7,
            "Could not find rake-13.0.6 in locally installed gems\n",
            &[],
            DependencyMissing,
            "`bundle install`",
        ),
        (
            "vendor/bin/phpunit",
            127,
            "bash: line 1: vendor/bin/phpunit: No such file or directory\n",
            &[],
            CommandMissing,
            "phpunit",
        ),
        (
            "./check.sh",
            126,
            "bash: line 1: ./check.sh: cannot execute binary file: Exec format error\n",
            &[],
            CommandMissing,
            "another machine",
        ),
        (
            "./check.sh",
            126,
            "bash: line 1: ./check.sh: /bin/zsh: bad interpreter: No such file or directory\n",
            &[],
            CommandMissing,
            "`/bin/zsh`",
        ),
        ("./check.py", 127, "/usr/bin/env: 'python': No such file or directory\n", &[], CommandMissing, "`python`"),
        (
            "make test",
            1,
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?\n",
            &[],
            DependencyMissing,
            "Docker",
        ),
    ] {
        let run = ended(command, log, exit, paths);
        assert_eq!((run.outcome, run.obstacle), (CheckOutcome::CouldNotRun, Some(obstacle)), "{log}: {:?}", run.reason);
        assert!(run.reason.as_ref().unwrap().contains(words), "{log}: {:?}", run.reason);
    }
}

#[test]
fn what_the_repository_itself_lacks_is_a_failure() {
    let python = &["app/__init__.py", "app/models.py", "src/tools/run.py", "single.py", "redis/Dockerfile"][..];
    for (command, log, paths) in [
        ("pytest", "E   ModuleNotFoundError: No module named 'app.missing'\n", python),
        ("pytest", "E   ModuleNotFoundError: No module named 'tools'\n", python),
        ("pytest", "E   ModuleNotFoundError: No module named 'single'\n", python),
        ("npm test", "Error: Cannot find module './helpers'\n", &["src/a.js"]),
        ("npm test", "Error: Cannot find module '/workspace/src/gone.js'\n", &["src/a.js"]),
        ("npx vitest run", "Error: Failed to resolve import \"@/gone\" from \"src/a.ts\"\n", &["src/a.ts"]),
        ("npx jest", "Cannot find module 'lib/gone' from 'src/a.js'\n", &["lib/there.js", "src/a.js"]),
        ("cargo test", "error: the lock file needs to be updated but --locked was passed\n", &["Cargo.lock"]),
        ("ruby a.rb", "cannot load such file -- /workspace/lib/a.rb\n", &[]),
        ("cargo test", "error[E0432]: unresolved import `crate::gone`\n", &[]),
    ] {
        let run = ended(command, log, 1, paths);
        assert_eq!((run.outcome, run.obstacle), (CheckOutcome::Fail, None), "{log}: {:?}", run.reason);
    }
    let both = "ModuleNotFoundError: No module named 'app.missing'\nModuleNotFoundError: No module named 'redis'\n";
    assert_eq!(ended("pytest", both, 1, python).obstacle, Some(Obstacle::DependencyMissing), "another is missing too");
}
