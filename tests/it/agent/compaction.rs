//! A conversation that nears the model's window begins anew, and nothing that matters is lost.

use super::play::{Play, edit, shell};
use journeyman::{
    agent::{Step, compact},
    domain::{
        ErrorCode, EventData, Item, Private, Status,
        task::{Control, OnBusy},
        tool::ToolOutcome,
        usage::TokenUsage,
    },
};
use serde_json::json;

/// A task whose model's window is nearly full.
fn full() -> Play {
    let mut play = Play::planned(json!({ "request": "Mend add. Do not touch the tests." }));
    play.facts.window_tokens = 8_000;
    play.turn(shell("make test"), ToolOutcome::Ok, "1 failed");
    play.turn(edit("a.py", "1"), ToolOutcome::Ok, &format!("done {}", "x".repeat(26_000)));
    play
}

fn compact(play: &mut Play, summary: Option<&str>) -> Vec<Item> {
    let items = compact::replacement(&play.session, &play.facts, summary, &["a.py".to_owned()]);
    let data = EventData::Compaction {
        tokens_before: play.session.context_estimate(),
        tokens_after: compact::tokens_of(&play.session, None, &items),
        usage: TokenUsage { input_tokens: 500, cached_input_tokens: 0, output_tokens: 50, ..TokenUsage::default() },
        cost_usd: None,
        summarised: summary.is_some(),
    };
    play.record(data, Some(Private::Compaction { items: items.clone(), opening: None }));
    items
}

fn text(items: &[Item]) -> String {
    let texts = items.iter().map(|item| match item {
        Item::Developer { text } | Item::User { text } => text.as_str(),
        other => panic!("no reply and no result outlives a compaction: {other:?}"),
    });
    texts.collect::<Vec<_>>().join("\n")
}

#[test]
fn it_is_due_at_nine_tenths_of_the_window_also_within_a_turn() {
    for (bytes, due) in [(24_000, false), (26_000, true)] {
        let mut play = Play::planned(json!({}));
        play.facts.window_tokens = 8_000;
        play.turn(shell("cat big"), ToolOutcome::Ok, &"x".repeat(bytes));
        assert_eq!(matches!(play.step(), Step::Compact { .. }), due, "{bytes} bytes and 1,010 tokens of 8,000");
    }
}

#[test]
fn in_a_small_window_each_part_of_the_ledger_keeps_its_share() {
    for (window, files) in [(8_000, 5), (32_000, 40)] {
        let mut play = Play::planned(json!({}));
        play.facts.window_tokens = window;
        play.turn(shell("make test"), ToolOutcome::Ok, "1 failed");
        play.turn(edit("a.py", "1"), ToolOutcome::Ok, "done");
        play.tree = '1';
        play.words("Done.");
        assert_eq!(play.step(), Step::RunChecks { last: false });
        play.checked(&["tests.test_calc.Calc.test_add", "tests.test_calc.Calc.test_zero"], false);
        assert!(matches!(play.step(), Step::Call { .. }));
        let calls: Vec<_> = ["a", "b", "c", "d"].map(|path| ("read_file", json!({ "path": path }).to_string())).into();
        play.reply("", &calls);
        play.step();
        play.answer(ToolOutcome::Ok, &"0123456789abcdef\n".repeat(600));
        let touched: Vec<String> = (0..1_000).map(|at| format!("src/package/module_{at:03}.py")).collect();
        let items = compact::replacement(&play.session, &play.facts, Some("It went on."), &touched);
        let text = text(&items);
        let ledger = &text[text.find("# What the server has kept").unwrap()..];
        assert!(ledger.len() as u64 <= window * 8 / 100 * 4, "{window}: {}", ledger.len());
        for kept in [
            "- [>] Mend it",
            "- criterion: It holds",
            "- `make check`: tests.test_calc.Calc.test_add, tests.test_calc.Calc.test_zero",
            "- src/package/module_000.py",
            "- `make test`: done",
            "The newest calls. They are done: do not make them again.\n- read_file {\"path\":\"a\"}: done",
        ] {
            assert!(ledger.contains(kept), "{window}: {kept}\n{ledger}");
        }
        assert!(ledger.matches("- src/package/module_").count() >= files, "{window}: {ledger}");
        assert!(ledger.contains(" more\n"), "{ledger}");
    }
}

#[test]
fn what_a_section_does_not_need_is_the_others() {
    let mut play = Play::planned(json!({}));
    play.facts.window_tokens = 8_000;
    let steps: Vec<serde_json::Value> = (0..60)
        .map(|at| json!({ "step": format!("step {at} of the work that is to be done"), "status": if at < 50 { "completed" } else { "pending" } }))
        .collect();
    let mut planning = play.session.planning.clone().unwrap();
    planning.steps = serde_json::from_value(json!(steps)).unwrap();
    play.record(EventData::PlanUpdated { planning }, None);
    play.turn(shell("make test"), ToolOutcome::Ok, "1 failed");
    let text = text(&compact::replacement(&play.session, &play.facts, Some("So far."), &[]));
    for step in 50..60 {
        assert!(text.contains(&format!("- [ ] step {step} ")), "{step}: {text}");
    }
    assert!(!text.contains("step 10 of") && text.contains("- and 50 more\n"), "what is done goes first: {text}");
    assert!(text.contains("- `make test`: done"), "{text}");
}

#[test]
fn what_the_summary_lacks_the_ledger_holds() {
    let mut play = full();
    assert!(matches!(play.step(), Step::Compact { .. }));
    let items = compact(&mut play, Some("It went on."));
    let text = text(&items);
    for wanted in [
        "Mend add. Do not touch the tests.",
        "It went on.",
        "[>] Mend it",
        "criterion: It holds",
        "`make test`: done",
        "They are done: do not make them again.",
        "- a.py",
    ] {
        assert!(text.contains(wanted), "{wanted} in:\n{text}");
    }
    let opening = play.session.items().len() - items.len();
    assert_eq!(play.session.items()[opening..], items);
    assert!(opening > 0, "brief and facts open the new prompt");
    assert_eq!(play.session.used.model_calls, 3, "the summary is a model call");
    assert!(matches!(play.step(), Step::Call { .. }));
}

#[test]
fn it_leaves_under_half_of_the_window_whatever_the_window() {
    for window in [8_000, 32_000, 200_000] {
        let mut play = Play::planned(json!({ "request": "long ".repeat(100_000) }));
        play.facts.window_tokens = window;
        for round in 0..60 {
            let text = format!("{round}: {}", "words of a person ".repeat(200));
            play.record(EventData::MessageUser { text, author: "a".into(), user: None, on_busy: OnBusy::Steer }, None);
            play.turn(shell(&format!("make {round} {}", "x".repeat(500))), ToolOutcome::Ok, &"y".repeat(5_000));
            if round % 10 == 9 {
                let items = compact(&mut play, Some(&"summary ".repeat(50_000)));
                let tokens = compact::tokens_of(&play.session, None, &items);
                assert!(tokens * 2 < window, "{tokens} of {window}");
                assert!(text_has(&items, &format!("{round}: words")), "the newest words are there");
                play.session.calls.clear();
            }
        }
    }
}

fn text_has(items: &[Item], wanted: &str) -> bool {
    items.iter().any(|item| matches!(item, Item::User { text } if text.contains(wanted)))
}

#[test]
fn a_transcript_fits_and_keeps_the_summary_before_it() {
    let mut play = full();
    play.step();
    compact(&mut play, Some("THE FIRST SUMMARY"));
    for round in 0..40 {
        play.turn(shell(&format!("ls {round}")), ToolOutcome::Ok, &"z".repeat(2_000));
        play.session.compactions_in_row = 0;
    }
    for halvings in 0..4 {
        let text = compact::transcript(play.session.items(), &play.facts, halvings);
        assert!(text.len() <= (8_000 * 4 * 6 / 10) >> halvings << 1, "{halvings}: {}", text.len());
        assert!(text.contains("THE FIRST SUMMARY") && text.contains("ls 39"), "{halvings}");
        assert!(text.contains("[Earlier parts are left out.]"));
    }
}

#[test]
fn one_that_does_not_help_is_repeated_smaller_and_then_the_run_ends() {
    let mut play = full();
    let mut sizes = Vec::new();
    for _ in 0..3 {
        assert!(matches!(play.step(), Step::Compact { .. }));
        let items = compact(&mut play, Some(&"s".repeat(100_000)));
        sizes.push(compact::tokens_of(&play.session, None, &items));
        // The provider counts otherwise: still too long.
        let reason = "too long".to_owned();
        play.record(
            EventData::ModelRetried {
                attempt: 1,
                reason,
                delay_ms: 0,
                overflowed: true,
                next_model: None,
                broke_off: false,
            },
            None,
        );
    }
    assert!(sizes[0] > sizes[1] && sizes[1] > sizes[2], "{sizes:?}");
    let Step::Finish { end, .. } = play.step() else { panic!("the run ends") };
    let error = end.error.unwrap();
    assert_eq!(error.code, ErrorCode::Stuck);
    assert!(error.message.contains("does not fit"), "{}", error.message);
}

#[test]
fn a_retry_goes_back_to_before_the_compaction() {
    let mut play = full();
    play.step();
    compact(&mut play, None);
    play.record(EventData::TaskStatus { status: Status::Failed, waiting_for: None, error: None }, None);
    play.record(EventData::TaskControl { action: Control::Retry, author: "a".into() }, None);
    assert!(play.session.items().is_empty(), "the run began with nothing: {:?}", play.session.items());
    assert_eq!(play.session.inputs.len(), 1, "the request is to be shown again");
}

#[test]
fn a_run_that_did_not_fit_can_be_tried_again() {
    for action in [Control::Retry, Control::Resume] {
        let mut play = full();
        for _ in 0..3 {
            play.step();
            compact(&mut play, None);
            let reason = "too long".to_owned();
            let data = EventData::ModelRetried {
                attempt: 1,
                reason,
                delay_ms: 0,
                overflowed: true,
                next_model: None,
                broke_off: false,
            };
            play.record(data, None);
        }
        assert!(matches!(play.step(), Step::Finish { .. }), "{action:?}");
        let run = play.session.run + 1;
        play.record_in(run, EventData::TaskControl { action, author: "a".into() });
        play.status(Status::Queued);
        play.status(Status::Running);
        assert!(matches!(play.step(), Step::Call { .. }), "{action:?}");
    }
}

/// A task whose brief was made for a large window, after another model has taken over.
fn taken_over(turns: usize) -> Play {
    let mut play = Play::planned(json!({ "request": "Mend add." }));
    play.brief = "# The repository\n".to_owned() + &"a line of the brief\n".repeat(2_500);
    play.layers = vec!["# The operator\n".to_owned() + &"a line of the operator\n".repeat(400)];
    for _ in 0..turns {
        play.turn(shell("make test"), ToolOutcome::Ok, "1 failed");
    }
    let step = play.step();
    assert!(matches!(step, Step::Call { .. }), "{step:?}");
    let data = EventData::ModelRetried {
        attempt: 0,
        reason: "gone".into(),
        delay_ms: 0,
        overflowed: false,
        next_model: Some("small".into()),
        broke_off: false,
    };
    play.record(data, None);
    play.facts.window_tokens = 8_000;
    play
}

#[test]
fn a_model_with_a_smaller_window_that_takes_over_is_given_what_of_the_opening_it_has_room_for() {
    let mut play = taken_over(0);
    assert!(matches!(play.step(), Step::Compact { .. }), "before the first reply too");
    let items = compact::replacement(&play.session, &play.facts, None, &[]);
    assert_eq!(items, [Item::User { text: "Mend add.".to_owned() }], "there is no work to tell of");
    let opening = compact::opening(&play.session, &play.facts).expect("it does not fit whole");
    let text = text(&opening);
    for wanted in ["# The repository", "# The operator", "does not fit this model's window", "# This task"] {
        assert!(text.contains(wanted), "{wanted} in:\n{text}");
    }
    let tokens = compact::tokens_of(&play.session, Some(&opening), &items);
    assert!(tokens < 8_000 * 3 / 10, "{tokens} of 8,000 tokens");
    let data = EventData::Compaction {
        tokens_before: play.session.context_estimate(),
        tokens_after: tokens,
        usage: TokenUsage::default(),
        cost_usd: None,
        summarised: false,
    };
    play.record(data, Some(Private::Compaction { items: items.clone(), opening: Some(opening.clone()) }));
    assert_eq!(play.session.items(), [opening, items].concat());
    assert!(matches!(play.step(), Step::Call { .. }));

    let play = taken_over(2);
    assert!(compact::opening(&play.session, &play.facts).is_some());
    let mut large = taken_over(2);
    large.facts.window_tokens = 128_000;
    assert_eq!(compact::opening(&large.session, &large.facts), None, "what fits stays whole");
    assert!(matches!(large.step(), Step::Call { .. }));
}
