//! Tests of scripted.
