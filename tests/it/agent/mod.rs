//! The pure loop by tables: no I/O, no time but the test's own.

mod approvals;
mod circles;
mod compaction;
mod criteria;
mod ends;
mod intent;
mod people;
mod play;
mod random;
mod review;
mod rules;
mod servers;
mod spend;
mod structured;
