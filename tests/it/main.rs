//! The one integration binary.

mod agent;
mod analysis;
mod api;
mod architecture;
mod checks;
mod cli;
mod crash;
mod domain;
mod execd;
mod llm;
mod memory;
mod net;
mod postgres;
mod queue;
mod repository;
mod scripted;
mod store;
mod tools;
mod workspace;
