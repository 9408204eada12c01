//! The pure loop: folds a task's log and says the next step.

pub mod verdict;
