//! Tests of throwaway sandboxes: what one program in them can and cannot do.

use crate::support::sandbox;
use bytes::Bytes;
use journeyman::workspace::{Sandboxes, Throwaway, ThrowawayError};
use std::{path::PathBuf, time::Duration};

fn bash(script: &str) -> Throwaway {
    Throwaway {
        program: PathBuf::from("/bin/bash").canonicalize().unwrap(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        memory_bytes: 256 << 20,
        cpu_seconds: 2,
        time: Duration::from_secs(20),
        output_bytes: 1 << 20,
    }
}

async fn sandboxes() -> (tempfile::TempDir, Sandboxes) {
    let data_dir = tempfile::tempdir().unwrap();
    let sandboxes = Sandboxes::new(sandbox::settings(data_dir.path())).await.unwrap();
    (data_dir, sandboxes)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_program_gets_bytes_and_gives_bytes() {
    let (_data, sandboxes) = sandboxes().await;
    let script = r#"while read -r line; do echo "<$line>"; done"#;
    let input = vec![Bytes::from_static(b"one\ntw"), Bytes::from_static(b"o\n")];
    let output = sandboxes.throw_away(bash(script), input).await.unwrap();
    assert_eq!(String::from_utf8(output).unwrap(), "<one>\n<two>\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_no_network_no_file_of_the_host_and_nothing_to_write_to() {
    let (data, sandboxes) = sandboxes().await;
    let secret = data.path().join("secret");
    std::fs::write(&secret, "s3cret").unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!(
        "for file in {} /etc/passwd /etc/hostname /root /home /tmp /proc/self/status /dev/null; do
            [ -e $file ] && echo \"sees $file\"
         done
         for place in / /tmp/x /usr/lib/x /x /dev/x /var/x /home/x; do
            (echo x > $place/y) 2>/dev/null && echo \"writes $place\"
            (echo x > $place) 2>/dev/null && echo \"writes $place\"
         done
         (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo connects
         (kill -0 1 && [ $$ != 1 ]) 2>/dev/null && echo 'sees processes'
         [ $UID = 0 ] && echo 'is root'
         echo end",
        secret.display()
    );
    let output = sandboxes.throw_away(bash(&script), Vec::new()).await.unwrap();
    assert_eq!(String::from_utf8(output).unwrap(), "end\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_limits_hold_and_say_which() {
    let (_data, sandboxes) = sandboxes().await;
    let started = std::time::Instant::now();
    let endless = sandboxes.throw_away(bash("while :; do :; done"), Vec::new()).await;
    assert!(matches!(endless, Err(ThrowawayError::Failed { .. })), "processor time: {endless:?}");
    let hungry = r#"x=xxxxxxxxxxxxxxxx; while :; do x="$x$x"; done"#;
    let hungry = sandboxes.throw_away(bash(hungry), Vec::new()).await;
    assert!(matches!(hungry, Err(ThrowawayError::Failed { .. })), "memory: {hungry:?}");
    let loud = sandboxes.throw_away(bash("while :; do echo loud; done"), Vec::new()).await;
    assert!(matches!(loud, Err(ThrowawayError::TooMuch(_))), "output: {loud:?}");
    let wrong = sandboxes.throw_away(bash("echo no >&2; exit 3"), Vec::new()).await;
    let Err(ThrowawayError::Failed { status, said }) = wrong else { panic!("{wrong:?}") };
    assert_eq!((status.as_str(), said.as_str()), ("exit status: 3", "no"));
    // It waits for a child that stands still, and reads nothing.
    let idle = Throwaway { time: Duration::from_millis(300), ..bash("(kill -STOP $BASHPID)") };
    let idle = sandboxes.throw_away(idle, vec![Bytes::from(vec![b'x'; 4 << 20])]).await;
    assert!(matches!(idle, Err(ThrowawayError::TooLong(_))), "time: {idle:?}");
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_given_up_leaves_no_process() {
    let (_data, sandboxes) = sandboxes().await;
    let mark = format!("mark-{}", journeyman::clock::new_id::<journeyman::domain::TaskId>());
    let alive = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let mut lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        lines.any(|line| line.windows(mark.len()).any(|window| window == mark.as_bytes()))
    };
    let until = |wanted: bool| {
        let started = std::time::Instant::now();
        while alive() != wanted {
            assert!(started.elapsed() < Duration::from_secs(20), "alive: {}", !wanted);
            std::thread::yield_now();
        }
    };
    let script = format!(": {mark}; while :; do :; done");
    let endless = Throwaway { cpu_seconds: 60, ..bash(&script) };
    let of_call = sandboxes.clone();
    let call = tokio::spawn(async move { of_call.throw_away(endless, Vec::new()).await });
    until(true);
    call.abort();
    until(false);
}
