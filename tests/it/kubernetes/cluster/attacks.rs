//! The attacks that every backend has to withstand, in a Pod.

use crate::attacks;

#[tokio::test(flavor = "multi_thread")]
async fn none_succeeds_in_a_pod() {
    attacks::in_a_pod().await;
}
