//! JSON against the types of `tests/fixtures/trackers/shapes.ts`, by their own compiler.

use super::sent::place;
use crate::support::fetched::fetched;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt::Write,
    process::{Command, Stdio},
};

/// A value, and whether it is to hold by its type.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) what: String,
    /// The type's name.
    pub(super) shape: String,
    pub(super) value: Value,
    pub(super) holds: bool,
}

pub(super) fn assert_hold(lines: &[Line]) {
    let packages = fetched("trackers/node_modules");
    let compiler = fetched("trackers/node_modules/typescript/bin/tsc");
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&packages, dir.path().join("node_modules")).unwrap();
    std::fs::copy(place().join("shapes.ts"), dir.path().join("shapes.ts")).unwrap();
    let mut text = "import type * as shapes from \"./shapes.ts\";\n".to_owned();
    for (number, Line { shape, value, .. }) in lines.iter().enumerate() {
        writeln!(text, "export const line{number}: shapes.{shape} = {value};").unwrap();
    }
    std::fs::write(dir.path().join("values.ts"), text).unwrap();
    let options = json!({
        "compilerOptions": {
            "strict": true, "noEmit": true, "skipLibCheck": true, "allowImportingTsExtensions": true, "preserveSymlinks": true,
            "module": "nodenext", "target": "es2022", "lib": ["es2022", "dom"], "types": [],
        },
        "files": ["values.ts"],
    });
    std::fs::write(dir.path().join("tsconfig.json"), options.to_string()).unwrap();
    let done = Command::new("node")
        .arg(&compiler)
        .args(["--project", ".", "--pretty", "false"])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .expect("node is there: install it with `make setup-tests`");
    let said = String::from_utf8(done.stdout).unwrap();
    let mut faults: BTreeMap<usize, &str> = BTreeMap::new();
    for fault in said.lines().filter(|line| !line.starts_with(' ')) {
        // The first line of the file is no value's.
        let number = fault.strip_prefix("values.ts(").and_then(|rest| rest.split_once(',')?.0.parse::<usize>().ok());
        let number = number.filter(|number| *number > 1).unwrap_or_else(|| panic!("{fault}"));
        faults.entry(number - 2).or_insert(fault);
    }
    for (number, Line { what, value, holds, .. }) in lines.iter().enumerate() {
        let fault = faults.get(&number);
        assert_eq!(fault.is_none(), *holds, "{what}: {} of {value:#}", fault.unwrap_or(&"it holds"));
    }
}
