//! Sealing at rest and redaction of outgoing text.
