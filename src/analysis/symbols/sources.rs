//! Which files are worth parsing, where there are more than can be.

use super::super::BriefFile;
use std::collections::BTreeSet;

/// Of all files together, and of one. Two processors parse about 8 MiB in a second.
const BYTES_MAX: u64 = 8 << 20;
const FILE_BYTES_MAX: u64 = 256 << 10;
const FILES_MAX: usize = 8_000;
/// Larger files come after the others: for one of them there is room for many.
const LARGE_BYTES: u64 = 64 << 10;

/// Directories of what others wrote or programs made.
const FOREIGN: &[&str] = &[
    "vendor",
    "vendored",
    "node_modules",
    "bower_components",
    "third_party",
    "third-party",
    "thirdparty",
    "external",
    "dist",
    "target",
    ".venv",
    "venv",
    "site-packages",
    "__generated__",
    "generated",
    "gen",
    "Pods",
];
/// Ends of names that generators give.
const GENERATED: &[&str] = &[
    ".min.js",
    ".bundle.js",
    ".pb.go",
    ".pb.cc",
    ".pb.h",
    "_pb2.py",
    "_pb2_grpc.py",
    "_pb.js",
    "_pb.d.ts",
    "_grpc_pb.js",
    ".generated.ts",
    ".generated.js",
    ".generated.go",
    "_generated.go",
    ".gen.go",
    ".g.ts",
    "_string.go",
];
/// Where code lies that shows something else than the product.
const ASIDE: &[&str] = &["test", "tests", "__tests__", "spec", "testdata", "fixtures", "examples", "example", "docs"];

/// The files to parse, the most valuable first: what people wrote, the product before its tests,
/// the shallow before the deep, large files last; at most 8 MiB of at most 8,000 files.
pub fn sources<'a>(files: &[BriefFile<'a>]) -> Vec<&'a str> {
    let mut ranked: BTreeSet<(bool, bool, usize, &'a str, u64)> = BTreeSet::new();
    for file in files.iter().filter(|file| file.size > 0 && file.size <= FILE_BYTES_MAX) {
        let path = file.path;
        if parsers::language_of(path).is_none() || GENERATED.iter().any(|end| path.ends_with(end)) {
            continue;
        }
        let directories = path.rsplit_once('/').map_or("", |(directories, _)| directories);
        if directories.split('/').any(|part| FOREIGN.contains(&part)) {
            continue;
        }
        let aside = directories.split('/').any(|part| ASIDE.contains(&part));
        ranked.insert((aside, file.size > LARGE_BYTES, path.matches('/').count(), path, file.size));
    }
    let mut bytes = 0;
    let mut chosen = Vec::new();
    for (_, _, _, path, size) in ranked {
        if chosen.len() == FILES_MAX {
            break;
        }
        if bytes + size <= BYTES_MAX {
            bytes += size;
            chosen.push(path);
        }
    }
    chosen
}
