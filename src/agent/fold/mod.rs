//! How each event changes the session; nothing is decided here. Start with [`events`].

mod events;
mod replies;
mod runs;
mod spend;

pub(super) use events::apply;
