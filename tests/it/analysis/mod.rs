//! Tests of the analysis.

mod brief;
mod discovery;
