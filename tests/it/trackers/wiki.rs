//! Markdown as Jira's wiki markup.

use journeyman::trackers::voice::wiki::from_markdown;
use std::time::{Duration, Instant};

#[test]
fn markdown_becomes_wiki_markup() {
    for (markdown, wiki) in [
        ("# Done\n\n### Checks ###", "h1. Done\n\nh3. Checks"),
        ("**bold**, *slanted*, __bold__, _slanted_, ~~gone~~", "*bold*, _slanted_, *bold*, _slanted_, -gone-"),
        ("***both*** and **bold *and* slanted**", "_*both*_ and *bold _and_ slanted*"),
        ("in**side**words", "in{*}side{*}words"),
        ("run `make test`", "run {{make test}}"),
        ("`` a`b ``", "{{a`b}}"),
        ("`*x* [y] {z}`", "{{\\*x* \\[y\\] \\{z\\}}}"),
        ("[the task](https://example.org/t/1)", "[the task|https://example.org/t/1]"),
        ("[**it**](https://example.org/a_(b) \"title\")", "[*it*|https://example.org/a_(b)]"),
        ("[it](docs/it.md) and [x](javascript:alert)", "it and x"),
        ("![a picture](https://example.org/x.png)", "[a picture|https://example.org/x.png]"),
        ("[![badge](https://example.org/b.svg)](https://example.org)", "[badge|https://example.org]"),
        (
            "see <https://example.org/_x_>, https://example.org/-a_b/~c.",
            "see https://example.org/_x_, https://example.org/-a_b/~c.",
        ),
        ("- one\n- two\n  - inner\n    1. deep\n- three", "* one\n* two\n** inner\n**# deep\n* three"),
        ("1. one\n\n2. two\n   goes on\n\nafter", "# one\n# two\ngoes on\n\nafter"),
        ("- [x] done\n- [ ] open", "* ☑ done\n* ☐ open"),
        ("| check | came |\n|---|:-:|\n| `a\\|b` | ok |\n| c | |\n\nx", "||check||came||\n|{{a\\|b}}|ok|\n|c| |\n\nx"),
        ("a | b\n---", "a \\| b\n----"),
        ("> said\n> - before\n\nnow", "{quote}\nsaid\n* before\n{quote}\n\nnow"),
        ("```python\nx = a[0] # **no**\n```", "{code:python}\nx = a[0] # **no**\n{code}"),
        ("```rust\nlet {noformat} = 1;\n```\nx", "{noformat}\nlet { noformat} = 1;\n{noformat}\nx"),
        ("~~~\n```\n", "{noformat}\n```\n{noformat}"),
        ("```", "{noformat}\n{noformat}"),
        ("a\n\n---\n\nb", "a\n\n----\n\nb"),
        ("<details>\n<summary>Plan</summary>\n\n- one\n\n</details>\n\nend", "*Plan*\n\n* one\n\nend"),
        ("<!-- hidden -->\nseen<br>and", "seen\\\\ and"),
    ] {
        assert_eq!(from_markdown(markdown), wiki, "{markdown}");
    }
}

#[test]
fn a_text_stays_a_text() {
    for (markdown, wiki) in [
        ("snake_case_name 3 * 4 * 5 a-b 1+1", "snake_case_name 3 * 4 * 5 a-b 1+1"),
        ("[~accountid:557058:ada] {color:red}", "\\[\\~accountid:557058:ada\\] \\{color:red\\}"),
        ("call f(x) (/) :) --force !x.png! ??who??", "call f\\(x) \\(/) :\\) \\-\\-force \\!x.png! \\??who\\??"),
        ("\\*as it is\\* and \\# C:\\\\dir", "\\*as it is* and # C:\\dir"),
        ("**not closed and `neither", "\\*\\*not closed and `neither"),
        ("2 ** 3 ** 4", "2 \\** 3 \\** 4"),
        ("+added+ ^up^ ~down~", "\\+added+ \\^up^ \\~down~"),
    ] {
        assert_eq!(from_markdown(markdown), wiki, "{markdown}");
    }
}

#[test]
fn what_is_nested_without_end_is_converted_in_no_time() {
    for unit in ["*a", "**`a", "[", "> ", "a``b`", "*[a](", "_*", "- ", "|"] {
        let text = [unit.repeat(10_000), unit.repeat(3_990 / unit.len())].join("\n").repeat(4);
        let begun = Instant::now();
        assert!(!from_markdown(&text).is_empty(), "{unit}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{unit}: {:?}", begun.elapsed());
    }
}
