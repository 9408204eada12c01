//! Trees of files as streams: what goes in comes out, and no stream writes where it must not.

use execd::carry::{self, Limits, MAGIC};
use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    time::{Duration, SystemTime},
};
use tempfile::{TempDir, tempdir};

fn packed(root: &Path, left_out: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    carry::pack(root, left_out, &mut bytes).unwrap();
    bytes
}

fn unpacked(bytes: &[u8]) -> TempDir {
    let to = tempdir().unwrap();
    carry::unpack(&mut &bytes[..], to.path(), Limits::NONE).unwrap();
    to
}

/// One record as it is on the wire.
fn record(kind: u8, mode: u32, path: &[u8], content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&mode.to_le_bytes());
    bytes.extend_from_slice(&0_i64.to_le_bytes());
    bytes.extend_from_slice(&0_u32.to_le_bytes());
    bytes.extend_from_slice(&(content.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&(path.len() as u16).to_le_bytes());
    bytes.extend_from_slice(path);
    bytes.extend_from_slice(content);
    bytes
}

fn stream(records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(records.concat());
    bytes.extend(record(b'.', 0, b"", b""));
    bytes
}

fn refused(records: &[Vec<u8>], to: &Path) -> io::Error {
    carry::unpack(&mut &stream(records)[..], to, Limits::NONE).unwrap_err()
}

#[test]
fn a_tree_comes_out_as_it_went_in() {
    let from = tempdir().unwrap();
    let root = from.path();
    fs::create_dir_all(root.join("a/b/empty")).unwrap();
    fs::create_dir(root.join("closed")).unwrap();
    fs::write(root.join("a/b/file"), vec![7; 300_000]).unwrap();
    fs::write(root.join("a/run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("a/run"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(root.join("closed/inside"), "x").unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::new(946_684_800, 5);
    fs::File::open(root.join("a/run")).unwrap().set_modified(long_ago).unwrap();
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    symlink("/no/such/place", root.join("a/link")).unwrap();
    fs::write(root.join(std::str::from_utf8(b"na me").unwrap()), "").unwrap();
    let to = unpacked(&packed(root, &[]));
    let to = to.path();
    assert_eq!(fs::read(to.join("a/b/file")).unwrap(), vec![7; 300_000]);
    let run = fs::metadata(to.join("a/run")).unwrap();
    assert_eq!((run.mode() & 0o777, run.mtime(), run.mtime_nsec()), (0o755, 946_684_800, 5));
    assert_eq!(fs::metadata(to.join("closed")).unwrap().mode() & 0o777, 0o555);
    assert_eq!(fs::read_to_string(to.join("closed/inside")).unwrap(), "x");
    assert_eq!(fs::read_link(to.join("a/link")).unwrap(), Path::new("/no/such/place"));
    assert!(to.join("a/b/empty").is_dir() && to.join("na me").is_file());
}

#[test]
fn only_the_root_s_own_entries_are_left_out() {
    let from = tempdir().unwrap();
    fs::create_dir_all(from.path().join(".git")).unwrap();
    fs::create_dir_all(from.path().join("vendor/.git")).unwrap();
    let to = unpacked(&packed(from.path(), &[".git"]));
    assert!(!to.path().join(".git").exists() && to.path().join("vendor/.git").exists());
}

#[test]
fn one_file_comes_into_one_that_is_there() {
    let from = tempdir().unwrap();
    fs::write(from.path().join("file"), "content").unwrap();
    let bytes = packed(&from.path().join("file"), &[]);
    let to = from.path().join("other");
    fs::write(&to, "something longer than that").unwrap();
    carry::unpack(&mut &bytes[..], &to, Limits::NONE).unwrap();
    assert_eq!(fs::read_to_string(&to).unwrap(), "content");
}

#[test]
fn no_stream_writes_outside_of_its_root_or_over_what_is_there() {
    let to = tempdir().unwrap();
    let (root, outside) = (to.path().join("root"), to.path().join("outside"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(root.join("there"), "old").unwrap();
    symlink(&outside, root.join("way")).unwrap();
    symlink(outside.join("made"), root.join("link")).unwrap();
    let file = |path: &[u8]| record(b'f', 0o644, path, b"new");
    let paths: [&[u8]; 12] = [
        b"../outside/x",
        b"/etc/x",
        b"a/../../outside/x",
        b".",
        b"a//b",
        b"a/",
        b"way/x",
        b"link",
        b"there",
        b"a\0b",
        b"..",
        b"/",
    ];
    for path in paths {
        let error = refused(&[file(path)], &root);
        assert_ne!(error.kind(), ErrorKind::UnexpectedEof, "{path:?}");
    }
    let through = [record(b'l', 0o777, b"l", outside.as_os_str().as_encoded_bytes()), file(b"l/x")];
    refused(&through, &root);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(root.join("there")).unwrap(), "old");
}

#[test]
fn a_stream_that_is_cut_off_wrong_or_too_large_is_an_error() {
    let whole = stream(&[record(b'd', 0o755, b"d", b""), record(b'f', 0o644, b"d/f", b"content")]);
    for length in 0..whole.len() {
        let to = tempdir().unwrap();
        let error = carry::unpack(&mut &whole[..length], to.path(), Limits::NONE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "at {length}");
    }
    let to = tempdir().unwrap();
    refused(&[record(b'x', 0, b"f", b"")], to.path());
    assert!(carry::unpack(&mut &b"PK\x03\x04 no stream"[..], to.path(), Limits::NONE).is_err());
    let limits = [Limits { bytes: 6, entries: 9 }, Limits { bytes: 99, entries: 1 }];
    for limits in limits {
        let to = tempdir().unwrap();
        let error = carry::unpack(&mut &whole[..], to.path(), limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
    }
    // A length that nobody could mean is not believed before the bytes are there.
    let mut huge = record(b'f', 0o644, b"f", b"");
    huge[17..25].copy_from_slice(&u64::MAX.to_le_bytes());
    let error = refused(&[huge], tempdir().unwrap().path());
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn what_is_neither_file_directory_nor_link_is_not_taken() {
    let from = tempdir().unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        from.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(from.path().join("socket")).unwrap();
    fs::write(from.path().join("file"), "").unwrap();
    let to = unpacked(&packed(from.path(), &[]));
    let names: Vec<_> = fs::read_dir(to.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["file"]);
}
