//! Tests of the analysis.

mod affected;
mod brief;
mod discovery;
mod prohibitions;
mod hostile;
mod languages;
mod map;
mod syntax;
