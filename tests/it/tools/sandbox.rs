//! Calls in a real sandbox.
