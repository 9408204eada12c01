//! Tests of the analysis.

mod brief;
