//! Uploads: archives and bundles.

use super::{House, contents, enter, git, write};
use journeyman::{
    clock,
    domain::{UploadId, event::TreeDelta},
    workspace::repository::{Base, Origin, RepositoryError},
};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

impl House {
    async fn upload(&self, file: &Path) -> Result<Base, RepositoryError> {
        self.repositories.resolve_upload(self.team, clock::new_id(), file, None).await
    }

    fn archive(&self, files: &[(&str, &str)]) -> PathBuf {
        let directory = self.root.path().join("packed");
        for (path, content) in files {
            write(&directory, path, content);
        }
        self.tar(&["-C", directory.to_str().unwrap(), "."])
    }

    fn tar(&self, arguments: &[&str]) -> PathBuf {
        let file = self.root.path().join("upload.tar.gz");
        #[expect(clippy::disallowed_methods, reason = "the tests' own tar plays the person")]
        let status = std::process::Command::new("tar").arg("-czf").arg(&file).args(arguments).status().unwrap();
        assert!(status.success());
        file
    }

    /// An archive of one entry that no decent tar would write.
    fn raw(&self, kind: u8, path: &str, link: &str, content: &[u8]) -> PathBuf {
        let file = self.root.path().join("raw.tar.gz");
        let mut block = [0u8; 512];
        block[..path.len()].copy_from_slice(path.as_bytes());
        block[100..107].copy_from_slice(b"0000644");
        let size = format!("{:011o}", content.len());
        block[124..135].copy_from_slice(size.as_bytes());
        block[148..156].copy_from_slice(b"        ");
        block[156] = kind;
        block[157..157 + link.len()].copy_from_slice(link.as_bytes());
        block[257..263].copy_from_slice(b"ustar\0");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut gzip =
            flate2::write::GzEncoder::new(std::fs::File::create(&file).unwrap(), flate2::Compression::fast());
        gzip.write_all(&block).unwrap();
        gzip.write_all(content).unwrap();
        gzip.write_all(&vec![0; 1024 + (512 - content.len() % 512) % 512]).unwrap();
        gzip.finish().unwrap();
        file
    }
}

#[tokio::test]
async fn an_archive_becomes_a_commit_that_is_the_same_each_time() {
    let house = House::new();
    let long = format!("{}/file", "long-directory-name".repeat(9));
    write(&house.root.path().join("packed"), "run.sh", "#!/bin/sh\n");
    std::fs::set_permissions(
        house.root.path().join("packed/run.sh"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    std::os::unix::fs::symlink("dir/b", house.root.path().join("packed/link")).unwrap();
    std::fs::create_dir_all(house.root.path().join("packed/dir")).unwrap();
    let file = house.archive(&[
        ("a \"ä\"", "1\r\n"),
        ("dir/b", ""),
        (&long, "x"),
        (".git/config", "[core]\n\tfsmonitor = evil\n"),
        ("sub/.git", "gitdir: /etc"),
    ]);
    std::fs::hard_link(house.root.path().join("packed/dir/b"), house.root.path().join("packed/dir/c")).unwrap();
    let file = {
        drop(file);
        house.archive(&[])
    };
    let base = house.upload(&file).await.unwrap();
    assert_eq!(base.reference.as_deref(), Some("refs/heads/main"));
    let copy = house.copy(&base, &TreeDelta::default(), "copy").await;
    let mut expected = contents(&house.root.path().join("packed"));
    expected.retain(|path, _| !path.contains(".git"));
    assert_eq!(contents(&copy), expected);
    enter(&base, &copy);
    assert_eq!(git(&copy, &["status", "--porcelain"]), "");
    let again = house.upload(&file).await.unwrap();
    assert_eq!(again.commit, base.commit);
}

#[tokio::test]
async fn an_upload_is_opened_again_where_its_mirror_is_gone() {
    let house = House::new();
    let file = house.archive(&[("a", "1")]);
    let upload: UploadId = clock::new_id();
    let base = house.repositories.resolve_upload(house.team, upload, &file, Some("main")).await.unwrap();
    let commit = base.commit.clone().unwrap();
    drop(base);
    std::fs::remove_dir_all(house.root.path().join("data/mirrors")).unwrap();
    let origin = Origin::Upload { upload, file: &file };
    let base = house.repositories.reopen(house.team, origin, &commit, None).await.unwrap();
    assert_eq!(base.read("a").unwrap().unwrap(), b"1");
}

#[tokio::test]
async fn archives_that_mean_harm_are_refused() {
    let house = House::new();
    for (kind, path, link) in [
        (b'0', "../evil", ""),
        (b'0', "a/../../evil", ""),
        (b'0', "/etc/evil", ""),
        (b'2', "link", "/etc"),
        (b'2', "a/link", "../../etc"),
        (b'1', "hard", "/etc/passwd"),
        (b'1', "hard", "../passwd"),
        (b'3', "device", ""),
        (b'4', "device", ""),
        (b'6', "pipe", ""),
    ] {
        let file = house.raw(kind, path, link, b"");
        let error = house.upload(&file).await.unwrap_err();
        assert!(matches!(error, RepositoryError::Unusable { .. }), "{path} {link}: {error:?}");
    }
    let zeros = house.raw(b'0', "zeros", "", &vec![0; 100 << 20]);
    let error = house.upload(&zeros).await.unwrap_err();
    assert!(matches!(error, RepositoryError::TooLarge { .. }), "{error:?}");
    for rubbish in [&b""[..], b"rubbish", b"\x1f\x8b\x08\0\0\0\0\0\0\0rubbish"] {
        write(house.root.path(), "rubbish", rubbish);
        let error = house.upload(&house.root.path().join("rubbish")).await.unwrap_err();
        assert!(matches!(error, RepositoryError::Unusable { .. }), "{error:?}");
    }
    assert!(!house.root.path().join("evil").exists());
}

#[tokio::test]
async fn a_bundle_is_a_repository_with_its_branches() {
    let house = House::new();
    let remote = house.remote("one", &[("a", "1")]);
    git(&remote, &["branch", "other"]);
    let head = git(&remote, &["rev-parse", "HEAD"]);
    git(&remote, &["bundle", "create", "-q", "../../with-head", "--all", "HEAD"]);
    git(&remote, &["bundle", "create", "-q", "../../without", "other"]);
    let base = house.upload(&house.root.path().join("with-head")).await.unwrap();
    assert_eq!(base.commit.as_ref().unwrap().as_str(), head);
    let base = house.upload(&house.root.path().join("without")).await.unwrap();
    assert_eq!(base.reference.as_deref(), Some("refs/heads/other"));
    let copy = house.copy(&base, &TreeDelta::default(), "copy").await;
    enter(&base, &copy);
    assert_eq!(git(&copy, &["log", "--format=%H"]), head);
    let bytes = std::fs::read(house.root.path().join("without")).unwrap();
    write(house.root.path(), "cut", &bytes[..bytes.len() - 10]);
    let error = house.upload(&house.root.path().join("cut")).await.unwrap_err();
    assert!(!error.public_message().contains(house.root.path().to_str().unwrap()), "{error:?}");
}
