//! The steps before the first model call: the repository is opened, the prompt's head pinned, the
//! brief made, memory recalled.

use super::{
    drive::Driver,
    journal::{Flow, Halt, patiently},
    links,
    network::Network,
    outfit::Outfit,
    setup::Ready,
};
use crate::{
    agent::{prompt, rules},
    analysis::{self, BriefFile, BriefInput, symbols::Known},
    domain::{
        ErrorCode, EventData, Private,
        brief::Brief,
        event::{LOOP_VERSION, PromptHead, TreeDelta},
        task::RepositorySource,
        tool::ToolSpec,
    },
    llm, memory,
    tools::{self, ToolSet},
    workspace::{base::BaseEntry, repository::Base},
};
use std::collections::BTreeMap;

/// A file read for the brief, at most.
const BRIEF_FILE_BYTES_MAX: u64 = 256 << 10;
/// The tools that change files, of which a model may be given one.
const EDITORS: [&str; 2] = ["apply_patch", "edit"];
/// Commits of history that the brief is given.
const HISTORY: usize = 10;

impl Driver {
    /// Opens the repository and makes the brief; the working copy is laid out meanwhile.
    pub(super) async fn analyse(&mut self) -> Result<Flow, Halt> {
        let base = match self.copy.resolve(&self.journal.session, None).await {
            Ok(base) => base,
            Err(Halt::Repository(error)) => {
                let code =
                    if error.is_remote() { ErrorCode::RepositoryUnreachable } else { ErrorCode::WorkspaceFailed };
                let text = self.redactor.redact(&error.public_message()).into_owned();
                return self.fail(code, text).await;
            }
            Err(other) => return Err(other),
        };
        self.boundary()?;
        let prepared = match self.set_up(&base).await? {
            Ready::Go(told) => told,
            Ready::Failed(why) => return self.fail(ErrorCode::WorkspaceFailed, why).await,
            Ready::CutShort => return Ok(Flow::On),
        };
        let outfit = Outfit::of(&self.journal.session);
        let network = Network::of(&self.journal.session, self.copy.uses());
        self.copy.start(base.clone(), TreeDelta::default(), true, outfit, network);
        let (offers_skills, list, skills) = self.skills(&base).await?;
        let layers = self.layers().await?;
        // One budget for tools, skills, memories and brief: servers' tools take what leaves the least to the brief, and
        // it what is left.
        let window_tokens = self.facts().window_tokens;
        let (mut tools, instructions) = self.tools(offers_skills);
        let bytes = |tools: &[ToolSpec]| tools.iter().map(ToolSpec::bytes).sum::<usize>();
        let others = list.len() + self.deps.recall.budget_bytes(window_tokens);
        let room = analysis::room_bytes(window_tokens, bytes(&tools) + others);
        let mcp = self.mcp_tools(room.saturating_sub(analysis::BRIEF_BYTES_MIN)).await?;
        tools.extend(mcp.specs);
        let room = analysis::room_bytes(window_tokens, bytes(&tools) + others);
        let head = self.head(&tools, instructions).await?;
        let mut brief = self.brief(&base, room).await?;
        brief.text.push_str(&list);
        let spec = &self.journal.session.spec;
        let checks = if spec.checks.is_empty() { &brief.checks } else { &spec.checks };
        let facts = prompt::facts(spec, checks, &brief.prohibitions) + prompt::asks(spec.approval) + &prepared;
        let private = Private::Brief {
            head,
            text: self.redactor.redact_known(&brief.text).into_owned(),
            base_tree: base.tree.clone(),
            packages: brief.packages,
            prohibitions: brief.prohibitions,
            facts: Some(facts),
            rules: rules::pinned(self.journal.session.spec.approval, &self.deps.rules),
            instructions: layers.texts,
            mcp: mcp.tools,
            loop_version: LOOP_VERSION,
        };
        let data = EventData::BriefReady {
            commit: base.commit.clone(),
            languages: brief.languages,
            conventions: brief.conventions,
            checks: brief.checks,
            files: brief.files,
            instructions: layers.versions,
            skills,
            mcp: mcp.found,
        };
        self.journal.record(data, Some(private));
        Ok(Flow::On)
    }

    async fn brief(&self, base: &Base, room_bytes: usize) -> Result<Brief, Halt> {
        let symbols = self.symbols(base, &files_of(&base.entries())).await;
        let contents = self.manifests(base).await?;
        let history: Vec<String> = base.history().lines().take(HISTORY).map(str::to_owned).collect();
        let programs = self.deps.sandboxes.programs().await;
        let request = self.journal.session.spec.request.clone();
        let samples = match &symbols {
            Some(symbols) => self.samples(base, symbols, &request).await,
            None => BTreeMap::new(),
        };
        let (base, window_tokens) = (base.clone(), self.facts().window_tokens);
        // Ranking thousands of files takes a while: not on a thread that serves others.
        let made = tokio::task::spawn_blocking(move || {
            let programs: Vec<&str> = programs.iter().map(String::as_str).collect();
            let entries = base.entries();
            let input = BriefInput {
                files: &files_of(&entries),
                contents: &contents,
                request: &request,
                window_tokens,
                room_bytes: Some(room_bytes),
                history: &history,
                programs: (!programs.is_empty()).then_some(programs.as_slice()),
            };
            let known = symbols.as_deref().map(|symbols| Known { symbols, samples: &samples });
            analysis::brief_with(&input, known)
        });
        made.await.map_err(|error| Halt::Disk(std::io::Error::other(error)))
    }

    /// The contents that the brief reads, by path.
    pub(super) async fn manifests(&self, base: &Base) -> Result<BTreeMap<String, Vec<u8>>, Halt> {
        let wanted = {
            let entries = base.entries();
            let mut wanted: Vec<String> =
                analysis::wanted(&files_of(&entries)).into_iter().map(str::to_owned).collect();
            wanted.retain(|path| {
                let found = entries.binary_search_by(|entry| (*entry.path).cmp(path));
                found.is_ok_and(|at| entries[at].size <= BRIEF_FILE_BYTES_MAX)
            });
            wanted
        };
        let (wanted, at): (Vec<String>, Vec<String>) =
            links::followed(&self.deps.repositories, base, wanted, BRIEF_FILE_BYTES_MAX).await?.into_iter().unzip();
        let read = self.deps.repositories.read_many(base, at).await?;
        Ok(wanted.into_iter().zip(read).filter_map(|(path, content)| Some((path, content?.to_vec()))).collect())
    }

    /// The tools that the model is given, those of servers not included, and the instructions.
    fn tools(&self, offers_skills: bool) -> (Vec<ToolSpec>, String) {
        let model = self.deps.models.get(&self.journal.session.spec.model);
        let window_tokens = self.facts().window_tokens;
        let mut specs = tools::specs_for_window(ToolSet::Work, window_tokens);
        if !self.journal.session.spec.source.outsider {
            specs.extend(tools::specs_for_window(ToolSet::Memory, window_tokens));
        }
        if offers_skills {
            specs.extend(tools::specs_for_window(ToolSet::Skills, window_tokens));
        }
        if self.journal.session.spec.asks_for_network() {
            specs.extend(tools::specs_for_window(ToolSet::Network, window_tokens));
        }
        specs.retain(|spec| model.is_none_or(|model| model.is_given(&spec.name)));
        let editors: Vec<String> =
            specs.iter().map(|spec| &spec.name).filter(|name| EDITORS.contains(&name.as_str())).cloned().collect();
        for spec in &mut specs {
            spec.description = with_editors(&spec.description, &editors);
        }
        (specs, with_editors(prompt::INSTRUCTIONS, &editors))
    }

    /// Instructions and tools by content, and what the settings say of the model: neither an upgrade nor
    /// other settings in mid-task change anything of them.
    async fn head(&self, tools: &[ToolSpec], instructions: String) -> Result<PromptHead, Halt> {
        let team = self.claimed.team;
        let model = self.deps.models.get(&self.journal.session.spec.model);
        let specs =
            serde_json::to_vec(tools).map_err(|_| crate::store::StoreError::corrupt("blobs", "content", "tools"))?;
        let bytes = (instructions.len() + specs.len()) as u64;
        Ok(PromptHead {
            bytes,
            instructions: self.deps.keep(team, self.claimed.task, instructions).await?,
            tools: self.deps.keep(team, self.claimed.task, specs).await?,
            form: model.map(llm::Model::form),
        })
    }

    /// Recalls the caller's memories and earlier tasks, once. Without a database's answer there is no task to run, so
    /// it is waited for.
    pub(super) async fn recall(&mut self) -> Result<(), Halt> {
        let base = self.copy.base(&self.journal.session).await?;
        let spec = &self.journal.session.spec;
        let (repository, on_default) = match &spec.repository {
            Some(RepositorySource::Git { url, reference }) => (Some(url.as_str()), reference.is_none()),
            _ => (None, false),
        };
        let entries = base.entries();
        let file = |path: &str| {
            let at = entries.binary_search_by(|entry| (*entry.path).cmp(path)).ok()?;
            Some(entries[at].oid.to_oid())
        };
        let wanted = memory::Wanted {
            team: self.claimed.team,
            user: self.claimed.user,
            task: self.claimed.task,
            repository,
            request: &self.redactor.redact_known(&spec.request),
            window_tokens: self.facts().window_tokens,
            on_default,
            file: &file,
        };
        let (recall, store) = (&self.deps.recall, &self.deps.store);
        let recalled = patiently(&self.deps.cut, || recall.recall(store, wanted)).await?;
        let text = self.redactor.redact_known(&recalled.text).into_owned();
        let memory::Recalled { memories, tasks, stale, embeddings, .. } = recalled;
        let data = EventData::MemoryUsed { memories, tasks, stale, embeddings };
        self.journal.record(data, Some(Private::Memory { text, forgotten: false }));
        Ok(())
    }
}

pub(super) fn files_of(entries: &[BaseEntry]) -> Vec<BriefFile<'_>> {
    entries.iter().map(|entry| BriefFile { path: &entry.path, size: entry.size }).collect()
}

/// `text` as it reads for a model that is given only one of the editing tools.
fn with_editors(text: &str, given: &[String]) -> String {
    match given {
        [only] => text.replace("`apply_patch` or `edit`", &format!("`{only}`")).replace("apply_patch or edit", only),
        _ => text.to_owned(),
    }
}
