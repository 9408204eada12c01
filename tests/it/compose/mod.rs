//! What `docker compose up` starts, on a local engine: whole tasks in workspaces by bubblewrap as an ordinary user, the
//! service killed and started again, attacks from inside.

mod files;
mod stack;
