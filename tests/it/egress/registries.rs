//! Package managers as they are, in real workspaces, from registries over TLS under a private authority.

use super::{
    tasks::{Net, outputs, shell},
    world::{Answer, Ca, Seen, Site, answer},
};
use crate::support::service::{git, say};
use serde_json::json;
use std::{path::Path, process::Command};

/// Makes one package of each kind, and what their registries say of them; `BASE` stands for the registry's address.
const PACKAGES: &str = r#"
import base64, hashlib, io, json, os, sys, tarfile, zipfile
root = sys.argv[1]
def put(path, content):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "wb").write(content if isinstance(content, bytes) else content.encode())
def archive(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in files.items():
            about = tarfile.TarInfo(name); about.size = len(text); about.mode = 0o644
            tar.addfile(about, io.BytesIO(text.encode()))
    return out.getvalue()
wheel = io.BytesIO()
with zipfile.ZipFile(wheel, "w") as file:
    file.writestr("tiny.py", "SAYS = 'hello from a wheel'\n")
    file.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    file.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    file.writestr("tiny-1.0.dist-info/RECORD", "tiny.py,,\ntiny-1.0.dist-info/METADATA,,\ntiny-1.0.dist-info/WHEEL,,\ntiny-1.0.dist-info/RECORD,,\n")
hashed = hashlib.sha256(wheel.getvalue()).hexdigest()
put("files/tiny-1.0-py3-none-any.whl", wheel.getvalue())
put("simple/tiny/index.html", '<!DOCTYPE html><html><body><a href="BASE/files/tiny-1.0-py3-none-any.whl#sha256=%s">tiny-1.0-py3-none-any.whl</a></body></html>' % hashed)
tgz = archive({"package/package.json": '{"name":"tinyjs","version":"1.0.0","main":"index.js"}', "package/index.js": "module.exports = 'hello from npm'\n"})
integrity = "sha512-" + base64.b64encode(hashlib.sha512(tgz).digest()).decode()
put("files/tinyjs-1.0.0.tgz", tgz)
put("tinyjs/index.html", json.dumps({"name": "tinyjs", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {"name": "tinyjs", "version": "1.0.0", "dist": {"tarball": "BASE/files/tinyjs-1.0.0.tgz", "integrity": integrity}}}}))
crate = archive({"tinyrs-1.0.0/Cargo.toml": '[package]\nname = "tinyrs"\nversion = "1.0.0"\nedition = "2021"\n', "tinyrs-1.0.0/src/lib.rs": "// hello from a crate\n"})
put("crates/tinyrs/1.0.0/download", crate)
put("index/config.json", json.dumps({"dl": "BASE/crates"}))
put("index/ti/ny/tinyrs", json.dumps({"name": "tinyrs", "vers": "1.0.0", "deps": [], "cksum": hashlib.sha256(crate).hexdigest(), "features": {}, "yanked": False}) + "\n")
"#;

pub(super) fn made(root: &Path) {
    let made = Command::new("/usr/bin/python3").args(["-c", PACKAGES]).arg(root).status().unwrap();
    assert!(made.success());
    let from = root.join("from");
    std::fs::create_dir(&from).unwrap();
    std::fs::write(from.join("lib.txt"), "hello from git\n").unwrap();
    git(&from, &["init", "--quiet", "--initial-branch=main"]);
    git(&from, &["add", "--all"]);
    let who = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
    git(&from, &[&who[..], &["commit", "--quiet", "--message", "first"]].concat());
    git(root, &["clone", "--quiet", "--bare", "from", "lib.git"]);
    git(&root.join("lib.git"), &["update-server-info"]);
}

/// Files as they are, and texts that say where they are.
pub(super) fn registry(root: &Path) -> impl Fn(&Seen) -> Answer + Send + Sync + 'static {
    let root = root.to_owned();
    move |seen| {
        let path = seen.line.split_whitespace().nth(1).unwrap().split('?').next().unwrap().trim_matches('/');
        let at = root.join(path);
        let page = at.join("index.html");
        let kind = match path.split('/').next().unwrap() {
            "simple" => "text/html",
            "tinyjs" | "index" => "application/json",
            _ => "application/octet-stream",
        };
        match std::fs::read(if page.exists() { &page } else { &at }) {
            Ok(content) if kind != "application/octet-stream" => {
                let base = format!("https://{}", seen.headers["host"]);
                answer(200, &[("content-type", kind)], String::from_utf8(content).unwrap().replace("BASE", &base))
            }
            Ok(content) => answer(200, &[("content-type", kind)], content),
            Err(_) => answer(404, &[], "there is no such thing"),
        }
    }
}

/// Where this machine's cargo and rustc are.
fn toolchain() -> String {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn pip_npm_cargo_and_git_load_over_tls_of_a_private_authority_whether_it_is_read_or_not() {
    for program in ["npm", "node"] {
        let found = ["/usr/bin", "/usr/local/bin"].iter().any(|directory| Path::new(directory).join(program).exists());
        assert!(found, "there is no {program} where workspaces see it: run scripts/setup.sh --tests");
    }
    let pip = Command::new("/usr/bin/python3").args(["-m", "pip", "--version"]).output().unwrap();
    assert!(pip.status.success(), "there is no pip of /usr/bin/python3: run scripts/setup.sh --tests");
    let ca = Ca::new();
    let root = tempfile::tempdir().unwrap();
    made(root.path());
    let site = Site::https(ca.server(&["registry.test"]), registry(root.path())).await;
    let host = format!("registry.test:{}", site.port);
    let pip = format!(
        "python3 -m pip install --quiet --disable-pip-version-check --target /tmp/site --index-url https://{host}/simple tiny \
         && PYTHONPATH=/tmp/site python3 -c 'import tiny; print(tiny.SAYS)'"
    );
    let npm = format!(
        "mkdir /tmp/app && cd /tmp/app && echo '{{}}' > package.json \
         && npm install --no-audit --no-fund --fetch-retries 0 --registry https://{host} tinyjs && node -e 'console.log(require(\"tinyjs\"))'"
    );
    let cargo = format!(
        "mkdir -p /tmp/crate/src /tmp/crate/.cargo && cd /tmp/crate && touch src/lib.rs && export CARGO_HOME=/tmp/cargo \
         && printf '[registries.test]\\nindex = \"sparse+https://{host}/index/\"\\n' > .cargo/config.toml \
         && printf '[package]\\nname = \"app\"\\nversion = \"0.1.0\"\\nedition = \"2021\"\\n[dependencies]\\ntinyrs = {{ version = \"1\", registry = \"test\" }}\\n' > Cargo.toml \
         && cargo fetch && cat /tmp/cargo/registry/src/*/tinyrs-1.0.0/src/lib.rs"
    );
    let clone = format!("git clone --quiet https://{host}/lib.git /tmp/lib && cat /tmp/lib/lib.txt");
    let script = json!({ "sequence": [shell(&pip), shell(&npm), shell(&cargo), shell(&clone), say("Done.")] });
    let mut net = Net::new(&script, &ca, "").await;
    net.ground.variables.push(("JOURNEYMAN_TOOLCHAINS".to_owned(), toolchain()));
    let (service, api) = net.start().await;
    for methods in [json!([]), json!(["GET", "HEAD"])] {
        let network = json!({ "mode": "allowlist", "hosts": [host], "methods": methods });
        let task = api.create(&json!({ "request": "install", "network": network })).await;
        api.rest(&task).await;
        let events = api.events(&task).await;
        let said = outputs(&events);
        for (said, says) in said.iter().zip(["from a wheel", "from npm", "from a crate", "from git"]) {
            assert!(said.contains(&format!("hello {says}")), "{methods}: {said}");
        }
        assert_eq!(said.len(), 4);
        // Nothing else was asked for.
        let told: Vec<_> = events.iter().filter(|event| event["kind"] == "network.used").collect();
        assert!(told.iter().all(|told| !told.to_string().contains("refused")), "{told:#?}");
    }
    service.stop().await;
}
