//! What one random task does: the model's lines, what people do and when, where its worker falls. All of it follows
//! from a seed.

use serde_json::{Value, json};

/// The first numbers of a seed (splitmix64, Steele, Lea and Flood 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn percent(&mut self, of: u64) -> bool {
        self.below(100) < of
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }
}

/// What somebody does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    Say(&'static str),
    Cancel,
    /// It is resumed as soon as it rests.
    Pause,
    Resume,
    Retry,
    /// Another limit, by its name.
    Limit(&'static str, u64),
    /// Another task goes on from here with words of its own.
    Fork,
    /// The team's instructions change: for tasks that begin after.
    Instruct,
}

pub(super) struct Story {
    pub(super) seed: u64,
    /// As the scripted model has it.
    pub(super) scenario: Value,
    /// The task, but for its repository.
    pub(super) request: Value,
    /// Acts at the step boundaries of its workers, counted over all of them.
    pub(super) acts: Vec<(u32, Act)>,
    /// The boundaries at which its worker falls.
    pub(super) falls: Vec<u32>,
    /// What is done once it has ended.
    pub(super) after: Option<Act>,
    /// Whether people say yes.
    pub(super) agrees: bool,
}

impl Story {
    pub(super) fn of(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let count = 1 + dice.below(7);
        let mut sequence: Vec<Value> = (0..count).map(|_| line(&mut dice)).collect();
        if dice.percent(80) {
            sequence.push(json!({ "text": "Done." }));
        }
        let mut rules = vec![json!({ "when": { "tools": false }, "reply": { "text": "It went as it went." } })];
        let model = dice.one_of(&["responses", "responses", "responses", "chat", "messages", "narrow", "falls"]);
        if model == "falls" {
            rules.push(json!({ "when": { "model": "falls", "turn": { "min": dice.below(3) } }, "fault": "503" }));
        }
        let mode = dice.one_of(&["answer", "answer", "auto", "change", "plan"]);
        let mut request = json!({
            "request": format!("See to it. [scenario: r{seed}]"), "mode": mode, "model": model,
            "limits": { "turns": 4 + dice.below(9), "refinements": dice.below(2) },
        });
        if dice.percent(60) {
            request["checks"] = json!(["grep -q good calc.txt"]);
        }
        for (name, values) in [
            ("tokens", [json!(40_000), json!(90_000), json!(200_000)]),
            ("cost_usd", [json!(0.02), json!(0.06), json!(0.2)]),
            ("wall_seconds", [json!(1), json!(3), json!(20)]),
        ] {
            if dice.percent(20) {
                request["limits"][name] = dice.one_of(&values);
            }
        }
        if dice.percent(25) {
            request["approval"] = json!(dice.one_of(&["plan", "plan", "on_risk", "always"]));
        }
        if dice.percent(10) {
            request["network"] = json!({ "mode": "allowlist", "hosts": ["example.com"] });
        }
        let mut acts: Vec<(u32, Act)> = Vec::new();
        for _ in 0..dice.one_of(&[0, 0, 0, 1, 1, 2]) {
            acts.push((1 + dice.below(20) as u32, act(&mut dice)));
        }
        acts.sort_by_key(|(at, _)| *at);
        let falls = (0..dice.one_of(&[0, 0, 0, 0, 1, 1, 2])).map(|_| 1 + dice.below(24) as u32).collect();
        let again = [Act::Say("steer"), Act::Retry, Act::Resume];
        let after = dice.percent(20).then(|| dice.one_of(&again));
        let agrees = dice.percent(60);
        // Dice of their own: older seeds stay the stories that they were.
        let mut more = Dice(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
        for _ in 0..more.one_of(&[0, 0, 1]) {
            let name = more.one_of(&["turns", "turns", "tokens", "wall_seconds", "refinements"]);
            let limits: &[u64] = match name {
                "turns" => &[1, 3, 20],
                "tokens" => &[20_000, 60_000, 400_000],
                "wall_seconds" => &[1, 5, 60],
                _ => &[0, 1, 2],
            };
            acts.push((1 + more.below(20) as u32, Act::Limit(name, more.one_of(limits))));
        }
        if more.percent(15) {
            acts.push((1 + more.below(20) as u32, Act::Fork));
        }
        if more.percent(10) {
            acts.push((1 + more.below(20) as u32, Act::Instruct));
        }
        acts.sort_by_key(|(at, _)| *at);
        let scenario = json!({ "rules": rules, "sequence": sequence });
        Self { seed, scenario, request, acts, falls, after, agrees }
    }
}

fn act(dice: &mut Dice) -> Act {
    match dice.below(10) {
        0..=2 => Act::Say("steer"),
        3 | 4 => Act::Say("queue"),
        5 | 6 => Act::Say("interrupt"),
        7 | 8 => Act::Pause,
        _ => Act::Cancel,
    }
}

/// One reply.
fn line(dice: &mut Dice) -> Value {
    let calls: Vec<Value> = (0..dice.one_of(&[0, 1, 1, 1, 1, 2, 3])).map(|_| call(dice)).collect();
    let text = dice.one_of(&["", "", "Looking.", "\"ü€😀\"\\ \u{2028}", "I will now run the tests:"]);
    let mut line = json!({ "calls": calls, "text": text });
    if dice.percent(20) {
        line["reasoning"] = json!("Hm.");
    }
    if dice.percent(5) {
        line["cut"] = json!(true);
    }
    if dice.percent(20) {
        let faults = [
            "429; retry_after_seconds=0.01; times=1",
            "500; times=1",
            "503; times=9",
            "cut; after_events=2; times=1",
            "no_mark; times=1",
            "error_event; times=1",
            "empty",
            "length",
            "no_usage",
            "unknown_tool",
            "duplicate_call_ids",
            "context_length_exceeded; times=1",
        ];
        line["fault"] = json!(dice.one_of(&faults));
    }
    line
}

fn call(dice: &mut Dice) -> Value {
    let number = dice.below(3);
    let (tool, arguments) = match dice.below(16) {
        0 | 1 => ("read_file", json!({ "path": dice.one_of(&["calc.txt", "nothing.txt", "../x"]) })),
        2 => ("list_files", json!({})),
        3 => ("search", json!({ "pattern": dice.one_of(&["bad", "(", "none"]) })),
        4 | 5 => ("shell", json!({ "command": format!("echo {number}") })),
        6 => (
            "shell",
            json!({ "command": dice.one_of(&["echo good > calc.txt", "echo x >> calc.txt", "echo new > new.txt"]) }),
        ),
        7 => (
            "shell",
            json!({ "command": dice.one_of(&["false", "sleep 0.3", "rm -rf calc.txt", "head -c 60000 /dev/zero | tr '\\0' x"]) }),
        ),
        8..=10 => {
            let status = dice.one_of(&["pending", "in_progress", "completed"]);
            ("update_plan", json!({ "plan": [{ "step": "mend it", "status": status }] }))
        }
        11 => ("edit", json!({ "path": "calc.txt", "old": "bad", "new": "good" })),
        12 => {
            let patch = format!("*** Begin Patch\n*** Add File: added{number}.txt\n+one\n*** End Patch\n");
            ("apply_patch", json!({ "patch": patch }))
        }
        13 => ("ask_user", json!({ "questions": dice.one_of(&[json!([{ "question": "Which?" }]), json!("what?")]) })),
        14 => ("update_plan", json!({ "plan": "all of it" })),
        _ => ("launch", json!("{no json")),
    };
    json!({ "tool": tool, "arguments": arguments })
}
