//! Calls that rules deny or ask about, and what decisions make of them.

use super::play::{Play, edit, shell};
use journeyman::{
    agent::{Step, approver, rules},
    domain::{
        ApprovalId, EventData, Phase, Status, WaitingFor,
        approval::{ApprovalKind, Decision, Remember},
        plan::{PlanOrigin, Planning},
        rule::CommandRule,
        tool::{ToolCall, ToolOutcome},
        usage::TokenUsage,
    },
};
use serde_json::json;

/// A task of this policy with these rules of an operator, planned and with its plan approved.
fn play(policy: &str, own: serde_json::Value) -> Play {
    let own: Vec<CommandRule> = serde_json::from_value(own).unwrap();
    let mut play = Play::new(json!({ "approval": policy }));
    play.rules = rules::pinned(serde_json::from_value(json!(policy)).unwrap(), &own);
    play.record(
        EventData::PlanUpdated {
            planning: Planning {
                revision: 1,
                origin: PlanOrigin::Model,
                approaches: Vec::new(),
                steps: Vec::new(),
                criteria: Vec::new(),
            },
        },
        None,
    );
    let approval = ApprovalId(uuid::Uuid::from_u128(99));
    let deadline = play.now;
    play.record(EventData::ApprovalRequested { approval, kind: ApprovalKind::Plan, deadline, call: None }, None);
    decide(&mut play, approval, Decision::Approve, None);
    play
}

fn on_risk() -> Play {
    play("on_risk", json!([]))
}

fn decide(play: &mut Play, approval: ApprovalId, decision: Decision, remember: Option<Remember>) {
    let data = EventData::ApprovalResolved {
        approval,
        decision,
        author: "a".into(),
        plan: Vec::new(),
        note: Some("as I say".into()),
        answers: Vec::new(),
        remember,
    };
    play.record(data, None);
}

/// The model calls this, and the loop says what is to be done about it.
fn called(play: &mut Play, call: (&str, String)) -> Step {
    let step = play.step();
    assert!(matches!(step, Step::Call { .. }), "{step:?}");
    play.reply("", &[call]);
    play.step()
}

/// People are asked, as the driver asks them.
fn asked(play: &mut Play, call: &ToolCall, number: u128) -> ApprovalId {
    let approval = ApprovalId(uuid::Uuid::from_u128(number));
    let (kind, deadline) = (ApprovalKind::Command, play.now);
    play.record(EventData::ApprovalRequested { approval, kind, deadline, call: Some(call.call.clone()) }, None);
    assert_eq!(play.step(), Step::Wait(WaitingFor::Approval));
    let waiting_for = Some(WaitingFor::Approval);
    play.record(EventData::TaskStatus { status: Status::Waiting, waiting_for, error: None }, None);
    approval
}

fn go_on(play: &mut Play) -> Step {
    play.status(Status::Queued);
    play.status(Status::Running);
    play.step()
}

fn refusal(play: &Play) -> &str {
    let outputs = play.log.iter().rev().find_map(|(event, _)| match &event.data {
        EventData::ToolCompleted { outcome: ToolOutcome::Denied, output, .. } => Some(output.as_str()),
        _ => None,
    });
    outputs.unwrap_or_default()
}

#[test]
fn which_calls_are_asked_about_goes_by_the_policy() {
    let push = || shell("git push");
    let workflow = || edit("./.github/workflows/../workflows/ci.yml", "y");
    for (policy, call, is_asked) in [
        ("never", push(), false),
        ("plan", push(), false),
        ("on_risk", push(), true),
        ("always", push(), true),
        ("on_risk", shell("cargo test"), false),
        ("always", shell("cargo test"), true),
        ("on_risk", edit("src/a.py", "y"), false),
        ("always", edit("src/a.py", "y"), true),
        ("never", workflow(), false),
        ("on_risk", workflow(), true),
        ("on_risk", shell("echo on: push > .github/workflows/ci.yml"), true),
        ("on_risk", shell("cat x | tee -a docs/CODEOWNERS"), true),
        ("on_risk", shell("sed -i s/a/b/ .gitlab-ci.yml"), true),
        ("on_risk", shell("cat .github/workflows/ci.yml"), false),
        ("on_risk", ("write_stdin", json!({ "process": 1, "text": "git push\n" }).to_string()), true),
        ("always", ("write_stdin", json!({ "process": 1 }).to_string()), false),
        ("on_risk", ("shell", "```json\n{\"command\": \"git\\u0020push\",}\n```".into()), true),
        ("on_risk", ("shell", json!("{\"command\": \"git push\"}").to_string()), true),
        (
            "on_risk",
            (
                "apply_patch",
                json!({ "patch": "*** Begin Patch\n*** add file: .husky/pre-push\n+x\n*** End Patch" }).to_string(),
            ),
            true,
        ),
        ("on_risk", ("apply_patch", "--- a/CODEOWNERS\n+++ b/CODEOWNERS\n@@ -1 +1 @@\n-a\n+b\n".into()), true),
        (
            "on_risk",
            ("apply_patch", "*** Begin Patch\n*** Add File: a.md\n+*** CODEOWNERS\n*** End Patch".into()),
            false,
        ),
        (
            "on_risk",
            shell(
                "cd .github && apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: workflows/x.yml\n+x\n*** End Patch\nEOF",
            ),
            true,
        ),
        ("always", ("read_file", json!({ "path": "a" }).to_string()), false),
    ] {
        let mut play = play(policy, json!([]));
        let step = called(&mut play, call.clone());
        let expected =
            if is_asked { matches!(step, Step::AskAbout { .. }) } else { matches!(step, Step::RunTools { .. }) };
        assert!(expected, "{policy}: {call:?}: {step:?}");
    }
}

#[test]
fn a_rule_that_denies_holds_whatever_the_policy_and_counts_as_no_want_of_a_plan() {
    let own = json!([{ "prefix": ["npm", "install"], "decision": "deny", "reason": "use npm ci" }]);
    for policy in ["never", "plan", "on_risk", "always"] {
        let mut play = play(policy, own.clone());
        for _ in 0..2 {
            let step = called(&mut play, shell("cd web && npm install left-pad"));
            assert!(matches!(step, Step::Call { .. }), "{policy}: {step:?}");
            assert!(
                refusal(&play).starts_with("denied: a rule of this server forbids `npm install` (use npm ci). Nothing"),
                "{}",
                refusal(&play)
            );
            // The call that was just asked for is the next turn's.
            play.reply("", &[("read_file", json!({ "path": "a" }).to_string())]);
            play.step();
            play.answer(ToolOutcome::Ok, "1\tx");
        }
        assert_eq!(play.session.used.refusals, 0);
    }
}

#[test]
fn an_approved_call_runs_and_a_denied_one_is_told_why() {
    let mut play = on_risk();
    let Step::AskAbout { call, asks } = called(&mut play, shell("git push")) else { panic!("people are asked") };
    assert_eq!((asks[0].rule.as_str(), asks[0].key.as_str()), ("ask: git push|send-email", "git push"));
    assert!(!play.session.calls[0].started, "it begins when it runs");
    let approval = asked(&mut play, &call, 1);
    decide(&mut play, approval, Decision::Approve, None);
    assert!(matches!(go_on(&mut play), Step::RunTools { .. }));
    play.answer(ToolOutcome::Ok, "exit code 0 in 1 ms");

    let Step::AskAbout { call, .. } = called(&mut play, shell("git push")) else { panic!("it is asked again") };
    let approval = asked(&mut play, &call, 2);
    decide(&mut play, approval, Decision::Deny, None);
    assert!(matches!(go_on(&mut play), Step::Call { .. }));
    assert!(refusal(&play).starts_with("denied: not approved. It is said: as I say. Nothing"), "{}", refusal(&play));
    assert_eq!(play.session.used.refusals, 0);
}

#[test]
fn what_is_remembered_for_the_task_is_not_asked_again_and_nothing_else_is() {
    for (decision, runs) in [(Decision::Approve, true), (Decision::Deny, false)] {
        let mut play = on_risk();
        let step = called(&mut play, shell("git push origin main && curl https://example.com"));
        let Step::AskAbout { call, asks } = step else { panic!("{step:?}") };
        assert_eq!(asks.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["git push", "curl"]);
        let approval = asked(&mut play, &call, 1);
        decide(&mut play, approval, decision, Some(Remember::Task));
        let step = go_on(&mut play);
        assert_eq!(matches!(step, Step::RunTools { .. }), runs, "{step:?}");
        if runs {
            play.answer(ToolOutcome::Ok, "exit code 0 in 1 ms");
            play.step();
        }
        play.reply("", &[shell("git -C web push other")]);
        let step = play.step();
        if runs {
            assert!(matches!(step, Step::RunTools { .. }), "{step:?}");
            play.answer(ToolOutcome::Ok, "exit code 0 in 1 ms");
            play.step();
        } else {
            assert!(refusal(&play).contains("a person has decided so for the rest of this task"), "{}", refusal(&play));
        }
        play.reply("", &[shell("git push && npm publish")]);
        let step = play.step();
        match step {
            Step::AskAbout { asks, .. } => {
                assert!(runs);
                assert_eq!(asks.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["npm publish"]);
            }
            other => assert!(!runs, "{other:?}"),
        }
    }
}

#[test]
fn what_earlier_calls_changed_is_kept_before_a_wait() {
    let mut play = on_risk();
    play.step();
    play.reply("", &[shell("make"), shell("git push")]);
    play.step();
    play.tree = '1';
    play.answer(ToolOutcome::Ok, "exit code 0 in 1 ms");
    let step = play.step();
    assert!(matches!(step, Step::AskAbout { .. }), "{step:?}");
    let kept = |data: &EventData| {
        matches!(data, EventData::Checkpoint { .. } | EventData::TaskPhase { phase: Phase::Generation })
    };
    assert!(play.log.iter().any(|(event, _)| kept(&event.data)));
    assert_eq!(play.session.checkpoint.as_ref().unwrap().tree, super::play::tree('1'));
}

#[test]
fn rules_are_those_that_were_pinned_with_the_brief() {
    let mut play = Play::planned(json!({ "approval": "on_risk" }));
    let step = called(&mut play, shell("git push"));
    assert!(matches!(step, Step::RunTools { .. }), "a task of an earlier build goes on as it began: {step:?}");
}

#[test]
fn processes_that_a_wait_has_ended_are_known_by_their_commands() {
    let mut play = on_risk();
    let background = json!({ "command": "npm run dev", "background": true }).to_string();
    called(&mut play, ("shell", background.clone()));
    play.answer(ToolOutcome::Ok, "process 3 is running\nlistening");
    called(&mut play, ("shell", background));
    play.answer(ToolOutcome::Ok, "process 4 is running");
    called(&mut play, ("write_stdin", json!({ "process": 4, "text": "\u{3}" }).to_string()));
    play.answer(ToolOutcome::Ok, "process 4 has ended: exit code 0");
    let told = journeyman::agent::prompt::processes_lost(&play.session.background).unwrap();
    assert!(told.ends_with("\n- process 3: `npm run dev`"), "{told}");
    play.status(Status::Queued);
    play.status(Status::Running);
    assert_eq!(journeyman::agent::prompt::processes_lost(&play.session.background), None);
}

#[test]
fn a_reviewer_is_asked_once_about_a_call_and_only_so_often_in_a_run() {
    let mut play = on_risk();
    for number in 0..=approver::REVIEWS_MAX {
        let step = called(&mut play, shell(&format!("git push r{number}")));
        let Step::AskAbout { call, asks } = step else { panic!("{step:?}") };
        let request = approver::request(&play.session, &call, &asks);
        assert_eq!(request.is_some(), number < approver::REVIEWS_MAX);
        if let Some(request) = request {
            let given: serde_json::Value = serde_json::from_str(&request).unwrap();
            assert_eq!(given["request"], "Mend it");
            assert_eq!(given["call"]["command"], format!("git push r{number}"));
            let data = EventData::ApprovalReviewed {
                call: call.call.clone(),
                model: "judge".into(),
                decision: None,
                reason: "not sure".into(),
                usage: TokenUsage { input_tokens: 100, output_tokens: 10, ..TokenUsage::default() },
                cost_usd: None,
            };
            let before = play.session.usage;
            play.record(data, None);
            let after = play.session.usage;
            assert_eq!((after.input_tokens - before.input_tokens, after.model_calls - before.model_calls), (100, 1));
            assert_eq!(approver::request(&play.session, &call, &asks), None);
        }
        let approval = asked(&mut play, &call, u128::from(number));
        decide(&mut play, approval, Decision::Approve, None);
        assert!(matches!(go_on(&mut play), Step::RunTools { .. }));
        play.answer(ToolOutcome::Ok, &format!("exit code 0 in {number} ms"));
    }
}

#[test]
fn only_a_plain_answer_of_the_reviewer_counts() {
    for (text, has_calls, expected) in [
        (r#"{"decision": "approve", "reason": "x"}"#, false, Some(Decision::Approve)),
        ("```json\n{\"decision\": \"deny\", \"reason\": \"x\"}\n```", false, Some(Decision::Deny)),
        (r#"{"decision": "approve", "reason": "x"}"#, true, None),
        (r#"{"decision": "ask", "reason": "x"}"#, false, None),
        (r#"{"decision": "Approve", "reason": "x"}"#, false, None),
        (r#"{"decision": "approve", "reason": ""} and so on"#, false, None),
        (r#"Sure. {"decision": "approve", "reason": "x"}"#, false, None),
        (r#"{"decision": "approve", "reason": 3}"#, false, None),
        (r#"{"decision": "answer", "reason": "x"}"#, false, None),
        (r#"{"decision": ["approve"], "reason": "x"}"#, false, None),
        ("", false, None),
    ] {
        assert_eq!(approver::opinion(text, has_calls).decision, expected, "{text}");
    }
}
