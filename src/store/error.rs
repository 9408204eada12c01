//! What can go wrong with the database.

/// What can go wrong with the database, told apart by what the caller does about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached now; the same call may succeed later.
    #[error("the database cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    /// A named constraint refused the row.
    #[error("constraint {0} refused the row")]
    Conflict(String),
    /// A row holds what this build cannot read.
    #[error("{table}.{column} of {id} cannot be read")]
    Corrupt { table: &'static str, column: &'static str, id: String },
    /// Migrations are due, or the database is newer than this build.
    #[error("{0}")]
    Schema(String),
    #[error("the database refused a statement")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    /// The same call may succeed when it is tried again a little later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// A row whose JSON or word does not parse.
    #[expect(clippy::needless_pass_by_value, reason = "ids are small, and texts are borrowed already")]
    pub fn corrupt(table: &'static str, column: &'static str, id: impl ToString) -> Self {
        Self::Corrupt { table, column, id: id.to_string() }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::Io(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::Tls(_) => Self::Unavailable(error),
            E::Database(database) => {
                if let Some(name) = database.constraint() {
                    return Self::Conflict(name.to_owned());
                }
                // Class 08: connection; 53: resources; 57: operator intervention; 40: rolled back.
                match database.code().as_deref().map(|code| &code[..code.len().min(2)]) {
                    Some("08" | "53" | "57" | "40") => Self::Unavailable(error),
                    _ => Self::Database(error),
                }
            }
            _ => Self::Database(error),
        }
    }
}
