//! A working copy that is gone from this host in the midst of a run.

use crate::backends::losses::{self, Bubblewrap};

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_lost_between_two_calls_is_laid_anew_and_told() {
    losses::a_copy_that_is_lost_between_two_calls(&Bubblewrap, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_lost_under_a_call_is_laid_anew_and_the_call_is_in_doubt() {
    losses::a_copy_that_is_lost_under_a_call(&Bubblewrap, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_are_lost_before_anybody_looked_are_made_again() {
    losses::changes_that_are_lost_before_anybody_looked_are_made_again(&Bubblewrap, &[]).await;
}
