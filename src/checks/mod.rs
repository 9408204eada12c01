//! Runs checks, parses their logs into tests, scans diffs.
