//! Tests of recall: what is found for a task, how well and how fast, and what comes of it.

mod cited;
mod effects;
mod embeddings;
mod many;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod pgvector;
mod quality;
mod real_model;
mod recall;
mod set;
mod settings;
mod speed;
mod standing;
