//! What a person should look at: secrets by disorder, protected paths, headers, dependencies, promises.

use journeyman::{
    checks::{ChangedFile, Exported, ScanInput, api_changes, is_manifest, neighbours, new_dependencies, scan},
    domain::check::{Finding, FindingKind, Severity},
};

fn file<'a>(path: &'a str, before: Option<&'a str>, after: Option<&'a str>) -> ChangedFile<'a> {
    ChangedFile { path, before: before.map(str::as_bytes), after: after.map(str::as_bytes) }
}

fn found(files: &[ChangedFile<'_>]) -> Vec<Finding> {
    scan(&ScanInput { files, ..ScanInput::default() })
}

fn messages(files: &[ChangedFile<'_>], kind: FindingKind) -> Vec<String> {
    found(files).into_iter().filter(|finding| finding.kind == kind).map(|finding| finding.message).collect()
}

/// The one change of one file.
fn told(path: &str, before: &str, after: &str, kind: FindingKind) -> Vec<String> {
    messages(&[file(path, Some(before), Some(after))], kind)
}

fn added(path: &str, line: &str) -> Vec<Finding> {
    let patch = format!("diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -10,0 +11,1 @@\n+{line}\n");
    scan(&ScanInput { patch: patch.as_bytes(), ..ScanInput::default() })
}

/// Put together here so that no scanner of this repository takes it for a real one.
fn random() -> String {
    ["q7Xw2Lm9Zt4K", "v8Rb3Ny6Hc1P", "d5Gf0Js2Ua9K", "e4Tz"].concat()
}

#[test]
fn secrets_are_known_by_name_place_and_disorder() {
    let random = random();
    for (path, line, severity) in [
        (".env", format!("PAYMENT_API_KEY={random}"), Severity::Serious),
        ("deploy/values.yaml", format!("  db_password: {random}"), Severity::Serious),
        ("Dockerfile", format!("ENV APP_TOKEN={random}"), Severity::Serious),
        ("src/http.py", format!("headers['Authorization'] = 'Bearer {random}'"), Severity::Serious),
        ("src/http.py", format!("client = Client(\"{random}\")"), Severity::Warning),
    ] {
        let findings = added(path, &line);
        assert_eq!(
            findings.iter().map(|f| (f.kind, f.severity)).collect::<Vec<_>>(),
            [(FindingKind::Secret, severity)],
            "{line}"
        );
        assert!(!findings[0].message.contains(&random), "a finding never quotes it");
    }
}

#[test]
fn locks_hashes_ids_images_and_fixtures_are_no_secrets() {
    let random = random();
    let key = format!("-----BEGIN RSA {} KEY-----", "PRIVATE");
    for (path, line) in [
        ("package-lock.json", format!("\"integrity\": \"sha512-{random}{random}==\"")),
        ("Cargo.lock", format!("token = \"{random}\"")),
        ("src/a.ts", format!("const logo = 'data:image/png;base64,{random}{random}';")),
        ("src/a.ts", format!("const hash = '{random}';")),
        ("src/a.rs", "let token = \"0190b2f4-7c1e-7b3a-9d2e-5f6a7b8c9d0e\";".to_owned()),
        ("src/a.rs", "const PATH: &str = \"Some/Path1/To/Component2/In/TheTree3/Of/Files44\";".to_owned()),
        ("src/a.py", "TOKEN_LIFETIME = get_settings_value_of_token_lifetime1(config)".to_owned()),
        ("src/a.py", "ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'".to_owned()),
        ("tests/fixtures/key.pem", key.clone()),
        ("testdata/server.key", key),
        ("tests/test_a.py", format!("client = Client(\"{random}\")")),
        ("src/settings.yaml", "password: ${DATABASE_PASSWORD_OF_PRODUCTION}".to_owned()),
        ("src/settings.yaml", "token_url: https://login.example.org/oauth2/v2/token".to_owned()),
        ("dist/app.min.js", format!("x(\"{random}\")")),
        ("src/a.ts", "import { something } from '@scope/Package1WithALongName2AndMore3/deep';".to_owned()),
    ] {
        assert_eq!(added(path, &line), [], "{path}: {line}");
    }
}

#[test]
fn protected_paths_are_told_and_a_task_can_name_its_own() {
    let files = [
        file(".github/workflows/ci.yml", Some(""), Some("")),
        file("docs/CODEOWNERS", None, Some("")),
        file(".gitattributes", Some(""), None),
        file("infra/prod/main.tf", Some(""), Some("")),
        file("src/.github_workflows.rs", Some(""), Some("")),
    ];
    let protected = ["infra/prod/**".to_owned(), "a[".to_owned()];
    let findings = scan(&ScanInput { files: &files, protected: &protected, ..ScanInput::default() });
    let told: Vec<_> = findings.iter().map(|f| (f.path.as_deref().unwrap(), f.message.as_str())).collect();
    assert_eq!(
        told,
        [
            (".github/workflows/ci.yml", "the patch changes a file that steers what runs or who may approve"),
            ("docs/CODEOWNERS", "the patch adds a file that steers what runs or who may approve"),
            (".gitattributes", "the patch removes a file that steers what runs or who may approve"),
            ("infra/prod/main.tf", "the patch changes a path that the task must not change"),
        ]
    );
}

#[test]
fn a_new_file_without_the_header_of_its_kind_is_told() {
    let header: &[u8] = b"// SPDX-License-Identifier: MIT\nfn x() {}\n";
    let bare: &[u8] = b"fn x() {}\n";
    let names: Vec<String> = (0..20).map(|at| format!("src/m{at}.rs")).collect();
    let of = |with: usize, all: usize, text: &str| {
        let near: Vec<(&str, &[u8])> =
            (0..all).map(|at| (names[at].as_str(), if at < with { header } else { bare })).collect();
        let files = [file("src/new.rs", None, Some(text)), file("notes.md", None, Some("x"))];
        scan(&ScanInput { files: &files, neighbours: &near, ..ScanInput::default() }).len()
    };
    assert_eq!((of(18, 20, "fn y() {}"), of(17, 20, "fn y() {}"), of(4, 4, "fn y() {}")), (1, 0, 0));
    assert_eq!(of(20, 20, "// Copyright 2026 Somebody\n"), 0);
    let many: Vec<(String, u64)> = (0..400).map(|at| (format!("src/a{at:03}.rs"), 10)).collect();
    let base = many.iter().map(|(path, size)| (path.as_str(), *size)).chain([("a.py", 1), ("src/huge.rs", 1 << 30)]);
    let chosen = neighbours(["src/new.rs", "README"], base);
    assert!(chosen.len() <= 40 && chosen.len() > 30 && chosen.iter().all(|path| path.ends_with(".rs")), "{chosen:?}");
}

#[test]
fn new_dependencies_are_named_with_version_and_licence() {
    let kind = FindingKind::Dependency;
    let cargo = "[package]\nname = \"a\"\n[dependencies]\nserde = \"1\"\n";
    let with = format!(
        "{cargo}rand = {{ version = \"0.9\" }}\nown = {{ path = \"../own\" }}\n[dev-dependencies]\nproptest = \"1\"\n"
    );
    assert_eq!(
        told("Cargo.toml", cargo, &with, kind),
        [
            "a new dependency: rand 0.9, licence unknown here",
            "a new dependency for development: proptest 1, licence unknown here"
        ]
    );
    let lock = |extra: &str| {
        format!(
            "{{\"packages\": {{\"\": {{}}, \"node_modules/a\": {{\"version\": \"1.0.0\", \"license\": \"MIT\"}}{extra}}}}}"
        )
    };
    let (before, after) = (
        lock(""),
        lock(
            ", \"node_modules/left\": {\"version\": \"2.1.0\", \"license\": \"GPL-3.0\"}, \"node_modules/left/node_modules/deep\": {\"version\": \"0.1.0\"}",
        ),
    );
    let files = [
        file(
            "package.json",
            Some("{\"dependencies\": {\"a\": \"^1\"}}"),
            Some("{\"dependencies\": {\"a\": \"^1\", \"left\": \"^2\"}}"),
        ),
        file("package-lock.json", Some(&before), Some(&after)),
    ];
    assert_eq!(
        messages(&files, kind),
        ["a new dependency: left 2.1.0, licence GPL-3.0", "1 new package more in the lock file: deep 0.1.0"]
    );
    for (path, before, after, name) in [
        (
            "requirements.txt",
            "flask==2.0\n",
            "Flask==2.1\n# c\nrequests[socks] >= 2.30, <3  # http\n",
            "requests >= 2.30, <3",
        ),
        (
            "pyproject.toml",
            "[project]\ndependencies = [\"a>=1\"]\n",
            "[project]\ndependencies = [\"a>=2\", \"httpx>=0.27\"]\n",
            "httpx >=0.27",
        ),
        (
            "pyproject.toml",
            "[tool.poetry.dependencies]\npython = \"^3.10\"\n",
            "[tool.poetry.dependencies]\npython = \"^3.10\"\ndjango = \"^5\"\n",
            "django ^5",
        ),
        (
            "go.mod",
            "module a\n\ngo 1.22\n",
            "module a\n\ngo 1.22\n\nrequire (\n\texample.com/x/y v1.2.3\n)\n",
            "example.com/x/y v1.2.3",
        ),
        ("Gemfile", "gem 'rails'\n", "gem 'rails'\ngem \"pg\", \"~> 1.5\"\n", "pg ~> 1.5"),
        (
            "composer.json",
            "{\"require\": {\"php\": \">=8\"}}",
            "{\"require\": {\"php\": \">=8\", \"a/b\": \"^1\"}}",
            "a/b ^1",
        ),
        (
            "app/pom.xml",
            "<dependency><groupId>a</groupId><artifactId>b</artifactId></dependency>",
            "<dependency>\n<artifactId>b</artifactId><groupId>a</groupId>\n</dependency>\n<dependency>\n<groupId>org.x</groupId>\n\
             <artifactId>y</artifactId>\n<version>1.2</version></dependency>",
            "org.x:y 1.2",
        ),
        (
            "build.gradle.kts",
            "implementation(\"a:b:1\")\n",
            "implementation(\"a:b:2\")\napi(platform(\"org.x:bom:3\"))\n// implementation(\"no:no:1\")\n",
            "org.x:bom 3",
        ),
        (
            "gradle/libs.versions.toml",
            "",
            "[versions]\nx = \"4\"\n[libraries]\nx = { module = \"org.x:y\", version.ref = \"x\" }\n",
            "org.x:y 4",
        ),
        ("App.csproj", "<Project/>", "<PackageReference Include=\"Dapper\" Version=\"2.1\" />", "Dapper 2.1"),
        ("mix.exs", "[{:plug, \"~> 1\"}]", "[\n{:plug, \"~> 1\"},\n{:jason, \"~> 1.4\"}]", "jason ~> 1.4"),
        (
            "pubspec.yaml",
            "dependencies:\n  flutter:\n    sdk: flutter\n",
            "dependencies:\n  flutter:\n    sdk: flutter\n  http: ^1.2.0\n",
            "http ^1.2.0",
        ),
    ] {
        assert_eq!(
            told(path, before, after, kind),
            [format!("a new dependency: {name}, licence unknown here")],
            "{path}"
        );
    }
    let lock = "{\"packages\": [{\"name\": \"a/b\", \"version\": \"1.4.0\", \"license\": [\"MIT\", \"GPL-2.0\"]}]}";
    let locked = [
        file("composer.json", Some("{}"), Some("{\"require\": {\"a/b\": \"^1\"}}")),
        file("composer.lock", Some("{}"), Some(lock)),
    ];
    assert_eq!(messages(&locked, kind), ["a new dependency: a/b 1.4.0, licence MIT or GPL-2.0"]);
    let vendored = [
        file("Cargo.toml", Some(cargo), Some("[dependencies]\nserde = \"1\"\ntiny = \"0.1\"\n")),
        file("vendor/tiny/Cargo.toml", None, Some("[package]\nname = \"tiny\"\nlicense = \"Zlib\"\n")),
    ];
    assert_eq!(messages(&vendored, kind), ["a new dependency: tiny 0.1, licence Zlib"]);
    assert_eq!(told("Cargo.toml", &with, cargo, kind), Vec::<String>::new(), "one that goes is none");
    assert!(
        is_manifest("web/package-lock.json") && is_manifest("requirements-dev.txt") && !is_manifest("src/package.rs")
    );
}

#[test]
fn a_licence_that_is_known_of_what_is_installed_is_told() {
    let files = [file("package.json", Some("{}"), Some("{\"dependencies\": {\"left\": \"1.0.0\"}}"))];
    assert_eq!(new_dependencies(&files), [("package.json".to_owned(), "left".to_owned())]);
    let licences = [("left".to_owned(), "ISC".to_owned())];
    let findings = scan(&ScanInput { files: &files, licences: &licences, ..ScanInput::default() });
    assert_eq!(findings[0].message, "a new dependency: left 1.0.0, licence ISC");
    let moved = [file(
        "package.json",
        Some("{\"dependencies\": {\"left\": \"1\"}}"),
        Some("{\"devDependencies\": {\"left\": \"2\"}}"),
    )];
    assert_eq!(new_dependencies(&moved), []);
}

#[test]
fn promises_to_those_who_use_the_code_are_watched() {
    let kind = FindingKind::Compatibility;
    for (path, before, after, expected) in [
        (
            "Cargo.toml",
            "[package]\nrust-version = \"1.74\"\n",
            "[package]\nrust-version = \"1.85.0\"\n",
            vec!["`rust-version` is raised from 1.74 to 1.85.0"],
        ),
        (
            "Cargo.toml",
            "[workspace.package]\nrust-version = \"1.80\"\n",
            "[workspace.package]\nrust-version = \"1.80.0\"\n",
            vec![],
        ),
        (
            "Cargo.toml",
            "[features]\nfast = []\nsafe = []\n[[bin]]\nname = \"x\"\n",
            "[features]\nsafe = []\n",
            vec!["the binary `x` is gone", "the feature `fast` is gone"],
        ),
        (
            "package.json",
            "{\"engines\": {\"node\": \">=18 <23 || ^16\"}}",
            "{\"engines\": {\"node\": \">=20\"}}",
            vec!["`engines.node` is raised from >=18 <23 || ^16 to >=20"],
        ),
        ("package.json", "{\"engines\": {\"node\": \">=18\"}}", "{\"engines\": {\"node\": \">= 16.0.0\"}}", vec![]),
        (
            "package.json",
            "{\"name\": \"@s/n\", \"main\": \"a.js\", \"bin\": \"cli.js\", \"exports\": {\".\": \"./a.js\", \"./sub\": \"./b.js\"}}",
            "{\"name\": \"@s/n\", \"exports\": {\".\": \"./c.js\"}}",
            vec!["`main` is gone", "the command `n` is gone", "the export `./sub` is gone"],
        ),
        ("package.json", "{\"private\": true, \"main\": \"a.js\"}", "{\"private\": true}", vec![]),
        (
            "pyproject.toml",
            "[project]\nrequires-python = \">=3.9\"\n",
            "[project]\nrequires-python = \">=3.11\"\n",
            vec!["`requires-python` is raised from >=3.9 to >=3.11"],
        ),
        (
            "pyproject.toml",
            "[project.scripts]\nrun = \"a:b\"\n",
            "[project]\nname = \"a\"\n",
            vec!["the command `run` is gone"],
        ),
        (
            "go.mod",
            "module example.com/a\n\ngo 1.21\n",
            "module example.com/a/v2\n\ngo 1.23.1\n",
            vec!["`go` is raised from 1.21 to 1.23.1", "the module path `example.com/a` is gone"],
        ),
        (
            "Cargo.toml",
            "[package]\nname = \"a\"\n",
            "[package]\nname = \"a\"\nrust-version = \"1.85\"\n",
            vec!["`rust-version` is asked for now: 1.85"],
        ),
        (
            "package.json",
            "{\"name\": \"a\"}",
            "{\"name\": \"a\", \"engines\": {\"node\": \">=20\"}}",
            vec!["`engines.node` is asked for now: >=20"],
        ),
        ("package.json", "{\"name\": \"a\"}", "{\"name\": \"a\", \"engines\": {\"node\": \"*\"}}", vec![]),
        (
            "package.json",
            "{\"engines\": {\"node\": \">=18\"}}",
            "{\"engines\": {\"node\": \">=18 <20\"}}",
            vec!["`engines.node` is narrowed from >=18 to >=18 <20"],
        ),
        (
            "package.json",
            "{\"engines\": {\"node\": \"18 - 22\"}}",
            "{\"engines\": {\"node\": \"^18.0.0\"}}",
            vec!["`engines.node` is narrowed from 18 - 22 to ^18.0.0"],
        ),
        ("package.json", "{\"engines\": {\"node\": \"^18 || ^20\"}}", "{\"engines\": {\"node\": \">=18\"}}", vec![]),
        ("package.json", "{\"engines\": {\"node\": \"18.x\"}}", "{\"engines\": {\"node\": \"^18.0\"}}", vec![]),
        (
            "pyproject.toml",
            "[project]\nname = \"a\"\n",
            "[project]\nname = \"a\"\nrequires-python = \">=3.11\"\n",
            vec!["`requires-python` is asked for now: >=3.11"],
        ),
        (
            "pyproject.toml",
            "[project]\nrequires-python = \">=3.9\"\n",
            "[project]\nrequires-python = \"~=3.9\"\n",
            vec!["`requires-python` is narrowed from >=3.9 to ~=3.9"],
        ),
        (
            "pyproject.toml",
            "[project]\nrequires-python = \">=3.9,<4\"\n",
            "[project]\nrequires-python = \">=3.9, !=3.10.1, <3.13\"\n",
            vec!["`requires-python` is narrowed from >=3.9,<4 to >=3.9, !=3.10.1, <3.13"],
        ),
        (
            "setup.py",
            "setup(name=\"a\", python_requires=\">=3.8\")\n",
            "setup(name=\"a\", python_requires='>=3.10')\n",
            vec!["`python` is raised from >=3.8 to >=3.10"],
        ),
        ("setup.py", "setup()\n", "setup(python_requires='>=3.10')\n", vec!["`python` is asked for now: >=3.10"]),
        ("Cargo.toml", "not toml at all [", "[package]\n", vec![]),
    ] {
        assert_eq!(told(path, before, after, kind), expected, "{path}: {after}");
    }
}

#[test]
fn exported_symbols_that_go_or_change_are_told() {
    let symbol = |path: &str, name: &str, signature: &str| Exported {
        path: path.to_owned(),
        name: name.to_owned(),
        kind: "function".to_owned(),
        signature: signature.to_owned(),
        line: Some(3),
    };
    let before = [
        symbol("a.rs", "same", "pub fn same(a: u8)"),
        symbol("a.rs", "spaced", "pub fn spaced(a: u8)"),
        symbol("a.rs", "other", "pub fn other(a: u8)"),
        symbol("a.rs", "gone", "pub fn gone()"),
        symbol("a.rs", "moved", "pub fn moved()"),
        symbol("a.ts", "over", "over(a: string)"),
        symbol("a.ts", "over", "over(a: number)"),
    ];
    let after = [
        symbol("a.rs", "same", "pub fn same(a: u8)"),
        symbol("a.rs", "spaced", "pub fn spaced(\n  a: u8)"),
        symbol("a.rs", "other", "pub fn other(a: u16)"),
        symbol("b.rs", "moved", "pub fn moved()"),
        symbol("a.ts", "over", "over(a: string)"),
        symbol("b.rs", "new", "pub fn new()"),
    ];
    let told: Vec<String> = api_changes(&before, &after).into_iter().map(|finding| finding.message).collect();
    assert_eq!(
        told,
        [
            "the exported function `other` is declared differently",
            "the exported function `gone` is gone",
            "the exported function `moved` is gone, one of this name is in b.rs now",
            "the exported function `over` is declared differently",
        ]
    );
}

#[test]
fn serious_findings_come_first_and_ignored_files_are_told() {
    let ignored = ["dist/app.js".to_owned()];
    let files = [file(".gitlab-ci.yml", None, Some(""))];
    let findings = scan(&ScanInput { files: &files, ignored: &ignored, ..ScanInput::default() });
    let kinds: Vec<FindingKind> = findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::ProtectedPath, FindingKind::IgnoredFile]);
    assert_eq!(findings[1].path.as_deref(), Some("dist/app.js"));
}
