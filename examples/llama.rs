//! Speaks over all three wires to a real model server that nobody here wrote: llama.cpp's.
//!
//! `cargo run --example llama -- LLAMA_SERVER MODEL.gguf`, or `make test-llama`, which gets both
//! first. It checks what a scripted server cannot prove: that real streams decode, that usage
//! comes, that cached tokens really grow with the prefix, that a server which dies in mid-stream
//! is told for what it is and a restarted one is used again, and that a prompt beyond the window
//! is recognised. It does not judge what the model says: the model is tiny.

use anyhow::{Context, Result, bail, ensure};
use journeyman::{
    domain::{Item, item::Wire, tool::ToolSpec},
    llm::{Attribution, Call, Client, ClientSettings, Completed, Conversation, Live, Model, ModelError, Retries},
};
use std::{
    env,
    io::Write,
    net::{Ipv4Addr, TcpListener},
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

const WIRES: [Wire; 3] = [Wire::Responses, Wire::Chat, Wire::Messages];
const WINDOW_TOKENS: u32 = 4_096;

/// llama.cpp's server as a child, ended with the value.
struct Llama {
    program: String,
    gguf: String,
    port: u16,
    child: Child,
}

impl Llama {
    async fn start(program: &str, gguf: &str) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let child = spawn(program, gguf, port)?;
        let llama = Self { program: program.to_owned(), gguf: gguf.to_owned(), port, child };
        llama.ready().await?;
        Ok(llama)
    }

    async fn restart(&mut self) -> Result<()> {
        self.child.kill().await?;
        self.child = spawn(&self.program, &self.gguf, self.port)?;
        self.ready().await
    }

    async fn ready(&self) -> Result<()> {
        #[expect(clippy::disallowed_methods, reason = "a plain client, to look whether the server is up")]
        let http = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://127.0.0.1:{}/health", self.port);
        let up = async {
            while !http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(120), up).await.context("llama-server is not up after two minutes")
    }

    fn model(&self, wire: Wire) -> Result<Model> {
        let url = format!("http://127.0.0.1:{}/v1", self.port).parse()?;
        let mut model = Model::new("llama", wire, url, None);
        model.body.insert("temperature".to_owned(), 0.into());
        model.retries = Retries { attempts: 0, ..Retries::default() };
        Ok(model)
    }
}

#[expect(clippy::disallowed_methods, reason = "this test starts the server that it speaks to")]
fn spawn(program: &str, gguf: &str, port: u16) -> Result<Child> {
    Command::new(program)
        .args(["-m", gguf, "--jinja", "--host", "127.0.0.1", "--port", &port.to_string()])
        .args(["-c", &WINDOW_TOKENS.to_string(), "-np", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {program}"))
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn user(text: &str) -> Item {
    Item::User { text: text.to_owned() }
}

fn started(model: &Model, first: &str) -> Conversation {
    let instructions = "You are a careful assistant. Answer each question in plain English. ".repeat(12);
    let mut conversation = Conversation::new(model, &instructions, &[]);
    conversation.push(&Item::Developer { text: "The answers are read by a person.".to_owned() });
    conversation.push(&user(first));
    conversation
}

async fn ask(
    model: &Model,
    conversation: &Conversation,
    turn: u32,
    max_output_tokens: u32,
    live: impl FnMut(Live) + Send,
) -> Result<Completed, ModelError> {
    let client = Client::new(ClientSettings::default())?;
    client
        .call(
            model,
            conversation,
            Call {
                cache_key: "llama",
                share: "",
                by: Attribution { task: "llama", team: "", user: "" },
                turn,
                max_output_tokens,
                repeats_max: 0,
            },
            live,
        )
        .await
}

/// Three turns: streaming, counts, and a cache that holds what went before.
async fn converse(llama: &Llama, wire: Wire) -> Result<()> {
    let model = llama.model(wire)?;
    let mut conversation = started(&model, "Which colours does the rainbow have?");
    let mut before = 0;
    for turn in 1..=3 {
        let (mut shown, mut pieces) = (String::new(), 0);
        let live = |piece| {
            if let Live::Text(text) = piece {
                shown.push_str(&text);
                pieces += 1;
            }
        };
        let completed = ask(&model, &conversation, turn, 48, live).await?;
        let (reply, usage) = (completed.reply, completed.usage);
        ensure!(pieces > 1, "the reply came in {pieces} pieces: it was not streamed");
        ensure!(shown == reply.text && !reply.text.is_empty(), "what was shown is not the reply");
        ensure!(
            completed.usage_reported && usage.input_tokens > 100 && usage.output_tokens > 1,
            "no counts: {usage:?}"
        );
        let (cached, input) = (usage.cached_input_tokens, usage.input_tokens);
        say(&format!(
            "  turn {turn}: {pieces} pieces, {input} tokens in, {cached} of them cached, {} out",
            usage.output_tokens
        ))?;
        // The template may write the end of the earlier prompt otherwise; the bulk must be there.
        ensure!(turn == 1 || cached * 10 >= before * 9, "{cached} cached, but the prompt before had {before} tokens");
        before = input;
        conversation.push(&Item::Reply(reply));
        conversation.push(&user("And which of them comes next?"));
    }
    Ok(())
}

/// A request with tools is accepted, whatever the model makes of it.
async fn offer_tools(llama: &Llama, wire: Wire) -> Result<()> {
    let model = llama.model(wire)?;
    let parameters = r#"{"properties":{"command":{"type":"string"}},"required":["command"],"type":"object"}"#;
    let (name, description) = ("shell".to_owned(), "Runs a command.".to_owned());
    let tool = ToolSpec { name, description, parameters: parameters.to_owned() };
    let mut conversation = Conversation::new(&model, "Use the tool.", &[tool]);
    conversation.push(&user("List the files."));
    let reply = ask(&model, &conversation, 1, 64, |_| ()).await?.reply;
    say(&format!("  with tools: {} calls, {} bytes of text, cut: {}", reply.calls.len(), reply.text.len(), reply.cut))
}

/// The server dies while it speaks: cut off; and where tries are left, its successor answers.
async fn kill_in_mid_stream(llama: &mut Llama, wire: Wire) -> Result<()> {
    let mut model = llama.model(wire)?;
    let conversation = started(&model, "Tell a long story about a river.");
    for attempts in [0, 20] {
        model.retries = Retries { attempts, first_delay_ms: 300, max_delay_ms: 500, max_wait_ms: 60_000 };
        let (killer, mut killed) = tokio::sync::mpsc::unbounded_channel();
        let (mut resets, mut retries) = (0, 0);
        let live = |piece| match piece {
            Live::Text(_) => {
                let _ = killer.send(());
            }
            Live::Reset => resets += 1,
            Live::Retry { .. } => retries += 1,
            _ => {}
        };
        let calling = ask(&model, &conversation, 1, 400, live);
        let killing = async {
            killed.recv().await;
            llama.restart().await
        };
        let (outcome, restarted) = tokio::join!(calling, killing);
        restarted?;
        match (attempts, outcome) {
            (0, Err(ModelError::CutOff)) => {}
            (20, Ok(completed)) if resets == 1 && retries > 0 => {
                say(&format!("  killed in mid-stream: {retries} retries, then {} bytes", completed.reply.text.len()))?;
            }
            (_, outcome) => bail!("after the kill ({attempts} retries left): {outcome:?}, {resets} resets"),
        }
    }
    Ok(())
}

async fn overflow(llama: &Llama, wire: Wire) -> Result<()> {
    let model = llama.model(wire)?;
    let conversation = started(&model, &"many words that do not fit ".repeat(2_000));
    match ask(&model, &conversation, 1, 16, |_| ()).await {
        Err(ModelError::ContextTooLong) => Ok(()),
        other => bail!("a prompt beyond the window gave {other:?}"),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [program, gguf] = arguments.as_slice() else { bail!("usage: llama LLAMA_SERVER MODEL.gguf") };
    let mut llama = Llama::start(program, gguf).await?;
    for wire in WIRES {
        say(&format!("{wire:?}"))?;
        converse(&llama, wire).await.with_context(|| format!("{wire:?}: a conversation"))?;
        offer_tools(&llama, wire).await.with_context(|| format!("{wire:?}: tools"))?;
        overflow(&llama, wire).await.with_context(|| format!("{wire:?}: overflow"))?;
        kill_in_mid_stream(&mut llama, wire).await.with_context(|| format!("{wire:?}: a kill"))?;
    }
    say("llama.cpp: all three wires hold")
}
