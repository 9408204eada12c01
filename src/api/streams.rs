//! How many streams are open on this replica: of all, and of each user.

use super::error::ApiError;
use crate::{domain::UserId, service};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Streams of one process, at most.
const STREAMS_MAX: usize = 20_000;

/// Of one user, unless it is set.
const OF_USER_DEFAULT: usize = 100;

/// When somebody may try again.
const RETRY_AFTER_SECONDS: u32 = 10;

#[derive(Clone, Debug)]
pub(super) struct Streams {
    open: Arc<Mutex<Open>>,
    of_user_max: usize,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    of_user: HashMap<UserId, usize>,
}

/// One open stream's place; dropped, it is free.
#[derive(Debug)]
pub(super) struct Place {
    open: Arc<Mutex<Open>>,
    user: UserId,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self::of_user(OF_USER_DEFAULT)
    }

    pub(super) fn of_user(of_user_max: usize) -> Self {
        Self { open: Arc::default(), of_user_max }
    }

    /// Takes a place for one more stream of the user's.
    ///
    /// # Errors
    /// 429 where he has as many as he may have here, or all together are too many.
    pub(super) fn take(&self, user: UserId) -> Result<Place, ApiError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.of_user.get(&user).copied().unwrap_or_default();
        let detail = if own >= self.of_user_max {
            format!("you have {own} streams open here, as many as one user may: close one first")
        } else if open.all >= STREAMS_MAX {
            "too many streams are open here".to_owned()
        } else {
            open.all += 1;
            open.of_user.insert(user, own + 1);
            return Ok(Place { open: Arc::clone(&self.open), user });
        };
        Err(service::Error::TooMany { detail, retry_after_seconds: RETRY_AFTER_SECONDS }.into())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        let left = open.of_user.get(&self.user).map_or(0, |own| own.saturating_sub(1));
        if left == 0 {
            open.of_user.remove(&self.user);
        } else {
            open.of_user.insert(self.user, left);
        }
    }
}
