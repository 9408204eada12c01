//! Tests of the analysis.

mod affected;
mod brief;
mod discovery;
mod format;
mod hostile;
mod languages;
mod map;
mod prohibitions;
mod syntax;
