//! A reply from the pieces of its stream, wire by wire.
