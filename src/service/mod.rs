//! The use cases that api and cli share; every method takes a Principal.
