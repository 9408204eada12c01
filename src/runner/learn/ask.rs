//! Asking the model: paid for before it goes out, counted whatever becomes of it, once more where its answer is none.

use super::{Stop, gather::Gathered};
use crate::{
    agent,
    domain::{Item, TaskId, event::ToolSpecs, learning::LearningOutcome, usage::TokenUsage},
    llm::{self, ModelError},
    memory::learning::{
        answer::{self, Candidate},
        question,
        sources::Source,
    },
    runner::deps::Deps,
    store::{
        StoreError,
        budgets::{self, Drawer, Drawn, nano},
        jobs::ClaimedJob,
        learnings::{self, Answered, Asking, Charge, Due, Limits},
        memory_learning,
    },
};

/// Calls that learning from one task may take, all times together.
const CALLS_MAX: i64 = 30;
/// Calls for one answer: the second with what was wrong with the first.
const TRIES: u32 = 2;
const OUTPUT_TOKENS_MAX: u32 = 4_000;
/// Characters of the sources that known memories are looked for with.
const QUERY_CHARS_MAX: usize = 10_000;
/// The prompt's part of the model's window, in hundredths.
const PROMPT_PERCENT: u64 = 60;

/// What one call came to.
enum Told {
    Reply(Box<llm::Completed>),
    /// To be tried again with less.
    TooLong,
}

/// The memories that the model would have; none is a good answer.
pub(super) async fn ask(deps: &Deps, job: &ClaimedJob, due: &Due, gathered: &Gathered) -> Result<Vec<Candidate>, Stop> {
    let model = deps.learning.model.as_ref().and_then(|name| deps.models.get(name));
    let Some(model) = model else { return Err(Stop::Fails("the model for it is not configured here".to_owned())) };
    let instructions = question::instructions();
    let mut sources = gathered.sources.as_slice();
    let known = known(deps, job, due, gathered).await?;
    let put = |sources: &[Source]| question::put_to(&gathered.about, sources, &known);
    let room = model.window_tokens * PROMPT_PERCENT / 100;
    let mut text = put(sources);
    while agent::tokens_at_most(&instructions) + agent::tokens_at_most(&text) > room && sources.len() > 1 {
        sources = &sources[..sources.len() / 2];
        text = put(sources);
    }
    let mut conversation = llm::Conversation::new(model, &instructions, &ToolSpecs::new());
    conversation.push(&Item::User { text: text.clone() });
    let mut said = agent::tokens_at_most(&instructions) + agent::tokens_at_most(&text);
    let mut errors = Vec::new();
    for attempt in 0..TRIES {
        let completed = match call(deps, job, due, gathered, model, &conversation, said).await? {
            Told::Reply(completed) => completed,
            Told::TooLong if attempt + 1 < TRIES && sources.len() > 1 => {
                sources = &sources[..sources.len() / 2];
                text = put(sources);
                conversation = llm::Conversation::new(model, &instructions, &ToolSpecs::new());
                conversation.push(&Item::User { text: text.clone() });
                said = agent::tokens_at_most(&instructions) + agent::tokens_at_most(&text);
                continue;
            }
            Told::TooLong => return Err(failed("what there is to learn from is too long for the model")),
        };
        let reply = completed.reply;
        errors = if reply.cut { vec!["it was cut off at its maximal length".to_owned()] } else { Vec::new() };
        if errors.is_empty() {
            match answer::read(&reply.text) {
                Ok(candidates) => return Ok(candidates),
                Err(wrong) => errors = wrong,
            }
        }
        let again = question::again(&errors);
        said += agent::tokens_at_most(&reply.text) + agent::tokens_at_most(&again);
        // A reply with calls wants their results, which nobody has.
        if reply.calls.is_empty() {
            conversation.push(&Item::Reply(reply));
        }
        conversation.push(&Item::User { text: again });
    }
    Err(failed(&format!("the model's answer does not count: {}", errors.join("; "))))
}

fn failed(why: &str) -> Stop {
    Stop::Ends(LearningOutcome::Failed, why.chars().take(500).collect())
}

/// What is remembered already and may be about the same.
async fn known(
    deps: &Deps,
    job: &ClaimedJob,
    due: &Due,
    gathered: &Gathered,
) -> Result<Vec<crate::domain::memory::Memory>, Stop> {
    let words: String = gathered.sources.iter().map(|source| source.text.as_str()).collect::<Vec<_>>().join("\n");
    let query: String = words.chars().take(QUERY_CHARS_MAX).collect();
    let mut tx = deps.store.team(job.team).await?;
    let user = gathered.sources.iter().find_map(|source| source.user).unwrap_or(due.user);
    let limit = question::KNOWN_MAX as u32 / 2;
    let mut known = memory_learning::alike(&mut tx, user, gathered.repository(), &query, limit).await?;
    for memory in &mut known {
        memory.text = gathered.redactor.redact(&memory.text).into_owned();
    }
    Ok(known)
}

/// One call. What it may cost is written down before it goes out, and stays so where its usage never comes.
async fn call(
    deps: &Deps,
    job: &ClaimedJob,
    due: &Due,
    gathered: &Gathered,
    model: &llm::Model,
    conversation: &llm::Conversation,
    prompt_tokens: u64,
) -> Result<Told, Stop> {
    let output_tokens = OUTPUT_TOKENS_MAX.min(model.max_output_tokens);
    let most = agent::aside_reservation(prompt_tokens, output_tokens.into(), model.prices);
    let reserved = Charge { nano_usd: most.cost_usd.map_or(0, nano), tokens: most.tokens };
    let off = || Stop::Waits("its model is switched off".to_owned());
    if deps.switches.is_off(&model.name) {
        return Err(off());
    }
    draw(deps, job, due, model, reserved).await?;
    let limits = Limits { calls: CALLS_MAX, tokens: deps.learning.task_tokens };
    match learnings::ask(&deps.store, job, &model.name, reserved, limits).await? {
        Asking::Goes => {}
        Asking::Over => {
            let why = "what learning from one task may take is taken";
            return Err(Stop::Ends(LearningOutcome::Skipped, why.to_owned()));
        }
        Asking::Fenced => return Err(Stop::Fenced),
    }
    let (task, team, user) = (due.task.to_string(), job.team.to_string(), due.user.to_string());
    let cache_key = format!("{task}:learning");
    let by = llm::Attribution { task: &task, team: &team, user: &user };
    let call = llm::Call {
        cache_key: &cache_key,
        turn: 1,
        share: &user,
        by,
        max_output_tokens: output_tokens,
        // Each try has an intent of its own.
        repeats_max: 0,
    };
    let asking = Box::pin(deps.client.call(model, conversation, call, |_| {}));
    // What is broken off may be charged for.
    let told = tokio::select! {
        told = tokio::time::timeout(deps.learning.timeout, asking) => told,
        () = deps.switches.off(&model.name) => return Err(off()),
    };
    let late = |_| Stop::Fails(format!("the model took longer than {:?}", deps.learning.timeout));
    let told = told.map_err(late)?;
    let none = Answered {
        model: &model.name,
        counted: false,
        reserved,
        charged: Charge::default(),
        usage: TokenUsage::default(),
        cost_usd: None,
        saved_usd: None,
    };
    let free = |told: Result<Told, Stop>| async {
        learnings::answered(&deps.store, job, &none).await?;
        told
    };
    match told {
        Ok(completed) => {
            if completed.usage_reported {
                let cost_usd = model.prices.map(|prices| prices.cost_usd(completed.usage));
                let charged = Charge { nano_usd: cost_usd.map_or(0, nano), tokens: completed.usage.total() };
                let (usage, saved_usd) = (completed.usage, llm::cache::saved_usd(model, completed.usage));
                let answered = Answered { counted: true, charged, usage, cost_usd, saved_usd, ..none };
                learnings::answered(&deps.store, job, &answered).await?;
            }
            Ok(Told::Reply(Box::new(completed)))
        }
        Err(ModelError::ContextTooLong) => free(Ok(Told::TooLong)).await,
        Err(error) => {
            let why = gathered.redactor.redact(&error.to_string()).into_owned();
            let stop = match &error {
                ModelError::Rejected { .. } => failed(&why),
                _ => Stop::Fails(why),
            };
            if error.may_have_cost() || matches!(error, ModelError::SpentUp) {
                return Err(stop);
            }
            free(Err(stop)).await
        }
    }
}

/// Draws what a call may cost from the shared budgets.
async fn draw(deps: &Deps, job: &ClaimedJob, due: &Due, model: &llm::Model, reserved: Charge) -> Result<(), Stop> {
    let caps = budgets::caps(&deps.store, job.team, due.user).await?;
    if caps.is_empty() {
        return Ok(());
    }
    if model.prices.is_none() {
        let why = "a budget in money is set, and the model has no price";
        return Err(Stop::Ends(LearningOutcome::Skipped, why.to_owned()));
    }
    let drawer = drawer(deps, job, due).await?;
    match budgets::draw(&deps.store, caps, drawer, (reserved.nano_usd, reserved.nano_usd)).await? {
        Drawn::Held(_) => Ok(()),
        Drawn::Refused { of, .. } => Err(Stop::Waits(format!("the budget of {of} has no room for it"))),
    }
}

/// Gives back what was drawn and not spent; to be called when nothing is being asked any more.
pub(super) async fn settle(deps: &Deps, job: &ClaimedJob, due: &Due) -> Result<(), StoreError> {
    let drawer = drawer(deps, job, due).await?;
    budgets::settle(&deps.store, drawer).await
}

/// A job draws like a task of its own.
async fn drawer(deps: &Deps, job: &ClaimedJob, due: &Due) -> Result<Drawer, StoreError> {
    let spent = learnings::charged(&deps.store, job).await?;
    Ok(Drawer { team: job.team, user: due.user, task: TaskId(job.id), spent })
}
