//! Tests of the proxy through which workspaces reach the network: real servers on the loopback, real clients.

mod broker;
mod containers;
mod detected;
mod limits;
mod parsers;
mod policy;
mod proxy;
mod registries;
mod tasks;
mod upstream;
mod world;
