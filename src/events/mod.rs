//! The tail of the log: after a cursor, then follow.
