//! What is put to people, and what becomes of their answers.

use super::play::{Play, shell};
use journeyman::{
    agent::Step,
    domain::{
        ApprovalId, EventData, Status, WaitingFor,
        approval::{ApprovalKind, Decision},
    },
};
use serde_json::json;
use std::time::Duration;

fn question() -> (&'static str, String) {
    ("ask_user", json!({ "questions": [{ "question": "Which one?" }] }).to_string())
}

/// The model asks; the driver records what it does when it asks people.
fn asked(play: &mut Play) -> ApprovalId {
    play.step();
    play.reply("", &[question(), shell("ls")]);
    let Step::AskPeople(call) = play.step() else { panic!("people are asked") };
    play.record(journeyman::agent::started(&call), None);
    let approval = ApprovalId(uuid::Uuid::nil());
    let deadline = play.now.plus(Duration::from_secs(60));
    let kind = ApprovalKind::Question;
    play.record(EventData::ApprovalRequested { approval, kind, deadline, call: Some(call.call) }, None);
    approval
}

fn resolve(play: &mut Play, approval: ApprovalId, decision: Decision, answers: &[&str]) {
    let answers = answers.iter().map(|&answer| answer.to_owned()).collect();
    let data = EventData::ApprovalResolved {
        approval,
        decision,
        author: "a".into(),
        plan: Vec::new(),
        note: None,
        answers,
        remember: None,
    };
    play.record(data, None);
}

fn output(play: &Play) -> &str {
    let outputs = play.log.iter().rev().find_map(|(event, _)| match &event.data {
        EventData::ToolCompleted { output, .. } => Some(output.as_str()),
        _ => None,
    });
    outputs.unwrap()
}

#[test]
fn a_question_waits_for_its_answer_and_the_calls_after_it_for_the_question() {
    let mut play = Play::planned(json!({}));
    let approval = asked(&mut play);
    for _ in 0..2 {
        assert_eq!(play.step(), Step::Wait(WaitingFor::Input));
    }
    resolve(&mut play, approval, Decision::Answer, &["the second"]);
    let Step::RunTools { calls, .. } = play.step() else { panic!("the next call runs") };
    assert_eq!(calls[0].tool, "shell");
    assert_eq!(output(&play), "The answers:\n1. the second");
}

#[test]
fn nobodys_answer_is_told_as_such() {
    let mut play = Play::planned(json!({}));
    let approval = asked(&mut play);
    resolve(&mut play, approval, Decision::Deny, &[]);
    play.step();
    assert!(output(&play).starts_with("Nobody answers. Decide yourself"), "{}", output(&play));
}

#[test]
fn waiting_for_people_takes_no_time_of_the_run() {
    let mut play = Play::planned(json!({ "limits": { "wall_seconds": 60 } }));
    let approval = asked(&mut play);
    play.record(
        EventData::TaskStatus { status: Status::Waiting, waiting_for: Some(WaitingFor::Input), error: None },
        None,
    );
    play.wait(Duration::from_secs(3_600));
    resolve(&mut play, approval, Decision::Answer, &["yes"]);
    play.status(Status::Queued);
    play.status(Status::Running);
    assert!(matches!(play.step(), Step::RunTools { .. }));
}
