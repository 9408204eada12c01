//! Markdown as Jira's wiki markup (jira.atlassian.com, "Text Formatting Notation Help"): a subset, by pure functions. What is
//! not known stays the text that it is, and none of it becomes markup by chance.

mod blocks;
mod inline;

pub use blocks::from_markdown;
