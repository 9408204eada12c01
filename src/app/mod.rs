//! The one composition root: builds every room from the settings and runs them.
