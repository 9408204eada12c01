//! Skills: which files may be some, what their front matter says, and the list of them in the prompt.
//!
//! The form is that of <https://agentskills.io/specification>: a folder with a `SKILL.md` that begins with YAML
//! between two lines `---`. Of it `name` and `description` are read, the rest is left to the model.

use super::{
    brief::{BriefFile, plain},
    read,
};
use crate::domain::skill::{SkillRef, SkillSource};
use std::fmt::Write;

/// Folders of the repository's root below which each folder may be a skill, the first go first.
const ROOTS: [&str; 3] = [".agents/skills", ".claude/skills", ".codex/skills"];
/// The file of a skill's folder that tells what it is.
pub const SKILL_FILE: &str = "SKILL.md";
/// Bytes of one file of a skill, at most.
pub const SKILL_FILE_BYTES_MAX: u64 = 64 << 10;
/// Skills of one source, at most.
pub const SKILLS_MAX: usize = 100;
/// Characters of a name and of a description, as the specification has them.
const NAME_CHARS_MAX: usize = 64;
const DESCRIPTION_CHARS_MAX: usize = 1_024;
/// Characters of a description in the list.
const LISTED_CHARS_MAX: usize = 300;
/// The list's part of the window, in hundredths of its bytes, and its bounds.
const WINDOW_PERCENT: u64 = 2;
const LIST_BYTES_MIN: usize = 400;
const LIST_BYTES_MAX: usize = 8_000;
/// Skills that are named as left out.
const BROKEN_TOLD_MAX: usize = 5;

/// What a skill says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skill {
    pub name: String,
    /// One line.
    pub description: String,
    /// Where its [`SKILL_FILE`] lies in the repository; empty for an operator's.
    pub path: String,
}

/// The skills of one source, sorted by name, and those that are none for what is wrong with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub skills: Vec<Skill>,
    /// Folder and fault.
    pub broken: Vec<(String, String)>,
}

impl Found {
    /// Takes in one folder's `SKILL.md`. Of two with the same name the first stays.
    pub fn add(&mut self, folder: &str, path: &str, content: Result<&[u8], &str>) {
        let shown = if path.is_empty() { folder } else { path };
        let read = content.map_err(str::to_owned).and_then(|content| skill(folder, content));
        match read {
            Err(fault) => self.broken.push((plain(shown, 120), fault)),
            Ok(_) if self.skills.iter().any(|known| known.name == folder) => {}
            Ok(skill) => self.skills.push(Skill { path: path.to_owned(), ..skill }),
        }
        self.skills.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

/// The files of a repository that should be a skill's [`SKILL_FILE`], each with its folder's name, in the order in
/// which they are taken.
pub fn candidates<'a>(files: &[BriefFile<'a>]) -> Vec<(&'a str, &'a str)> {
    let mut found: Vec<(usize, &str, &str)> = Vec::new();
    for file in files {
        let below = ROOTS.iter().enumerate().find_map(|(at, root)| Some((at, file.path.strip_prefix(root)?)));
        let Some((at, below)) = below else { continue };
        let mut parts = below.split('/');
        if let (Some(""), Some(folder), Some(SKILL_FILE), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        {
            found.push((at, folder, file.path));
        }
    }
    found.sort_unstable();
    found.into_iter().take(SKILLS_MAX).map(|(_, folder, path)| (folder, path)).collect()
}

/// Reads what the skill in `folder` says of itself. The error is a few words for people.
fn skill(folder: &str, content: &[u8]) -> Result<Skill, String> {
    if content.len() as u64 > SKILL_FILE_BYTES_MAX {
        return Err(format!("larger than {} KiB", SKILL_FILE_BYTES_MAX >> 10));
    }
    let text = std::str::from_utf8(content).map_err(|_| "not UTF-8".to_owned())?;
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let front = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---").map(|(front, _)| front));
    let front = front.ok_or("no front matter between lines `---`")?;
    let front = read::yaml(front).filter(serde_json::Value::is_object).ok_or("front matter that is no YAML mapping")?;
    let field = |name: &str| front[name].as_str().map(str::trim).filter(|text| !text.is_empty());
    let name = field("name").ok_or("no `name`")?;
    let description = field("description").ok_or("no `description`")?;
    if !is_name(name) {
        return Err(format!("a `name` that is not 1 to {NAME_CHARS_MAX} of a-z, 0-9 and single hyphens between"));
    }
    if name != folder {
        return Err("a `name` that is not its folder's".to_owned());
    }
    if description.chars().count() > DESCRIPTION_CHARS_MAX {
        return Err(format!("a `description` of more than {DESCRIPTION_CHARS_MAX} characters"));
    }
    let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(Skill { name: name.to_owned(), description: plain(&description, DESCRIPTION_CHARS_MAX), path: String::new() })
}

/// Whether a text can be a skill's name.
pub fn is_name(name: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    name.len() <= NAME_CHARS_MAX && name.split('-').all(part)
}

/// The list as the prompt has it, empty where there is nothing to tell, and the skills that stand in it.
pub fn listing(operator: &Found, repository: &Found, window_tokens: u64) -> (String, Vec<SkillRef>) {
    let mut told = Vec::new();
    if [operator, repository].iter().all(|found| found.skills.is_empty() && found.broken.is_empty()) {
        return (String::new(), told);
    }
    let budget = (window_tokens.saturating_mul(4 * WINDOW_PERCENT) / 100) as usize;
    let budget = budget.clamp(LIST_BYTES_MIN, LIST_BYTES_MAX);
    let mut text = String::from(
        "\n## Skills\nEach tells how one kind of work is done. Where one fits, read it before you begin.\n",
    );
    let heads = [
        (operator, SkillSource::Operator, "The operator's; read them with `read_skill`:\n"),
        (
            repository,
            SkillSource::Repository,
            "The repository's, of the same standing as its conventions; read the file:\n",
        ),
    ];
    let mut left_out = Vec::new();
    for (found, source, head) in heads {
        let mut begun = false;
        for skill in &found.skills {
            let line = line(skill);
            if text.len() + line.len() + if begun { 0 } else { head.len() } > budget {
                left_out.push(skill.name.as_str());
                continue;
            }
            if !begun {
                text.push_str(head);
                begun = true;
            }
            text.push_str(&line);
            told.push(SkillRef { name: skill.name.clone(), source });
        }
    }
    if !left_out.is_empty() {
        let _ = writeln!(text, "[cut: {} more did not fit: {}]", left_out.len(), plain(&left_out.join(", "), 200));
    }
    write_broken(&mut text, operator.broken.iter().chain(&repository.broken));
    (text, told)
}

fn line(skill: &Skill) -> String {
    let mut description = plain(&skill.description, LISTED_CHARS_MAX);
    if description.len() < skill.description.len() {
        description.push('…');
    }
    if skill.path.is_empty() {
        format!("- `{}`: {description}\n", skill.name)
    } else {
        format!("- `{}` (`{}`): {description}\n", skill.name, skill.path)
    }
}

fn write_broken<'a>(text: &mut String, broken: impl Iterator<Item = &'a (String, String)>) {
    let broken: Vec<String> = broken.map(|(place, fault)| format!("`{place}` ({fault})")).collect();
    if !broken.is_empty() {
        let more = broken.len().saturating_sub(BROKEN_TOLD_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let shown = &broken[..broken.len().min(BROKEN_TOLD_MAX)];
        let _ = writeln!(text, "No skills, for what is wrong with them: {}{more}.", shown.join(", "));
    }
}
