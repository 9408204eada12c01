//! Real git servers that ask for a credential: nginx before git's own `http-backend` over TLS of a private CA, and OpenSSH's;
//! a proxy that connects where it is told.

use super::{House, try_git};
use std::{
    net::{Ipv4Addr, TcpListener as StdListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that does not outlive its test.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, package: &str, arguments: &[&str]) -> Running {
    #[expect(clippy::disallowed_methods, reason = "the tests' own servers")]
    let mut command = Command::new(program);
    let child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn();
    Running(child.unwrap_or_else(|error| panic!("{program}: {error}; apt-get install {package}")))
}

fn run(program: &str, package: &str, arguments: &[&str]) {
    #[expect(clippy::disallowed_methods, reason = "the tests' own programs")]
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; apt-get install {package}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn free_port() -> u16 {
    StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

async fn listens(port: u16) {
    let connecting = async {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, connecting).await.expect("a server does not listen");
}

/// git over HTTPS on `localhost`, for one user with one password.
pub(crate) struct Https {
    pub(crate) port: u16,
    pub(crate) ca: PathBuf,
    log: PathBuf,
    _nginx: Running,
    _fcgi: Running,
}

impl Https {
    pub(crate) async fn start(house: &House, user: &str, password: &str) -> Self {
        let home = house.root.path().join("https");
        std::fs::create_dir(&home).unwrap();
        let at = |name: &str| home.join(name).display().to_string();
        certificates(&home);
        std::fs::write(home.join("users"), format!("{user}:{{PLAIN}}{password}\n")).unwrap();
        let exec_path = String::from_utf8(try_git(&home, &["--exec-path"]).stdout).unwrap();
        let port = free_port();
        let config = format!(
            "daemon off; user root; worker_processes 1; pid {pid}; error_log {error} warn; events {{ }}\n\
             http {{ log_format told '$status $uri $remote_user'; access_log {log} told;\n\
             client_body_temp_path {temp}; proxy_temp_path {temp}; fastcgi_temp_path {temp}; uwsgi_temp_path {temp};\n\
             scgi_temp_path {temp};\n\
             server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};\n\
             auth_basic git; auth_basic_user_file {users};\n\
             location / {{ fastcgi_pass unix:{socket}; fastcgi_param SCRIPT_FILENAME {backend};\n\
             fastcgi_param GIT_HTTP_EXPORT_ALL 1; fastcgi_param GIT_PROJECT_ROOT {root}; fastcgi_param PATH_INFO $uri;\n\
             fastcgi_param QUERY_STRING $query_string; fastcgi_param REQUEST_METHOD $request_method;\n\
             fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length;\n\
             fastcgi_param GIT_PROTOCOL $http_git_protocol; fastcgi_param REMOTE_USER $remote_user; }} }} }}\n",
            pid = at("pid"),
            error = at("error"),
            log = at("log"),
            temp = at("temp"),
            certificate = at("server.pem"),
            key = at("server.key"),
            users = at("users"),
            socket = at("fcgi"),
            backend = PathBuf::from(exec_path.trim()).join("git-http-backend").display(),
            root = house.root.path().join("remotes").display(),
        );
        std::fs::write(home.join("nginx.conf"), config).unwrap();
        let fcgi = start("fcgiwrap", "fcgiwrap", &["-s", &format!("unix:{}", at("fcgi"))]);
        let nginx = start("/usr/sbin/nginx", "nginx-light", &["-p", &at(""), "-c", &at("nginx.conf")]);
        listens(port).await;
        Self { port, ca: home.join("ca.pem"), log: home.join("log"), _nginx: nginx, _fcgi: fcgi }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}/{path}", self.port)
    }

    /// Requests that were answered, each as status, path and user.
    pub(crate) fn requests(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A private CA, and a certificate of it for `localhost`.
fn certificates(home: &Path) {
    let at = |name: &str| home.join(name).display().to_string();
    let openssl = |arguments: &[&str]| run("openssl", "openssl", arguments);
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=Test CA",
        "-keyout",
        &at("ca.key"),
        "-out",
        &at("ca.pem"),
    ]);
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-keyout",
        &at("server.key"),
        "-out",
        &at("server.csr"),
    ]);
    std::fs::write(home.join("san"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl(&[
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        &at("server.csr"),
        "-CA",
        &at("ca.pem"),
        "-CAkey",
        &at("ca.key"),
        "-CAcreateserial",
        "-extfile",
        &at("san"),
        "-out",
        &at("server.pem"),
    ]);
}

/// OpenSSH's server on loopback, for this user with one key.
pub(crate) struct Ssh {
    pub(crate) port: u16,
    /// The private key that it lets in.
    pub(crate) key: String,
    /// A private key that it does not know.
    pub(crate) other_key: String,
    /// Its own key, as `ssh-keyscan` prints it.
    pub(crate) known_hosts: String,
    _sshd: Running,
}

impl Ssh {
    pub(crate) async fn start(house: &House, kind: &str) -> Self {
        let home = house.root.path().join("ssh");
        std::fs::create_dir(&home).unwrap();
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
        let at = |name: &str| home.join(name).display().to_string();
        for (name, kind) in [("host", "ed25519"), ("key", kind), ("other", kind)] {
            run("ssh-keygen", "openssh-client", &["-q", "-t", kind, "-N", "", "-C", "test", "-f", &at(name)]);
        }
        std::fs::copy(home.join("key.pub"), home.join("authorized")).unwrap();
        let port = free_port();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {host}\nPidFile {pid}\nAuthorizedKeysFile {authorized}\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n",
            host = at("host"),
            pid = at("pid"),
            authorized = at("authorized"),
        );
        std::fs::write(home.join("config"), config).unwrap();
        // Where sshd, as root, separates its privileges.
        let _ = std::fs::create_dir_all("/run/sshd");
        let sshd = start("/usr/sbin/sshd", "openssh-server", &["-D", "-f", &at("config"), "-E", &at("log")]);
        listens(port).await;
        let read = |name: &str| std::fs::read_to_string(home.join(name)).unwrap();
        let known_hosts = format!("# scanned\n[localhost]:{port} {}", read("host.pub"));
        Self { port, key: read("key"), other_key: read("other"), known_hosts, _sshd: sshd }
    }

    /// Of this user, whose name stands in the URL or does not.
    pub(crate) fn url(&self, path: &Path, user: Option<&str>) -> String {
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        format!("ssh://{user}localhost:{}{}", self.port, path.display())
    }
}

pub(crate) fn user_name() -> String {
    #[expect(clippy::disallowed_methods, reason = "the tests' own programs")]
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A proxy that takes CONNECT alone, and what it was asked for.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve_proxy(client, Arc::clone(&heard)));
            }
        });
        Self { port, asked }
    }
}

async fn serve_proxy(client: TcpStream, asked: Arc<Mutex<Vec<String>>>) {
    let mut client = BufReader::new(client);
    let (mut request, mut line) = (String::new(), String::new());
    while client.read_line(&mut line).await.is_ok_and(|count| count > 2) {
        request.push_str(&std::mem::take(&mut line));
    }
    asked.lock().unwrap().push(request.clone());
    let target = request.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}
