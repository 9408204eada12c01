//! Runs that go round in circles are told so once, and then end.

use super::play::{Play, edit, shell};
use journeyman::{
    agent::Step,
    domain::{ErrorCode, tool::ToolOutcome},
};
use serde_json::json;

type Turn = ((&'static str, String), ToolOutcome, String);

fn ok(call: (&'static str, String), output: &str) -> Turn {
    (call, ToolOutcome::Ok, output.to_owned())
}

fn failed(call: (&'static str, String), output: &str) -> Turn {
    (call, ToolOutcome::Error, output.to_owned())
}

/// How many of the turns were played when the model was told.
fn told_after(turns: Vec<Turn>) -> Option<usize> {
    let mut play = Play::planned(json!({}));
    for (count, (call, outcome, output)) in turns.into_iter().enumerate() {
        play.turn(call, outcome, &output);
        play.step();
        if play.developer_words().iter().any(|words| words.contains("circles")) {
            return Some(count + 1);
        }
    }
    None
}

#[test]
fn what_repeats_is_noticed_and_what_goes_on_is_not() {
    let same = |count: usize| vec![ok(shell("grep x"), "nothing"); count];
    let two = |count: usize, results: [&str; 2]| -> Vec<Turn> {
        (0..count).map(|at| ok(shell(["a", "b"][at % 2]), results[at % 2])).collect()
    };
    let numbered = |count: usize, output: fn(usize) -> String| -> Vec<Turn> {
        (0..count).map(|at| ok(shell("make test"), &output(at))).collect()
    };
    let cases: Vec<(&str, Vec<Turn>, Option<usize>)> = vec![
        ("the same call and result four times", same(4), Some(4)),
        ("three times is not enough", same(3), None),
        (
            "the order of keys and spacing make no difference",
            (0..4)
                .map(|at| {
                    let arguments =
                        ["{\"command\":\"a\",\"workdir\":\"b\"}", "{ \"workdir\": \"b\", \"command\": \"a\" }"];
                    ok(("shell", arguments[at % 2].to_owned()), "x")
                })
                .collect(),
            Some(4),
        ),
        ("durations make no difference", numbered(4, |at| format!("2 failed in 0.{at}3s")), Some(4)),
        ("process numbers make no difference", numbered(4, |at| format!("pid {at}: no such file")), Some(4)),
        (
            "ids make no difference",
            numbered(4, |at| {
                format!("run 01a204c9-f474-72ac-8641-7016fa3257c{at} 0xdeadbee{at} /tmp/tmp.{at} deadbeef{at}")
            }),
            Some(4),
        ),
        (
            "dates and times make no difference",
            numbered(4, |at| format!("2026-11-22T10:0{at}:00Z 10:00:0{at} up")),
            Some(4),
        ),
        (
            "threads make no difference",
            numbered(4, |at| format!("thread 'main' (471{at}) panicked at src/a.rs:3:5")),
            Some(4),
        ),
        (
            "processes that a signal ends make no difference",
            numbered(4, |at| format!("bash: line 1:  471{at} Segmentation fault      (core dumped) ./a")),
            Some(4),
        ),
        (
            "but the signal does",
            (0..6)
                .map(|at| ok(shell("./a"), &format!("bash: line 1: 4711 {}", ["Killed", "Aborted", "Quit"][at % 3])))
                .collect(),
            None,
        ),
        (
            "sanitizers make no difference",
            numbered(4, |at| format!("==471{at}==ERROR: AddressSanitizer: heap-use-after-free")),
            Some(4),
        ),
        ("microseconds make no difference", numbered(4, |at| format!("took 12.{at}µs and {at} μs")), Some(4)),
        ("what `time` prints makes no difference", numbered(4, |at| format!("real\t{at}m1.{at}34s")), Some(4)),
        (
            "ports that are given out make no difference",
            numbered(4, |at| format!("http://127.0.0.1:4512{at} localhost:5012{at} [::1]:3300{at}")),
            Some(4),
        ),
        ("ports that are chosen do", numbered(6, |at| format!("refused: 127.0.0.1:808{at}")), None),
        (
            "other numbers of processes and seconds make no difference",
            numbered(4, |at| {
                format!("goroutine {at} [running]: (node:471{at}) cron[471{at}]: process id 471{at} 17954321{at}4")
            }),
            Some(4),
        ),
        ("lines and columns do make one", numbered(6, |at| format!("src/a.rs:{at}:5: thread a[{at}]: no")), None),
        ("counts do make one", numbered(8, |at| format!("{at} failed")), None),
        ("another result in between begins anew", [same(3), numbered(1, |_| "y".into()), same(3)].concat(), None),
        (
            "the same error of different edits",
            (0..3).map(|at| failed(edit("a.py", &at.to_string()), "`old` is not in a.py")).collect(),
            Some(3),
        ),
        (
            "different errors",
            (0..6).map(|at| failed(edit("a.py", "y"), &format!("hunk {at} does not fit"))).collect(),
            None,
        ),
        (
            "the same silence of different commands",
            (0..6).map(|at| failed(shell(&format!("grep {at}")), "exit code 1")).collect(),
            None,
        ),
        ("the same command fails alike", vec![failed(shell("make"), "exit code 2"); 3], Some(3)),
        ("two calls in turns", two(6, ["1", "2"]), Some(6)),
        ("five are not enough", two(5, ["1", "2"]), None),
        ("turns with new results", (0..8).map(|at| ok(shell(["a", "b"][at % 2]), &at.to_string())).collect(), None),
        (
            "waiting for a process takes longer",
            vec![ok(("write_stdin", json!({ "process": "p1" }).to_string()), "still running"); 11],
            None,
        ),
        (
            "but not for ever",
            vec![ok(("write_stdin", json!({ "process": "p1" }).to_string()), "still running"); 12],
            Some(12),
        ),
        (
            "what differs in the middle of a long output is not looked at",
            numbered(4, |at| format!("{}{at}{}", "a\n".repeat(4_096), "b\n".repeat(4_096))),
            Some(4),
        ),
    ];
    for (name, turns, expected) in cases {
        assert_eq!(told_after(turns), expected, "{name}");
    }
}

#[test]
fn a_run_that_goes_on_in_circles_ends_as_stuck() {
    let mut play = Play::planned(json!({}));
    for _ in 0..8 {
        play.turn(shell("grep x"), ToolOutcome::Ok, "nothing");
    }
    let Step::Finish { end, .. } = play.step() else { panic!("the run ends") };
    let error = end.error.unwrap();
    assert_eq!(error.code, ErrorCode::Stuck);
    assert!(error.message.contains("the same call gave the same result 4 times in a row"), "{}", error.message);
    assert_eq!(play.developer_words().iter().filter(|words| words.contains("circles")).count(), 1);
}

#[test]
fn a_new_circle_long_after_the_first_is_told_again_but_not_for_ever() {
    let mut play = Play::planned(json!({}));
    let mut told = 0;
    for round in 0..4 {
        for at in 0..20 {
            play.turn(shell(&format!("look {round} {at}")), ToolOutcome::Ok, &format!("{round} {at}"));
        }
        for _ in 0..4 {
            play.turn(shell("grep x"), ToolOutcome::Ok, "nothing");
        }
        match play.step() {
            Step::Call { .. } => told += 1,
            Step::Finish { end, .. } => {
                assert_eq!((told, end.error.unwrap().code), (3, ErrorCode::Stuck));
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("the fourth circle ends the run");
}

#[test]
fn a_persons_words_begin_anew() {
    use journeyman::domain::{EventData, task::OnBusy};
    let mut play = Play::planned(json!({}));
    for round in 0..3 {
        for _ in 0..3 {
            play.turn(shell("date"), ToolOutcome::Ok, "nothing");
        }
        let text = format!("once more {round}");
        play.record(EventData::MessageUser { text, author: "a".into(), user: None, on_busy: OnBusy::Steer }, None);
    }
    assert!(matches!(play.step(), Step::Call { .. }));
    assert!(play.developer_words().is_empty());
}
