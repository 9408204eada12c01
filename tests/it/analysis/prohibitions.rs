//! Tests of what a request forbids.

use journeyman::analysis::{prohibitions, prohibitions_in};

fn found(request: &str) -> Vec<(String, Vec<String>)> {
    prohibitions(request).into_iter().map(|one| (one.text, one.paths)).collect()
}

#[test]
fn prohibitions_are_found_with_their_paths() {
    let table: &[(&str, &[&str])] = &[
        ("Do not touch src/legacy.", &["src/legacy/**"]),
        ("Please don't touch src/legacy/ or `lib/old.rs`.", &["src/legacy/**", "lib/old.rs"]),
        ("Don’t modify package.json.", &["package.json"]),
        ("Never edit *.generated.ts files.", &["*.generated.ts"]),
        ("You must not change anything in `vendor/` and third_party/zlib.", &["vendor/**", "third_party/zlib/**"]),
        ("Leave config/prod.yaml alone.", &["config/prod.yaml"]),
        ("Keep the public API unchanged.", &[]),
        ("Don't change the public API.", &[]),
        ("Add the flag without adding dependencies.", &[]),
        ("Fix it without breaking the public API.", &[]),
        ("No new dependencies, please.", &[]),
        ("Do not add any libraries.", &[]),
        ("src/schema.sql must stay unchanged.", &["src/schema.sql"]),
        ("The file Makefile must not be changed.", &["Makefile"]),
        ("./migrations/ is off-limits.", &["migrations/**"]),
        ("No changes to .github/workflows/ci.yml.", &[".github/workflows/ci.yml"]),
        ("Mend add without breaking src/api.py.", &[]),
        ("Do not change the signature of add in calc.py.", &[]),
        ("Keep the public API of src/lib.rs unchanged.", &[]),
        ("Don't use sleep in src/wait.rs.", &[]),
        ("Mend it without breaking the tests.", &[]),
        ("Mend it, and leave all of docs/api.md as it is.", &["docs/api.md"]),
        ("Avoid renaming src/api/mod.rs because others import it from src/lib.rs.", &["src/api/mod.rs"]),
        ("Do not edit a.py but change b.py.", &["a.py"]),
        ("Do not make any changes to src/legacy/.", &["src/legacy/**"]),
        ("Don't make changes in `lib/old.rs`, please.", &["lib/old.rs"]),
        ("Don't even touch src/legacy.", &["src/legacy/**"]),
        ("Never ever try to edit src/legacy/a.py.", &["src/legacy/a.py"]),
        ("You are not allowed to modify Cargo.toml.", &["Cargo.toml"]),
        ("You’re not supposed to change setup.py.", &["setup.py"]),
        ("It is forbidden to edit vendor/.", &["vendor/**"]),
        ("Do not, under any circumstances, touch src/tax.rs.", &["src/tax.rs"]),
        ("Under no circumstances should you touch src/tax.rs.", &["src/tax.rs"]),
        ("Hands off src/legacy/!", &["src/legacy/**"]),
        ("Mend the sum, but keep your hands off lib/old.rs.", &["lib/old.rs"]),
        ("Please stay away from the migrations/ directory.", &["migrations/**"]),
        ("Stay out of third_party/zlib.", &["third_party/zlib/**"]),
        ("Steer clear of config/prod.yaml.", &["config/prod.yaml"]),
        ("No touching package.json.", &["package.json"]),
        ("Treat src/generated/ as read-only.", &["src/generated/**"]),
        ("Consider the file api.proto as frozen.", &["api.proto"]),
        ("Changes to .github/workflows/ci.yml are not allowed.", &[".github/workflows/ci.yml"]),
        ("src/api.py must not change.", &["src/api.py"]),
        ("Finger weg von src/legacy.", &["src/legacy/**"]),
        ("Only touch src/parser.rs.", &[]),
        ("Do not change anything outside src/ui.", &[]),
        ("Do not commit anything.", &[]),
        ("Fass src/legacy nicht an.", &["src/legacy/**"]),
        ("Bitte ändere nichts an lib/alt.py.", &["lib/alt.py"]),
        ("Lass die Datei config.yaml unverändert.", &["config.yaml"]),
        ("Füge keine neuen Abhängigkeiten hinzu.", &[]),
        ("Ohne neue Abhängigkeiten.", &[]),
        ("Die öffentliche API darf nicht geändert werden.", &[]),
    ];
    let mut wrong = Vec::new();
    for (request, paths) in table {
        let found = found(request);
        let wanted = vec![((*request).to_owned(), paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>())];
        if found != wanted {
            wrong.push(format!("{request}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_program_shall_not_do_is_no_prohibition() {
    for request in [
        "Fix the crash in src/main.rs.",
        "The parser does not crash on empty input.",
        "Make sure it does not update the cache twice.",
        "Users cannot delete their account; fix that.",
        "The server should not remove trailing slashes.",
        "Why does this not work?",
        "If there is no file, create src/new.rs.",
        "The function never removes entries from the map.",
        "Das Programm stürzt ab, wenn keine Datei da ist.",
        "Add tests for the parser and update README.md.",
        "Make the crawler stay away from /private/.",
        "The cursor should stay out of the margin.",
        "Treat the tuple as immutable.",
        "Guests are not allowed to see src/admin.html; mend the route.",
        "Users are not allowed to delete what others wrote.",
        "Changes to the order are not allowed after payment: return 409.",
        "It must stay away from the edge.",
        "",
    ] {
        assert_eq!(found(request), [], "{request}");
    }
}

#[test]
fn tests_and_lock_files_are_meant_by_their_words() {
    let one = |request: &str| found(request).remove(0).1;
    assert!(one("Leave the tests alone.").contains(&"**/tests/**".to_owned()));
    assert!(one("Do not weaken or change existing tests.").contains(&"**/*_test.*".to_owned()));
    assert!(one("Don't touch the lock file.").contains(&"**/Cargo.lock".to_owned()));
    assert!(one("Never modify migrations.").contains(&"**/migrations/**".to_owned()));
}

#[test]
fn a_path_that_is_not_where_the_request_says_is_meant_by_its_name() {
    let paths = ["src/legacy/a.py", "src/api.py", "setup.py", "lib/setup.py"];
    let found =
        prohibitions_in("Do not touch legacy/. Never edit api.py. Leave setup.py alone. Do not touch new/.", &paths);
    let globs: Vec<&str> = found.iter().flat_map(|one| &one.paths).map(String::as_str).collect();
    assert_eq!(globs, ["**/legacy/**", "**/api.py", "setup.py", "new/**"]);
}

#[test]
fn each_sentence_counts_for_itself_and_quotes_of_code_do_not() {
    let request = "Mend the rounding in src/money.rs. Do not touch src/tax.rs! Thanks.\n\n\
                   Rules:\n- no new dependencies\n- leave docs/api.md as is; keep the rest tidy\n\
                   ```\n# do not edit generated.py\n```\nDo not touch src/tax.rs!";
    let expected = [
        ("Do not touch src/tax.rs!", vec!["src/tax.rs"]),
        ("no new dependencies", vec![]),
        ("leave docs/api.md as is;", vec!["docs/api.md"]),
    ];
    let expected: Vec<(String, Vec<String>)> = expected
        .into_iter()
        .map(|(text, paths)| (text.to_owned(), paths.into_iter().map(str::to_owned).collect()))
        .collect();
    assert_eq!(found(request), expected);
}

#[test]
fn a_request_of_any_size_is_read_within_limits() {
    let many: String = (0..2_000).map(|n| format!("Do not touch src/part_{n}.rs. ")).collect();
    assert_eq!(prohibitions(&many).len(), 20);
    let long = format!("Do not touch {}.", "a/".repeat(500_000));
    assert_eq!(prohibitions(&long)[0].text.chars().count(), 300);
    prohibitions(&"ß`".repeat(300_000));
}
