//! What the operator gives to every task.

use super::{
    ConfigError, Origin, mcp, parse,
    settings::ExtensionSettings,
    source::{Source, read_value, text},
};
use crate::domain::instructions::INSTRUCTIONS_BYTES_MAX;
use std::path::Path;

pub(super) fn read(source: &Source<'_>) -> Result<ExtensionSettings, ConfigError> {
    Ok(ExtensionSettings {
        instructions: instructions(source)?,
        skills_dir: source.parsed("skills_dir", parse::absolute_path)?,
        mcp_servers: mcp::read(source)?,
    })
}

/// `instructions`, or the content of the file that `instructions_file` names: the key of what the variable has for all
/// settings.
fn instructions(source: &Source<'_>) -> Result<String, ConfigError> {
    let given = source.own("instructions")?;
    let (given, origin) = match (given, source.file_only("instructions_file")) {
        // A variable goes before the file, whichever of the two keys stands there.
        (Some(given), other) if other.is_none() || !matches!(given.origin, Origin::Key { .. }) => {
            let origin = given.origin.clone();
            (text(given, |text| Ok(text.to_owned()))?, origin)
        }
        (None, None) => return Ok(String::new()),
        (None, Some((value, origin))) => match value.as_str() {
            Some(path) => (read_value("instructions_file", Path::new(path))?, origin),
            None => return Err(ConfigError::Invalid { origin, message: "must be a path".to_owned() }),
        },
        (Some(_), other) => {
            let origin = other.map(|(_, origin)| origin);
            let origin = origin.unwrap_or_else(|| Origin::Variable("JOURNEYMAN_INSTRUCTIONS".to_owned()));
            let message = "`instructions` stands there too: take one of them away".to_owned();
            return Err(ConfigError::Invalid { origin, message });
        }
    };
    let given = given.trim();
    if given.len() > INSTRUCTIONS_BYTES_MAX || given.contains('\0') {
        let message = format!(
            "must be a text of at most {INSTRUCTIONS_BYTES_MAX} bytes without NUL characters, not {} bytes",
            given.len()
        );
        return Err(ConfigError::Invalid { origin, message });
    }
    Ok(given.to_owned())
}
