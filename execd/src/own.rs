//! The environment that an image gives, which execd is started with where no server can read it off the image.

/// What of it is another user's or the cluster's, not the image's.
const NOT_OURS: &[&str] = &["HOME", "HOSTNAME", "LOGNAME", "PWD", "TMPDIR", "USER"];
const NOT_OURS_PREFIX: &str = "KUBERNETES_";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What of execd's own environment its commands get; a `PATH` always.
pub(crate) fn environment() -> Vec<(String, String)> {
    let given = std::env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
    let ours = |name: &str| !NOT_OURS.contains(&name) && !name.starts_with(NOT_OURS_PREFIX);
    let mut all = vec![("PATH".to_owned(), PATH.to_owned())];
    all.extend(given.filter(|(name, _)| ours(name)));
    all
}
