//! What an endpoint may be.

use crate::{
    domain::webhook,
    service::{Error, Faults, Service},
    store::webhooks::NewEndpoint,
};
use url::Url;

const URL_CHARS_MAX: usize = 2_000;
const DESCRIPTION_CHARS_MAX: usize = 500;
const EVENTS_MAX: usize = 100;

/// An endpoint as it will be.
pub(super) struct Parts {
    pub(super) url: String,
    pub(super) events: Vec<String>,
    pub(super) description: String,
    pub(super) enabled: bool,
}

impl Parts {
    /// Brings it to its form, or says all that is wrong with it. The address is asked about where it is `new`.
    pub(super) async fn checked(mut self, service: &Service, new: bool) -> Result<Self, Error> {
        let mut faults = Faults::default();
        match address(&self.url) {
            Ok(_) if !new => {}
            Ok(url) => match (service.hooks().webhook_url)(url.clone()).await {
                Ok(()) => self.url = url.into(),
                Err(reason) => faults.add("/url", reason),
            },
            Err(reason) => faults.add("/url", reason),
        }
        faults.long("/description", &self.description, DESCRIPTION_CHARS_MAX);
        if self.events.is_empty() {
            faults.add("/events", "must name at least one kind of event; `*` means all");
        }
        faults.count("/events", self.events.len(), EVENTS_MAX);
        for (index, kind) in self.events.iter().enumerate().take(EVENTS_MAX) {
            if !webhook::is_filter(kind) {
                let known: Vec<&str> = webhook::kinds().collect();
                let detail =
                    format!("is no kind of event: `*`, a prefix such as `task.*`, or one of {}", known.join(", "));
                faults.add(format!("/events/{index}"), detail);
            }
        }
        faults.finish()?;
        self.events.sort_unstable();
        self.events.dedup();
        Ok(self)
    }

    pub(super) fn row(&self) -> NewEndpoint<'_> {
        NewEndpoint { url: &self.url, events: &self.events, description: &self.description, enabled: self.enabled }
    }
}

fn address(text: &str) -> Result<Url, String> {
    if text.chars().count() > URL_CHARS_MAX {
        return Err(format!("may have at most {URL_CHARS_MAX} characters"));
    }
    let url = Url::parse(text.trim()).map_err(|_| "must be a URL such as https://hooks.example.org/journeyman")?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err("must begin with https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("may not hold a user or a password".to_owned());
    }
    if url.fragment().is_some() {
        return Err("may not hold a fragment".to_owned());
    }
    Ok(url)
}
