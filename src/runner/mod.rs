//! Drives one task: performs the agent's steps and appends what happened.
