//! Last words that announce more, and those that end.

use journeyman::agent::{announces_more, ends_in_call};

const MORE: &[&str] = &[
    "I will now run the tests.",
    "I'll now update the parser:",
    "Next, I'll fix the failing test.",
    "Next I will add a test for the empty list.",
    "Let me run the tests.",
    "Let me check the file first:",
    "I found the bug in parse.rs. Let me fix it.",
    "The test fails because of the sign. Now I need to change `sub`:",
    "Now I'll implement the change.",
    "Now, let's look at the configuration.",
    "First, I need to read the file.",
    "I need to inspect `src/lib.rs` before I go on.",
    "I'm going to edit the file now.",
    "I am about to apply the patch.",
    "I’ll start by looking at the layout.",
    "Okay, let me see what is there.",
    "Then I will verify it by running the suite.",
    "The plan is clear.\n\nI'll begin with the parser.",
    "Steps so far are done.\n\n**Next, I will update the documentation:**",
    "So I should check the other callers…",
    "My next step is to run the linter.",
    "The next thing to do is to rename it.",
    "Time to write the fix.",
    "Now I can run the tests.",
    "- Next, I'll remove the dead code",
    "I'll proceed with the edit.",
    "I will continue with the second step.",
    "Let's run it again!",
    "I still need to update the tests.",
    "We need to fix the import.",
    "<tool_call>\n{\"name\": \"shell\", \"arguments\": {\"command\": \"ls\"",
    "I look.\n\n<function=shell>\n<parameter=command>ls",
    "[TOOL_CALLS]nothing{}",
];

const DONE: &[&str] = &[
    "",
    "Done.",
    "I fixed the bug and the tests pass.",
    "All tests pass now. Let me know if you need anything else.",
    "I've updated the parser. I can run the benchmarks as well if you like.",
    "The function returns the sum. You will need to restart the service.",
    "I will leave the other module as it is.",
    "I'll be happy to help further.",
    "Would you like me to run the tests?",
    "Should I continue with the second part?",
    "Let me know which one you want.",
    "The next step for you is to merge it.",
    "Now the tests pass.",
    "Next steps: merge the branch.",
    "I ran the tests; let me summarise: 12 passed.",
    "I will add more cases if you want them.",
    "In the log it says `Let me run the tests.` and then stops.",
    "The message is:\n\n> I will now run the tests.",
    "The script prints\n```\nI will now run the tests.\n```",
    "| step | words |\n| 1 | I will now run |",
    "Let me run the tests.\n\nThey pass: the bug is mended.",
    "I need to point out that the cache is not cleared.",
    "I should mention that the old name still works.",
    "Now I understand: the value was never set.",
    "First it reads the file, then it writes it back.",
    "I must admit that the cause is not known.",
    "It will run every night at two.",
    "So the answer is 42.",
    "We will see an error only where the list is empty, which `main` never passes.",
    "The template is `<tool_call>`.",
    "```\n<tool_call>{}</tool_call>\n```",
    "I can check the other callers in a follow-up.",
    "To try it, run `cargo test`.",
];

#[test]
fn words_that_announce_a_next_action_do() {
    for text in MORE {
        assert!(announces_more(text), "{text:?}");
    }
}

#[test]
fn words_that_end_or_ask_announce_nothing() {
    for text in DONE {
        assert!(!announces_more(text), "{text:?}");
    }
}

#[test]
fn only_the_last_words_count_however_long_the_text_is() {
    let long = "Let me run the tests. ü".repeat(10_000);
    assert!(!announces_more(&format!("{long}\n\nAll is done.")));
    assert!(announces_more(&format!("{long}\n\nI will now run them.")));
    assert!(!announces_more(&format!("Let me {}", "explain ".repeat(100))));
}

#[test]
fn a_text_that_ends_with_a_begun_call_is_told_from_one_that_shows_it() {
    let long = format!("<tool_call>\n{{\"name\": \"edit\", \"arguments\": {{\"new\": \"{}", "x\n\n".repeat(1_000));
    for text in [
        "<tool_call>{\"name\": \"nothing\", \"arguments\": {}}</tool_call>",
        "I fix the syntax error.\n<tool_call>\n{\"name\": \"shell\", \"arguments\": {broken}}\n</tool_call>\n",
        "I look.<tool_call>{\"name\": \"shell\"",
        "[TOOL_CALLS]nothing{}",
        "<function=shell>\n<parameter=command>\nls\n</parameter>\n</function>",
        &format!("{long}\"}}}}\n</tool_call>"),
    ] {
        assert!(ends_in_call(text), "{text:?}");
    }
    for text in [
        "",
        "Done.",
        "<tool_call>{\"name\": \"shell\"}</tool_call>\nThat is what the log had.",
        "The template is `<tool_call>`.",
        "The parser reads <tool_call>{}</tool_call>",
        "Line 3 is\n> <tool_call>{}</tool_call>",
        "```\n<tool_call>{}</tool_call>\n```",
        "The file ends with\n```text\n<tool_call>{}</tool_call>",
    ] {
        assert!(!ends_in_call(text), "{text:?}");
    }
}
