//! What the server finds out about a repository before the model's first call.
