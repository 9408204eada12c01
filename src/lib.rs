//! Journeyman: a self-hosted, multi-user service that does the work of a coding agent.
//!
//! Start with ARCHITECTURE.md, then `domain`, then `agent`.

pub mod agent;
pub mod analysis;
pub mod api;
pub mod app;
pub mod auth;
pub mod checks;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod egress;
pub mod events;
pub mod jobs;
pub mod llm;
pub mod mcp;
pub mod memory;
pub mod net;
pub mod objects;
pub mod postgres;
pub mod queue;
pub mod runner;
pub mod scripted;
pub mod secrets;
pub mod service;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod tools;
pub mod trackers;
pub mod workspace;
