//! Tests of the analysis.

mod affected;
mod brief;
mod detected;
mod discovery;
mod format;
mod hostile;
mod languages;
mod map;
mod prohibitions;
mod syntax;
