//! The private Postgres cluster: find binaries, make the cluster, start it, adopt it after a crash
//! of the service, keep it running, stop it. Also the lock on the data directory, without which
//! nothing here is touched.
//!
//! It never speaks SQL, listens on TCP, or deletes a cluster's data. A server outlives a killed
//! service on purpose: the next start adopts it. Start with [`cluster`].

mod account;
mod binaries;
pub mod cluster;
pub mod data_dir;
mod error;
mod initialise;
mod process;
mod server;
mod sockets;

pub use cluster::{Cluster, ClusterSettings};
pub use data_dir::DataDirLock;
pub use error::PostgresError;

/// The oldest major version that the service's SQL is written for.
pub const OLDEST_MAJOR: u32 = 15;
