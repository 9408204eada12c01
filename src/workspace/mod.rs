//! Sandboxes, repositories, checkpoints; the execd client.
