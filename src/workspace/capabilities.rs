//! Which limits hold on this machine and which are weaker, in plain words for `doctor`.

/// One line of what a sandbox promises here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Such as `memory`, `network`, `user`.
    pub name: &'static str,
    /// It holds as designed; otherwise `detail` says what is weaker and the mend.
    pub holds: bool,
    pub detail: String,
}

/// All of them, in a fixed order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub lines: Vec<Capability>,
}
