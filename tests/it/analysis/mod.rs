//! Tests of the analysis.

mod affected;
mod brief;
mod discovery;
mod prohibitions;
