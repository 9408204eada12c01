//! How runs end: at limits with a last validation, at checks that do not get better with the best tree kept.

use super::play::{Play, edit, shell, tree};
use journeyman::{
    agent::Step,
    domain::{
        ErrorCode, EventData, Status,
        check::Verdict,
        event::RecoveredAfter,
        task::{Control, CriterionStatus, OnBusy},
        tool::ToolOutcome,
    },
};
use serde_json::json;
use std::time::Duration;

fn change(play: &mut Play, to: char) {
    play.turn(edit("a.py", &to.to_string()), ToolOutcome::Ok, &format!("a.py changed to {to}"));
    play.tree = to;
}

fn last_result(play: &Play) -> journeyman::domain::task::TaskResult {
    play.session.result.clone().unwrap()
}

#[test]
fn a_run_at_a_limit_is_validated_once_more_and_ends_with_the_limit() {
    for (limits, wait) in
        [(json!({ "turns": 1 }), 0), (json!({ "wall_seconds": 60 }), 61), (json!({ "tokens": 1_100 }), 0)]
    {
        let mut play = Play::planned(json!({ "limits": limits }));
        change(&mut play, '1');
        play.wait(Duration::from_secs(wait));
        assert_eq!(play.step(), Step::RunChecks { last: true }, "{limits}");
        play.checked(&[], true);
        let Step::Finish { end, .. } = play.step() else { panic!("{limits}: the run ends") };
        assert_eq!(end.status, Status::Failed, "{limits}");
        assert_eq!(last_result(&play).verdict, Some(Verdict::Verified), "{limits}");
    }
}

#[test]
fn a_patch_without_checks_is_scanned_at_a_limit_too() {
    let mut play = Play::planned(json!({ "checks": [], "limits": { "turns": 1 } }));
    change(&mut play, '1');
    assert_eq!(play.step(), Step::RunChecks { last: true });
    play.judged(Verdict::Unverified, &[], true);
    let Step::Finish { end, .. } = play.step() else { panic!("the run ends") };
    assert_eq!((end.status, end.error.unwrap().code), (Status::Failed, ErrorCode::LimitTurns));
    assert_eq!(last_result(&play).verdict, Some(Verdict::Unverified));
}

#[test]
fn a_call_that_a_limit_finds_open_is_answered_before_the_last_validation() {
    let mut play = Play::planned(json!({ "limits": { "wall_seconds": 60 } }));
    change(&mut play, '1');
    play.step();
    play.reply("", &[shell("sleep 100"), shell("ls")]);
    play.step();
    play.wait(Duration::from_secs(61));
    assert_eq!(play.step(), Step::RunChecks { last: true });
    assert!(play.session.calls.iter().all(|call| call.completed));
}

#[test]
fn a_last_validation_that_was_cut_off_is_not_begun_again() {
    let mut play = Play::planned(json!({ "limits": { "wall_seconds": 60 } }));
    change(&mut play, '1');
    play.words("Done.");
    assert_eq!(play.step(), Step::RunChecks { last: false });
    play.wait(Duration::from_secs(61));
    let Step::Finish { end, .. } = play.step() else { panic!("the run ends") };
    assert_eq!(end.error.unwrap().code, ErrorCode::LimitWallTime);
    assert_eq!(last_result(&play).verdict, None);
}

#[test]
fn a_last_validation_begins_anew_after_a_drain_and_once_after_a_crash() {
    let cut_off = |play: &mut Play| {
        play.record(EventData::Recovered { after: RecoveredAfter::Crash, interrupted: Vec::new() }, None);
    };
    let mut play = Play::planned(json!({ "limits": { "turns": 1 } }));
    change(&mut play, '1');
    for _ in 0..3 {
        assert_eq!(play.step(), Step::RunChecks { last: true });
        play.status(Status::Queued);
        play.status(Status::Running);
    }
    assert_eq!(play.step(), Step::RunChecks { last: true });
    cut_off(&mut play);
    assert_eq!(play.step(), Step::RunChecks { last: true });
    cut_off(&mut play);
    // What kills its workers does so no third time.
    assert!(matches!(play.step(), Step::Finish { .. }));
}

#[test]
fn a_tree_from_before_a_message_is_not_what_the_message_asks_for() {
    let mut play = Play::planned(json!({ "limits": { "refinements": 0 } }));
    change(&mut play, '1');
    play.words("Done.");
    assert_eq!(play.step(), Step::RunChecks { last: false });
    play.record(
        EventData::MessageUser { text: "and x".into(), author: "a".into(), user: None, on_busy: OnBusy::Steer },
        None,
    );
    play.checked(&[], false);
    change(&mut play, '2');
    play.words("X is there.");
    assert_eq!(play.step(), Step::RunChecks { last: false });
    play.checked(&["a"], false);
    let Step::Finish { end, .. } = play.step() else { panic!("the run ends") };
    assert_eq!((end.status, play.tree), (Status::Failed, '2'), "what was asked for is kept, and told as it is");
}

#[test]
fn what_processes_of_commands_write_is_looked_at_before_the_checks() {
    let mut play = Play::planned(json!({}));
    play.turn(shell("nohup ./generate &"), ToolOutcome::Ok, "exit code 0");
    play.turn(("read_file", json!({ "path": "a.py" }).to_string()), ToolOutcome::Ok, "x");
    play.words("Done.");
    play.tree = '1';
    assert_eq!(play.step(), Step::RunChecks { last: false });
    assert_eq!(play.session.checkpoint.as_ref().map(|checkpoint| &checkpoint.tree), Some(&tree('1')));
}

#[test]
fn work_that_is_announced_again_and_again_and_never_done_is_no_success() {
    let announced = "The cause is in a.py. I will now mend it:";
    let mut play = Play::planned(json!({}));
    for _ in 0..3 {
        play.words(announced);
    }
    let Step::Finish { end, .. } = play.step() else { panic!("the run ends") };
    assert_eq!(end.error.unwrap().code, ErrorCode::Stuck);
    assert_eq!(play.developer_words().iter().filter(|words| words.contains("about to do")).count(), 2);
    // The plan that an earlier run has finished says nothing of this one.
    let mut play = Play::planned(json!({}));
    change(&mut play, '1');
    let mut planning = play.session.planning.clone().unwrap();
    planning.steps[0].status = journeyman::domain::plan::StepStatus::Completed;
    play.record(EventData::PlanUpdated { planning }, None);
    play.words("Done.");
    play.step();
    play.checked(&[], false);
    assert!(matches!(play.step(), Step::Finish { .. }));
    play.record_in(
        2,
        EventData::MessageUser { text: "and x".into(), author: "a".into(), user: None, on_busy: OnBusy::Steer },
    );
    play.status(Status::Running);
    play.words(announced);
    assert!(matches!(play.step(), Step::Call { .. }), "it is nudged");
}

#[test]
fn a_cancel_is_not_validated() {
    let mut play = Play::planned(json!({}));
    change(&mut play, '1');
    play.record(EventData::TaskControl { action: Control::Cancel, author: "a".into() }, None);
    assert!(matches!(play.step(), Step::Finish { end, .. } if end.status == Status::Cancelled));
}

#[test]
fn failures_go_back_while_they_become_fewer_and_refinements_are_left() {
    let mut play = Play::planned(json!({ "limits": { "refinements": 10 } }));
    for (letter, failing) in
        [('1', vec!["a", "b", "c"]), ('2', vec!["a", "b"]), ('3', vec!["a", "c"]), ('4', vec!["a"])]
    {
        change(&mut play, letter);
        play.words("Done.");
        assert_eq!(play.step(), Step::RunChecks { last: false });
        play.checked(&failing, false);
    }
    assert_eq!(play.session.used.refinements, 4);
    // Twice running no fewer: nothing more is sent back, though refinements are left.
    for (letter, failing) in [('5', vec!["b"]), ('6', vec!["c"])] {
        change(&mut play, letter);
        play.words("Done.");
        assert_eq!(play.step(), Step::RunChecks { last: false });
        play.checked(&failing, false);
    }
    assert_eq!(play.session.used.refinements, 5);
    assert!(matches!(play.step(), Step::Finish { end, .. } if end.verdict == Some(Verdict::Failed)));
}

#[test]
fn weakening_tests_again_and_again_is_no_progress() {
    let mut play = Play::planned(json!({ "limits": { "refinements": 50 } }));
    for letter in ['1', '2', '3'] {
        change(&mut play, letter);
        play.words("Done.");
        assert_eq!(play.step(), Step::RunChecks { last: false });
        // Nothing fails any more: what did was removed.
        play.judged(Verdict::Failed, &[], false);
    }
    let Step::Finish { end, .. } = play.step() else { panic!("it goes on: {}", play.session.used.refinements) };
    assert_eq!(end.error.unwrap().code, ErrorCode::ChecksFailed);
    assert_eq!(play.session.used.refinements, 2);
}

#[test]
fn tests_that_are_weakened_instead_of_mended_count_as_more_that_fails() {
    let mut play = Play::planned(json!({ "limits": { "refinements": 50 } }));
    for (letter, failing) in [('1', vec!["a", "b"]), ('2', vec!["a"]), ('3', vec![])] {
        change(&mut play, letter);
        play.words("Done.");
        play.step();
        play.judged(Verdict::Failed, &failing, false);
    }
    assert_eq!(play.session.used.refinements, 3, "once is no standstill");
    change(&mut play, '4');
    play.words("Done.");
    play.step();
    play.judged(Verdict::Failed, &[], false);
    assert!(matches!(play.step(), Step::Finish { .. }), "twice is");
    assert_eq!(play.session.checkpoint.as_ref().unwrap().tree, tree('2'), "the best tree is kept");
}

#[test]
fn the_best_tree_seen_is_kept() {
    let mut play = Play::planned(json!({ "limits": { "refinements": 2 } }));
    for (letter, failing) in [('1', vec!["a", "b"]), ('2', vec!["a"]), ('3', vec!["a", "b", "c"])] {
        change(&mut play, letter);
        play.words("Done.");
        assert_eq!(play.step(), Step::RunChecks { last: false });
        play.checked(&failing, false);
    }
    let Step::Finish { end, .. } = play.step() else { panic!("the run ends") };
    assert_eq!(end.error.unwrap().code, ErrorCode::ChecksFailed);
    assert_eq!(play.session.checkpoint.as_ref().unwrap().tree, tree('2'));
    assert!(play.session.relay, "the working copy is laid anew");
    assert_eq!(last_result(&play).checks[0].final_run.as_ref().unwrap().failing, ["a"]);
    assert_eq!(last_result(&play).criteria[0].status, CriterionStatus::Unknown, "no check speaks of it");
    // The next run's first call tells the model, and nothing but a person starts it.
    assert!(!play.session.has_words() && !play.session.keeps_words());
    assert_eq!(play.session.inputs.values().filter(|input| input.quiet).count(), 1);
}

#[test]
fn a_build_that_breaks_is_worse_than_tests_that_fail() {
    use journeyman::agent::Score;
    assert!(Score { unread: 1, failing: 0 } > Score { unread: 0, failing: 50 });
}

#[test]
fn what_is_optional_does_not_say_which_tree_is_the_best() {
    use journeyman::{
        agent::Score,
        domain::check::{CheckOutcome, CheckResult},
    };
    let check = |required: bool, failing: &[&str]| -> CheckResult {
        let outcome = if failing.is_empty() { CheckOutcome::Pass } else { CheckOutcome::Fail };
        let run = json!({ "outcome": outcome, "exit_code": 1, "duration_ms": 1, "failing": failing, "log": "" });
        serde_json::from_value(json!({
            "name": "c", "command": "c", "source": "task", "required": required, "baseline": null, "final": run, "log": "",
        }))
        .unwrap()
    };
    let both = [check(true, &["a"]), check(false, &["b", "c"])];
    assert_eq!(Score::of(Verdict::Failed, &both), Score { unread: 0, failing: 1 });
    assert_eq!(Score::of(Verdict::Verified, &[check(false, &["b"])]), Score::default());
    // Logs of earlier builds do not say.
    let mut earlier = serde_json::to_value(check(true, &["a"])).unwrap();
    earlier.as_object_mut().unwrap().remove("required");
    assert!(serde_json::from_value::<CheckResult>(earlier).unwrap().required);
}

#[test]
fn words_that_change_nothing_after_failed_checks_are_answered_once_and_end_the_run_then() {
    let mut play = Play::planned(json!({}));
    change(&mut play, '1');
    play.words("Done.");
    assert_eq!(play.step(), Step::RunChecks { last: false });
    play.checked(&["a"], false);
    play.words("I think that it is right.");
    play.words("It is not my fault.");
    let Step::Finish { end, .. } = play.step() else { panic!("the run ends") };
    assert_eq!(end.error.unwrap().code, ErrorCode::ChecksFailed);
    assert!(play.developer_words().iter().any(|words| words.contains("Nothing has changed since the checks failed")));
    assert_eq!(last_result(&play).checks[0].final_run.as_ref().unwrap().failing, ["a"]);
    assert_eq!(last_result(&play).verdict, Some(Verdict::Failed));
    assert_eq!(play.log.iter().filter(|(event, _)| event.data.kind() == "checks.completed").count(), 1);
}

#[test]
fn words_that_announce_more_are_nudged_once_and_never_taken_for_the_end_at_once() {
    let announced = "The cause is in a.py. I will now run the tests:";
    let told = |play: &Play| play.developer_words().iter().filter(|words| words.contains("about to do")).count();
    let mut play = Play::planned(json!({}));
    change(&mut play, '1');
    play.words(announced);
    assert!(matches!(play.step(), Step::Call { .. }));
    assert_eq!(told(&play), 1);
    play.reply(announced, &[]);
    assert_eq!(play.step(), Step::RunChecks { last: false }, "twice is an end");
    // With every step of the plan done, words are words.
    let mut play = Play::planned(json!({}));
    change(&mut play, '1');
    let mut planning = play.session.planning.clone().unwrap();
    planning.steps[0].status = journeyman::domain::plan::StepStatus::Completed;
    play.record(EventData::PlanUpdated { planning }, None);
    play.words(announced);
    assert_eq!(play.step(), Step::RunChecks { last: false });
    assert_eq!(told(&play), 0);
}

#[test]
fn a_run_never_ends_well_on_a_call_that_could_not_be_read() {
    let call = "Now the edit.\n<tool_call>{\"name\": \"edit\", \"arguments\": {\"path\": \"a.py\", }}</tool_call>";
    let told = |play: &Play| play.developer_words().iter().filter(|words| words.contains("could not be read")).count();
    let mut play = Play::planned(json!({}));
    change(&mut play, '1');
    play.words(call);
    for nudges in 1..=3 {
        assert!(matches!(play.step(), Step::Call { .. }));
        assert_eq!(told(&play), nudges);
        play.reply(call, &[]);
    }
    let mut step = play.step();
    if step == (Step::RunChecks { last: true }) {
        play.checked(&[], true);
        step = play.step();
    }
    let Step::Finish { end, .. } = step else { panic!("{step:?}") };
    assert_eq!(end.error.unwrap().code, ErrorCode::Stuck);

    let mut play = Play::planned(json!({}));
    change(&mut play, '1');
    play.words(call);
    play.step();
    play.reply("It is done.", &[]);
    assert_eq!(play.step(), Step::RunChecks { last: false }, "words end it");
}
