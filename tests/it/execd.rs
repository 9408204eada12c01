//! Tests of execd.
