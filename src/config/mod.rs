//! Typed settings from a TOML file and the environment.
