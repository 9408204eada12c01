//! What a call gave, as text.

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use std::fmt::Write;

/// Bytes of a result that are kept; of them the recorder shows less.
const RESULT_BYTES_MAX: usize = 1 << 20;

/// The text of a result; what is no text is described.
pub(super) fn text(result: &CallToolResult) -> String {
    let mut text = String::new();
    for block in &result.content {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        push(&mut text, block);
        if text.len() > RESULT_BYTES_MAX {
            break;
        }
    }
    if result.content.is_empty()
        && let Some(structured) = &result.structured_content
    {
        text = structured.to_string();
    }
    if text.len() > RESULT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(RESULT_BYTES_MAX));
        text.push_str("\n[the rest is left out: a result may have 1 MiB]");
    }
    if text.is_empty() {
        text.push_str("[an empty result]");
    }
    text
}

fn push(text: &mut String, block: &ContentBlock) {
    // Writing to a text does not fail.
    let _ = match block {
        ContentBlock::Text(words) => write!(text, "{}", words.text),
        ContentBlock::Image(image) => write!(text, "[{}]", unseen("an image", Some(&image.mime_type), &image.data)),
        ContentBlock::Audio(audio) => write!(text, "[{}]", unseen("a sound", Some(&audio.mime_type), &audio.data)),
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::TextResourceContents { uri, text: words, .. } => write!(text, "[{uri}]\n{words}"),
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                write!(text, "[{uri}: {}]", unseen("a file", mime_type.as_deref(), blob))
            }
            _ => write!(text, "[a resource of an unknown form]"),
        },
        ContentBlock::ResourceLink(link) => write!(text, "[a link to {}: {}]", link.uri, link.name),
        _ => write!(text, "[content of an unknown form]"),
    };
}

/// Content that is not shown; `data` is base64.
fn unseen(what: &str, kind: Option<&str>, data: &str) -> String {
    let kind: String = kind.unwrap_or("no type").chars().filter(|c| !c.is_control()).take(80).collect();
    format!("{what} ({kind}, about {} bytes) that cannot be shown here", data.len() / 4 * 3)
}
