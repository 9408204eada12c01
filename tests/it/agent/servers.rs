//! Calls of MCP servers' tools in the pure loop: what needs a plan, what runs beside its like, and what a
//! crash leaves in doubt.

use super::play::Play;
use journeyman::{
    agent::Step,
    domain::{
        EventData,
        mcp::McpTool,
        tool::{ToolEffect, ToolOutcome},
    },
};
use serde_json::json;

fn tool(name: &str, reads: bool) -> McpTool {
    McpTool { name: name.to_owned(), server: "box".to_owned(), tool: name.to_owned(), reads }
}

fn call(name: &str) -> (&str, String) {
    (name, "{}".to_owned())
}

/// A task with one tool of a server that reads and one that may do anything, before its first reply.
fn play(mut play: Play) -> Play {
    play.step();
    let briefed = play.session.briefed.as_mut().unwrap();
    briefed.mcp = vec![tool("mcp__box__look", true), tool("mcp__box__write", false)];
    play
}

/// Names and states of the calls that are run together.
fn run(step: Step) -> Vec<String> {
    let Step::RunTools { calls, .. } = step else { panic!("tools are run, not {step:?}") };
    calls.into_iter().map(|call| call.tool).collect()
}

#[test]
fn tools_that_may_act_need_a_plan_and_are_in_doubt_after_a_crash() {
    let mut play = play(Play::planned(json!({})));
    play.reply(
        "",
        &[call("mcp__box__look"), call("mcp__box__look"), call("mcp__box__write"), call("mcp__other__look")],
    );
    assert_eq!(run(play.step()), ["mcp__box__look", "mcp__box__look"], "what reads runs side by side");
    assert_eq!(play.session.in_doubt(), [], "what reads is run again");
    play.answer(ToolOutcome::Ok, "a");
    assert_eq!(run(play.step()), ["mcp__box__write"], "what acts runs alone");
    let doubted: Vec<String> = play.session.in_doubt().into_iter().map(|call| call.tool).collect();
    assert_eq!(doubted, ["mcp__box__write"]);
    assert!(play.session.dirty, "it may have changed files");
    assert_eq!(
        play.session.effect("mcp__other__look"),
        ToolEffect::Reads,
        "a tool that was not given is only answered"
    );
}

#[test]
fn without_a_plan_and_in_questions_tools_that_may_act_are_denied() {
    for (changes, words) in [(json!({}), "plan first"), (json!({ "mode": "answer" }), "this task changes nothing")] {
        let mut play = play(Play::new(changes));
        play.reply("", &[call("mcp__box__write"), call("mcp__box__look")]);
        assert_eq!(run(play.step()), ["mcp__box__look"]);
        let denied = play.log.iter().rev().find_map(|(event, _)| match &event.data {
            EventData::ToolCompleted { outcome: ToolOutcome::Denied, output, .. } => Some(output.clone()),
            _ => None,
        });
        assert!(denied.unwrap().contains(words), "{words}");
    }
}
