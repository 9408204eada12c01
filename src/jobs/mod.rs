//! What workers do with what they claim, and the reconcilers.
