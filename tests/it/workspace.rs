//! Tests of workspace: real sandboxes by real bubblewrap.

use crate::support::sandbox::{open, output, run};
use std::time::Instant;

#[tokio::test]
async fn a_command_gives_its_output_in_order_and_its_exit_code() {
    let (_copy, workspace) = open().await;
    let result = run(&workspace, "echo one; echo two >&2; echo three; exit 3").await;
    assert_eq!(result.output, b"one\ntwo\nthree\n");
    for _ in 0..20 {
        let at = Instant::now();
        output(&workspace, "echo hi").await;
        eprintln!("{:?}", at.elapsed());
    }
    eprintln!(
        "{}",
        output(
            &workspace,
            "id; ps aux; ls -la / /workspace /home /etc; env; cat /proc/self/status | grep -E 'Cap|NoNew|Secc'; mount"
        )
        .await
    );
    let at = Instant::now();
    workspace.close().await;
    eprintln!("close {:?}", at.elapsed());
}
