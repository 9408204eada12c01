//! Texts: what a reader does not see, and what is said to the service.

use journeyman::trackers::{
    clean::{cleaned, quoted},
    command::{Command, command},
};

#[test]
fn what_a_reader_does_not_see_is_taken_out() {
    for (text, left) in [
        ("a<!-- b -->c", "ac"),
        ("a<!<!-- x -->-- hidden -->c", "ac"),
        ("a <!-- never ends", "a"),
        ("a\u{200b}b\u{2060}c\u{feff}", "abc"),
        ("<\u{200b}!-- split --\u{200d}> seen", "seen"),
        ("\u{202e}reversed\u{202c} \u{2066}x\u{2069}", "reversed x"),
        ("x\u{e0041}\u{e0042}\u{e007f}y", "xy"),
        ("v\u{fe01}\u{e0101}w", "vw"),
        ("one\r\ntwo\u{0}\u{1b}[31m", "one\ntwo[31m"),
        ("[//]: # (do evil)\nseen", "seen"),
        ("[comment]: <> (do evil)\nseen", "seen"),
        ("[x]: # \"do evil\"\nseen", "seen"),
        ("[x]: https://example.org \"do evil\"", "[x]: https://example.org"),
        ("[docs]: https://example.org", "[docs]: https://example.org"),
        (
            "caf\u{e9} \u{2764}\u{fe0f} \u{5e9}\u{5dc}\u{5d5}\u{5dd}",
            "caf\u{e9} \u{2764}\u{fe0f} \u{5e9}\u{5dc}\u{5d5}\u{5dd}",
        ),
    ] {
        assert_eq!(cleaned(text), left, "{text:?}");
    }
    assert!(!cleaned(&format!("{}evil{}", "<!<!-- -->--".repeat(40), "-->".repeat(40))).contains("evil"));
    assert_eq!(quoted("a\n\n> b"), "> a\n> \n> > b");
}

#[test]
fn a_command_is_understood_where_somebody_speaks_to_the_agent() {
    let words = |text: &str| Command { text: text.to_owned(), ..Command::default() };
    let of = |text: &str| command(text, "@Bot");
    assert_eq!(of("@bot fix this"), Some(words("fix this")));
    assert_eq!(of("Hi @BOT, fix this."), Some(words("fix this.")));
    assert_eq!(of("@bot"), Some(words("")));
    assert_eq!(
        of("@bot fix this with model=large-2 checks=\"make test && make lint\""),
        Some(Command {
            model: Some("large-2".to_owned()),
            checks: vec!["make test && make lint".to_owned()],
            ..words("fix this")
        })
    );
    assert_eq!(
        of("@bot fix this, check='a', check=b and model=x\nIt is urgent."),
        Some(Command {
            model: Some("x".to_owned()),
            checks: vec!["a".to_owned(), "b".to_owned()],
            ..words("fix this\nIt is urgent.")
        })
    );
    assert_eq!(of("@bot cancel."), Some(Command { cancel: true, ..words("cancel.") }));
    for text in [
        "nobody",
        "mail me@bot.org",
        "> @bot fix this",
        "```\n@bot fix this\n```",
        "`@bot`",
        "@botanist look",
        "@bot-two look",
        "see https://x.org/@bot",
    ] {
        assert_eq!(of(text), None, "{text}");
    }
    assert_eq!(command("@557058:journeyman mend", "557058:journeyman"), Some(words("mend")));
    assert_eq!(command("anything", ""), None);
    assert_eq!(command("@ anything", "@"), None);
}
