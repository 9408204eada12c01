//! What is counted as spent, and what an approval and a best tree are good for.

use super::play::{Play, edit, shell, tree};
use journeyman::{
    agent::Step,
    domain::{
        ApprovalId, CallId, ErrorCode, EventData, Private, Status,
        approval::{ApprovalKind, Decision},
        check::Verdict,
        event::{Aside, AsideOutcome, RecoveredAfter},
        task::{Control, OnBusy},
        tool::ToolOutcome,
        usage::TokenUsage,
    },
};
use serde_json::json;

fn change(play: &mut Play, to: char) {
    play.turn(edit("a.py", &to.to_string()), ToolOutcome::Ok, &format!("a.py changed to {to}"));
    play.tree = to;
}

#[test]
fn a_call_whose_usage_never_came_counts_at_what_was_reserved_for_it() {
    let mut play = Play::planned(json!({ "limits": { "tokens": 100_000 } }));
    let Step::Call { max_output_tokens, .. } = play.step() else { panic!("a call is next") };
    let (before, prompt) = (play.session.used.tokens, play.session.context_at_most());
    let lost = EventData::Recovered { after: RecoveredAfter::Crash, interrupted: Vec::new() };
    play.record(lost, None);
    let unreported = play.session.usage.unreported;
    assert_eq!((unreported.calls, unreported.tokens), (1, prompt + max_output_tokens));
    assert_eq!(play.session.used.tokens, before + prompt + max_output_tokens);
    assert_eq!(play.session.usage.output_tokens, 0, "what is shown is what was reported");

    // Nothing is counted twice: the answered call after it is its own.
    play.words("Done.");
    assert_eq!(play.session.usage.unreported.calls, 1);
}

#[test]
fn a_call_that_reports_no_usage_counts_at_its_reservation_and_teaches_nothing() {
    let mut play = Play::planned(json!({ "limits": { "tokens": 200_000 } }));
    let Step::Call { max_output_tokens, .. } = play.step() else { panic!("a call is next") };
    let prompt = play.session.context_at_most();
    play.reply_uncounted("", &[shell("ls")]);
    let (used, unreported) = (play.session.used.tokens, play.session.usage.unreported);
    assert_eq!((used, unreported.calls), (prompt + max_output_tokens, 1));
    assert_eq!((play.session.usage.input_tokens, play.session.usage.turns), (0, 1));
    assert!(play.session.context_at_most() > prompt, "what was not counted weighs what it did");
}

#[test]
fn a_cap_holds_for_what_has_a_price_whatever_was_used_beside_it() {
    let mut play = Play::planned(json!({}));
    play.step();
    for cost_usd in [None, Some(0.25), Some(0.5)] {
        aside_begins(&mut play, 1_000);
        let usage = TokenUsage { input_tokens: 10, ..TokenUsage::default() };
        let (aside, model, outcome) = (Aside::Review, "r".to_owned(), AsideOutcome::Answered);
        play.record(
            EventData::AsideCompleted { aside, model, outcome, usage, cost_usd, saved_usd: None, duration_ms: 1 },
            None,
        );
    }
    assert_eq!((play.session.used.cost_usd, play.session.usage.cost_usd), (0.75, None));
}

#[test]
fn a_limit_is_kept_where_tokens_are_dense() {
    // 600,000 bytes, of which no tokeniser makes so few tokens.
    let request = "请修复这个函数".repeat(28_572);
    let mut play = Play::planned(json!({ "request": request, "limits": { "tokens": 160_000 } }));
    let Step::Finish { end, .. } = play.step() else { panic!("it is refused before it is sent") };
    assert_eq!(end.error.unwrap().code, ErrorCode::LimitTokens);
    assert_eq!(play.session.used.model_calls, 0);
}

#[test]
fn what_a_call_has_counted_tells_how_dense_the_rest_is() {
    let first = |per_token: u64| {
        let mut play = Play::planned(json!({ "request": "Mend it. ".repeat(4_000) }));
        let unknown = play.session.context_at_most();
        let bytes = play.session.context_estimate() * 4;
        assert!(unknown >= bytes / 2, "{unknown} of {bytes}");
        play.step();
        let usage = TokenUsage { input_tokens: bytes / per_token, output_tokens: 10, ..TokenUsage::default() };
        play.reply_using("", &[shell("cat big")], usage);
        play.step();
        play.answer(ToolOutcome::Ok, &"word ".repeat(12_000));
        let added = play.session.context_at_most() - bytes / per_token - 10;
        // What is not ASCII is dear until it was measured.
        play.record(
            EventData::MessageUser {
                text: "字".repeat(2_000), author: "a".into(), user: None, on_busy: OnBusy::Steer
            },
            None,
        );
        (added, play.session.context_at_most() - bytes / per_token - 10 - added)
    };
    let (sparse, chinese) = first(5);
    assert!((15_000..16_000).contains(&sparse), "a quarter of the bytes at the least: {sparse}");
    assert!((4_000..4_100).contains(&chinese), "{chinese}");
    let (dense, _) = first(2);
    assert!((36_000..38_500).contains(&dense), "as many as was counted and a quarter: {dense}");
}

#[test]
fn long_runs_and_digits_are_dear_whatever_was_measured_of_prose() {
    let added = |output: &str| {
        let mut play = Play::planned(json!({ "request": "Mend it. ".repeat(4_000) }));
        let bytes = play.session.context_estimate() * 4;
        play.step();
        let usage = TokenUsage { input_tokens: bytes / 5, output_tokens: 10, ..TokenUsage::default() };
        play.reply_using("", &[shell("cat big")], usage);
        play.step();
        play.answer(ToolOutcome::Ok, output);
        play.session.context_at_most() - bytes / 5 - 10
    };
    let words = added(&"some words, (and_signs) ".repeat(1_000));
    assert!((6_000..6_300).contains(&words), "{words}");
    let base64 = added(&"QUJDQUJD+aGVsbG8gd29ybGQhISE/".repeat(800));
    assert!((18_000..18_500).contains(&base64), "{base64}");
    let digits = added(&"1732824000 ".repeat(2_000));
    assert!((16_000..17_000).contains(&digits), "{digits}");
}

#[test]
fn what_breaks_off_again_and_again_ends_at_the_limit() {
    let mut play = Play::planned(json!({ "limits": { "tokens": 100_000 } }));
    let mut calls = 0;
    while let Step::Call { .. } = play.step() {
        calls += 1;
        assert!(calls < 20, "{:?}", play.session.usage);
        play.record(EventData::Recovered { after: RecoveredAfter::Crash, interrupted: Vec::new() }, None);
    }
    assert!(play.session.used.tokens <= 100_000, "{:?}", play.session.usage);
    assert!(calls >= 3, "{calls} calls");
    assert_eq!(play.session.error.as_ref().unwrap().code, ErrorCode::LimitTokens);
}

fn aside_begins(play: &mut Play, tokens: u64) {
    let private = Private::Reserved { tokens, cost_usd: None, instead: false };
    play.record(EventData::AsideStarted { aside: Aside::Review, model: "r".into() }, Some(private));
}

fn aside_ends(play: &mut Play, outcome: AsideOutcome, usage: TokenUsage) {
    let (aside, model) = (Aside::Review, "r".to_owned());
    let data =
        EventData::AsideCompleted { aside, model, outcome, usage, cost_usd: None, saved_usd: None, duration_ms: 1 };
    play.record(data, None);
}

#[test]
fn a_call_outside_the_loop_counts_as_the_loops_own_do() {
    let usage = TokenUsage { input_tokens: 900, output_tokens: 100, ..TokenUsage::default() };
    let sums = |play: &Play| {
        let unreported = play.session.usage.unreported;
        (play.session.used.tokens, play.session.used.model_calls, unreported.calls, unreported.tokens)
    };
    let begun = || {
        let mut play = Play::planned(json!({}));
        aside_begins(&mut play, 5_000);
        assert_eq!(sums(&play), (0, 1, 0, 0));
        play
    };
    let mut answered = begun();
    aside_ends(&mut answered, AsideOutcome::Answered, usage);
    assert_eq!(sums(&answered), (1_000, 1, 0, 0));
    let mut refused = begun();
    aside_ends(&mut refused, AsideOutcome::Refused, TokenUsage::default());
    assert_eq!(sums(&refused), (0, 1, 0, 0));
    let mut lost = begun();
    aside_ends(&mut lost, AsideOutcome::Lost, TokenUsage::default());
    assert_eq!(sums(&lost), (5_000, 1, 1, 5_000));

    // Nothing tells what became of it: a crash, the next one's beginning, the loop's own call, the end of a run.
    let recovered = || EventData::Recovered { after: RecoveredAfter::Crash, interrupted: Vec::new() };
    let ends: [&dyn Fn(&mut Play); 4] =
        [&|play| play.record(recovered(), None), &|play| aside_begins(play, 1), &|play| drop(play.step()), &|play| {
            play.status(Status::Queued)
        }];
    for end in ends {
        let mut play = begun();
        end(&mut play);
        let unreported = play.session.usage.unreported;
        assert_eq!((unreported.calls, unreported.tokens), (1, 5_000));
        // Once, whatever comes after.
        play.record(recovered(), None);
        assert!(play.session.usage.unreported.tokens <= 5_000 + 25_000, "{:?}", play.session.usage);
    }
}

#[test]
fn what_came_of_calls_that_the_log_tells_of_is_not_counted_again() {
    let usage = TokenUsage { input_tokens: 900, output_tokens: 100, ..TokenUsage::default() };
    let reviewed = || EventData::ApprovalReviewed {
        call: CallId::new(1, 0),
        model: "r".into(),
        decision: None,
        reason: String::new(),
        usage,
        cost_usd: None,
    };
    // An earlier build told of it with its outcome alone.
    let mut earlier = Play::planned(json!({}));
    earlier.record(reviewed(), None);
    assert_eq!((earlier.session.used.tokens, earlier.session.used.model_calls), (1_000, 1));
    aside_begins(&mut earlier, 5_000);
    aside_ends(&mut earlier, AsideOutcome::Answered, usage);
    earlier.record(reviewed(), None);
    assert_eq!((earlier.session.used.tokens, earlier.session.used.model_calls), (2_000, 2));
}

#[test]
fn a_reply_is_given_no_more_than_the_window_has_room_for() {
    let mut play = Play::planned(json!({}));
    play.facts.window_tokens = 20_000;
    play.step();
    play.reply_using(
        "",
        &[shell("ls")],
        TokenUsage { input_tokens: 14_000, output_tokens: 1_000, ..TokenUsage::default() },
    );
    play.step();
    play.answer(ToolOutcome::Ok, &"x".repeat(400));
    let Step::Call { max_output_tokens, .. } = play.step() else { panic!("a call is next") };
    assert!(max_output_tokens <= 20_000 - 15_100, "{max_output_tokens}");
}

#[test]
fn a_tree_whose_tests_were_weakened_is_never_the_best() {
    let mut play = Play::planned(json!({ "limits": { "refinements": 1 } }));
    change(&mut play, '1');
    play.words("Done.");
    play.step();
    play.judged(Verdict::Failed, &[], false);
    change(&mut play, '2');
    play.words("Put back; one still fails.");
    play.step();
    play.checked(&["a"], false);
    let Step::Finish { end, .. } = play.step() else { panic!("the run ends on its own tree") };
    assert_eq!(end.verdict, Some(Verdict::Failed));
    assert_eq!(play.session.checkpoint.as_ref().unwrap().tree, tree('2'));
}

#[test]
fn other_words_want_another_approval_of_the_plan_and_a_resume_does_not() {
    for resumed in [false, true] {
        let mut play = Play::new(json!({ "approval": "plan" }));
        play.step();
        play.reply("", &[("update_plan", json!({ "plan": [{ "step": "x", "status": "pending" }] }).to_string())]);
        assert!(matches!(play.step(), Step::AskApproval(_)));
        let approval = ApprovalId(uuid::Uuid::nil());
        let asked = EventData::ApprovalRequested { approval, kind: ApprovalKind::Plan, deadline: play.now, call: None };
        play.record(asked, None);
        let resolved = EventData::ApprovalResolved {
            approval,
            decision: Decision::Approve,
            author: "a".into(),
            plan: Vec::new(),
            note: None,
            answers: Vec::new(),
            remember: None,
        };
        play.record(resolved, None);
        let run = play.session.run + 1;
        let data = if resumed {
            EventData::TaskControl { action: Control::Resume, author: "a".into() }
        } else {
            EventData::MessageUser { text: "And this.".into(), author: "a".into(), user: None, on_busy: OnBusy::Steer }
        };
        play.record_in(run, data);
        assert_eq!(play.session.plan_approval.is_some(), resumed);
    }
}
