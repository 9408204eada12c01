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
fn a_prohibition_is_found_in_whatever_form_it_is_said() {
    let table: &[(&str, &[&str])] = &[
        ("Do not modify or delete src/legacy/x.py.", &["src/legacy/x.py"]),
        ("Don't remove or rename proto/a.proto.", &["proto/a.proto"]),
        ("Please do not edit, move or delete lib/old.rs.", &["lib/old.rs"]),
        ("Never edit, rename, or otherwise change config/prod.yaml.", &["config/prod.yaml"]),
        ("Don't change or reformat any of the files in vendor/.", &["vendor/**"]),
        ("You must neither change nor delete db/schema.rb.", &["db/schema.rb"]),
        ("Neither src/a.py nor src/b.py may be changed.", &["src/a.py", "src/b.py"]),
        ("I don't want you to touch src/legacy.", &["src/legacy/**"]),
        ("I do not want you to change anything in src/legacy.", &["src/legacy/**"]),
        ("I don't want src/legacy/x.py to be changed.", &["src/legacy/x.py"]),
        ("I don't want any changes in src/legacy.", &["src/legacy/**"]),
        ("I don't want to see changes to src/legacy.", &["src/legacy/**"]),
        ("We don't want src/legacy touched.", &["src/legacy/**"]),
        ("Nothing in src/legacy should be touched.", &["src/legacy/**"]),
        ("Nothing in src/legacy may change.", &["src/legacy/**"]),
        ("Nothing under vendor/ is to be changed.", &["vendor/**"]),
        ("No file in src/legacy may be modified.", &["src/legacy/**"]),
        ("None of the files in src/legacy should be changed.", &["src/legacy/**"]),
        ("I'd rather you didn't touch src/legacy.", &["src/legacy/**"]),
        ("I would rather you did not change src/legacy/x.py.", &["src/legacy/x.py"]),
        ("I'd prefer that you don't touch src/legacy.", &["src/legacy/**"]),
        ("I'd prefer it if you did not edit src/legacy.", &["src/legacy/**"]),
        ("I'd prefer you not to touch src/legacy.", &["src/legacy/**"]),
        ("don't mess with src/legacy", &["src/legacy/**"]),
        ("Don't mess around with src/legacy.", &["src/legacy/**"]),
        ("Do not fiddle with config/prod.yaml.", &["config/prod.yaml"]),
        ("Don't tamper with src/auth.py.", &["src/auth.py"]),
        ("Do not play with Makefile.", &["Makefile"]),
        ("Don't interfere with src/auth.py.", &["src/auth.py"]),
        ("Everything except src/legacy may be changed.", &["src/legacy/**"]),
        ("Everything but src/legacy/x.py can be edited.", &["src/legacy/x.py"]),
        ("You may change everything except src/legacy.", &["src/legacy/**"]),
        ("You can touch anything but config/prod.yaml.", &["config/prod.yaml"]),
        ("Feel free to change any file other than setup.py.", &["setup.py"]),
        ("Change whatever you like except src/legacy.", &["src/legacy/**"]),
        ("Change anything you need apart from src/legacy.", &["src/legacy/**"]),
        ("Leave src/legacy alone.", &["src/legacy/**"]),
        ("Leave src/legacy be.", &["src/legacy/**"]),
        ("Leave src/legacy/x.py as it was.", &["src/legacy/x.py"]),
        ("Leave src/legacy out of it.", &["src/legacy/**"]),
        ("Just leave src/legacy/x.py.", &["src/legacy/x.py"]),
        ("Keep your hands off src/legacy.", &["src/legacy/**"]),
        ("Keep off src/legacy.", &["src/legacy/**"]),
        ("Keep out of src/legacy.", &["src/legacy/**"]),
        ("src/legacy is off limits.", &["src/legacy/**"]),
        ("src/legacy is off-limits for this change.", &["src/legacy/**"]),
        ("src/legacy is taboo.", &["src/legacy/**"]),
        ("src/legacy/x.py is frozen.", &["src/legacy/x.py"]),
        ("src/legacy/x.py is read-only.", &["src/legacy/x.py"]),
        ("src/legacy is not to be touched.", &["src/legacy/**"]),
        ("src/legacy/x.py is not yours to change.", &["src/legacy/x.py"]),
        ("src/legacy isn't to be changed.", &["src/legacy/**"]),
        ("src/legacy/x.py must not change.", &["src/legacy/x.py"]),
        ("src/legacy/x.py should not change.", &["src/legacy/x.py"]),
        ("src/legacy/x.py mustn't change.", &["src/legacy/x.py"]),
        ("src/legacy/x.py can't change.", &["src/legacy/x.py"]),
        ("src/legacy/x.py may not be changed.", &["src/legacy/x.py"]),
        ("src/legacy/x.py cannot be changed.", &["src/legacy/x.py"]),
        ("src/legacy/x.py must never be changed.", &["src/legacy/x.py"]),
        ("src/legacy/x.py shouldn't be touched.", &["src/legacy/x.py"]),
        ("src/legacy shall not be touched", &["src/legacy/**"]),
        ("Without changing src/legacy/x.py, mend the sum.", &["src/legacy/x.py"]),
        ("Mend the sum without changing src/legacy/x.py.", &["src/legacy/x.py"]),
        ("Mend the sum without modifying or deleting src/legacy/x.py.", &["src/legacy/x.py"]),
        ("Mend the sum without any changes to src/legacy/x.py.", &["src/legacy/x.py"]),
        ("Mend the sum without so much as touching src/legacy/x.py.", &["src/legacy/x.py"]),
        ("Mend it with no changes to src/legacy.", &["src/legacy/**"]),
        ("hands off src/legacy/x.py", &["src/legacy/x.py"]),
        ("Fix the crash; hands off src/legacy/x.py, please.", &["src/legacy/x.py"]),
        ("Hands away from src/legacy.", &["src/legacy/**"]),
        ("Avoid changing src/legacy/x.py.", &["src/legacy/x.py"]),
        ("Avoid changes to src/legacy/x.py.", &["src/legacy/x.py"]),
        ("Avoid touching src/legacy.", &["src/legacy/**"]),
        ("Avoid src/legacy.", &["src/legacy/**"]),
        ("Stay out of src/legacy.", &["src/legacy/**"]),
        ("Fix it but stay out of src/legacy.", &["src/legacy/**"]),
        ("Refrain from touching src/legacy.", &["src/legacy/**"]),
        ("Refrain from any changes to src/legacy.", &["src/legacy/**"]),
        ("Please ensure that src/legacy is not changed.", &["src/legacy/**"]),
        ("Make sure src/legacy/x.py stays untouched.", &["src/legacy/x.py"]),
        ("Make sure not to touch src/legacy.", &["src/legacy/**"]),
        ("Make sure that you don't touch src/legacy.", &["src/legacy/**"]),
        ("Be careful not to change src/legacy/x.py.", &["src/legacy/x.py"]),
        ("Take care not to modify src/legacy/x.py.", &["src/legacy/x.py"]),
        ("You shouldn't need to touch src/legacy.", &["src/legacy/**"]),
        ("You have no business in src/legacy.", &["src/legacy/**"]),
        ("Don't you dare to touch src/legacy/x.py", &["src/legacy/x.py"]),
        ("Please do not make any changes in src/legacy", &["src/legacy/**"]),
        ("The legacy code (src/legacy) needs to remain untouched", &["src/legacy/**"]),
        ("Work around it rather than editing src/legacy", &["src/legacy/**"]),
        ("Fix it in src/api instead of changing src/legacy.", &["src/legacy/**"]),
        ("Never commit to .github/workflows", &[".github/workflows/**"]),
        ("Leave `.github/workflows/ci.yml` and `Dockerfile` untouched", &[".github/workflows/ci.yml", "Dockerfile"]),
        ("Fix it, but don't touch anything in src/legacy or vendor/.", &["src/legacy/**", "vendor/**"]),
        ("Don't change package.json or package-lock.json!", &["package.json", "package-lock.json"]),
        ("You must not modify config/settings.yml", &["config/settings.yml"]),
        ("Keep README.md as it is.", &["README.md"]),
        ("The file db/schema.rb must not be modified.", &["db/schema.rb"]),
        ("db/schema.rb is generated, so don't edit it by hand.", &["db/schema.rb"]),
        ("src/gen/api.ts is generated: do not touch it.", &["src/gen/api.ts"]),
        ("See src/legacy/x.py but don't change it.", &["src/legacy/x.py"]),
        ("Do not under any circumstances modify src/legacy/x.py", &["src/legacy/x.py"]),
        ("Changes in src/legacy are not allowed", &["src/legacy/**"]),
        ("No edits in src/legacy.", &["src/legacy/**"]),
        ("No modifications of any kind to src/legacy.", &["src/legacy/**"]),
        ("src/legacy: do not touch.", &["src/legacy/**"]),
        ("src/legacy — don't touch!", &["src/legacy/**"]),
        ("Don't touch: src/legacy, vendor/ and setup.py.", &["src/legacy/**", "vendor/**", "setup.py"]),
        ("Off limits: src/legacy.", &["src/legacy/**"]),
        ("Use src/db.py as it is, do not modify it.", &["src/db.py"]),
        ("The files src/a.py and src/b.py are vendored, don't touch them.", &["src/a.py", "src/b.py"]),
        ("Look at src/a.py for how it is done (but don't edit it).", &["src/a.py"]),
        ("I want src/legacy left alone.", &["src/legacy/**"]),
        ("I'd like config/prod.yaml to stay as it is.", &["config/prod.yaml"]),
        ("Please see to it that vendor/ remains untouched.", &["vendor/**"]),
        ("We don't want to see src/legacy changed.", &["src/legacy/**"]),
        ("Don't modify or even reformat `src/legacy/x.py`.", &["src/legacy/x.py"]),
        ("Do not rename, move, or delete: db/schema.rb.", &["db/schema.rb"]),
        ("No one should edit src/gen/api.ts.", &["src/gen/api.ts"]),
        ("You can change whatever you want but not src/legacy.", &["src/legacy/**"]),
        (
            "Please change anything you like, except for the files in src/legacy and vendor/.",
            &["src/legacy/**", "vendor/**"],
        ),
        ("Any file other than src/legacy/x.py can be changed.", &["src/legacy/x.py"]),
        ("Make your change without touching anything under src/legacy.", &["src/legacy/**"]),
        ("Do this without altering or removing any file in src/legacy.", &["src/legacy/**"]),
        ("You're not to touch src/legacy.", &["src/legacy/**"]),
        ("You are not to modify src/legacy/x.py.", &["src/legacy/x.py"]),
        ("You may not touch src/legacy.", &["src/legacy/**"]),
        ("You can't change src/legacy/x.py.", &["src/legacy/x.py"]),
        ("No touching src/legacy.", &["src/legacy/**"]),
        ("No changes allowed in src/legacy.", &["src/legacy/**"]),
        ("No changes in src/legacy, please.", &["src/legacy/**"]),
        ("src/legacy should be left alone.", &["src/legacy/**"]),
        ("src/legacy must be left as it is.", &["src/legacy/**"]),
        ("src/legacy/ and vendor/ are off limits.", &["src/legacy/**", "vendor/**"]),
        ("Off-limits: src/legacy/, vendor/.", &["src/legacy/**", "vendor/**"]),
        ("Under no circumstance touch src/legacy.", &["src/legacy/**"]),
        ("On no account change src/legacy.", &["src/legacy/**"]),
        ("By no means touch src/legacy.", &["src/legacy/**"]),
        ("Whatever you do, don't touch src/legacy.", &["src/legacy/**"]),
        ("Please resist the urge to touch src/legacy.", &["src/legacy/**"]),
        ("Let src/legacy be.", &["src/legacy/**"]),
        ("Let src/legacy/x.py stay as it is.", &["src/legacy/x.py"]),
        ("Don't go near src/legacy.", &["src/legacy/**"]),
        ("Do not go into src/legacy.", &["src/legacy/**"]),
        ("Do not enter src/legacy.", &["src/legacy/**"]),
        ("Do not write to src/legacy.", &["src/legacy/**"]),
        ("Never write into config/prod.yaml.", &["config/prod.yaml"]),
        ("Changing src/legacy is forbidden.", &["src/legacy/**"]),
        ("Touching src/legacy is not allowed.", &["src/legacy/**"]),
        ("Editing src/legacy/x.py is prohibited.", &["src/legacy/x.py"]),
        ("Modifications to src/legacy are forbidden.", &["src/legacy/**"]),
        ("Edits to `src/legacy/x.py` are unwelcome.", &["src/legacy/x.py"]),
        ("src/legacy: hands off!", &["src/legacy/**"]),
        ("Do not alter the behaviour of src/legacy/x.py", &[]),
        ("Refactor src/api/routes.py without changing its behaviour", &[]),
        ("Only change src/api.", &[]),
        ("Do not add any dependencies", &[]),
        ("Don't break or slow down src/api.py.", &[]),
        ("Do not modify or delete the rows that src/rows.py writes.", &[]),
        ("Don't rename the function in src/api.py.", &[]),
        ("Do not remove comments from src/api.py.", &[]),
        ("Mend the total in src/money.rs and do not change it twice.", &[]),
        ("Rewrite src/parse.rs, its API is public, so don't change it.", &[]),
        ("src/a.py calls src/b.py; do not touch it.", &[]),
    ];
    let mut wrong = Vec::new();
    for (request, paths) in table {
        let found: Vec<Vec<String>> = found(request).into_iter().map(|(_, paths)| paths).collect();
        if found != [paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>()] {
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
        "Everything except the parser works: see src/parse.py.",
        "Nothing in src/app.py handles the error; add that.",
        "I don't want the server to crash when src/app.py is missing.",
        "Users don't want to change config/app.yml by hand; write a command.",
        "Leave a note in docs/notes.md.",
        "Mess with src/legacy as you like.",
        "You may change everything.",
        "Everything except one test passes; the failure is in src/parse.py.",
        "The parser avoids src/legacy paths wrongly; mend it.",
        "Make src/legacy/x.py read-only.",
        "Keep README.md in sync with the flags.",
        "The build leaves dist/app.js; clean it up.",
        "It messes with src/app.css; fix it.",
        "Instead of reading config/app.yml read src/conf.py.",
        "Nothing in src/legacy/x.py works when it is removed; mend that.",
        "Nothing changes when I edit config/app.yml.",
        "Everything but src/app.py compiles.",
        "All files except src/app.py can be formatted; mend that.",
        "Ignore src/legacy.",
        "Changing config/app.yml is not allowed for guests; return 403.",
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
