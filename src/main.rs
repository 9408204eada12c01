//! The `journeyman` command.

use clap::Parser;
use journeyman::cli::{self, Exit};

#[tokio::main]
async fn main() -> Exit {
    Box::pin(cli::main(cli::Arguments::parse())).await
}
