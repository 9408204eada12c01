//! The private Postgres cluster: find, initdb, start, adopt, stop.
