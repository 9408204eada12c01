//! Whole tasks in Pods, and what happens to them when things break.

use crate::{
    backends::{losses, tasks},
    setup,
    support::cluster::{self, HOST},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_done_and_verified_in_pods_and_leaves_none() {
    tasks::a_task_is_done_and_verified_and_leaves_nothing(cluster::shared().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_deleted_in_mid_task_is_made_again_from_the_checkpoint() {
    tasks::what_is_taken_away_in_mid_task_is_made_again(cluster::shared().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_deleted_under_a_check_is_made_again() {
    tasks::what_is_taken_away_under_a_check_is_made_again(cluster::shared().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_s_pod_is_ended_by_the_next_which_goes_on() {
    let cluster = cluster::shared().await;
    tasks::what_a_killed_server_leaves_is_ended_by_the_next_which_goes_on(cluster, "host_loss").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_lost_between_two_calls_is_told_of() {
    let cluster = cluster::shared().await;
    losses::a_copy_that_is_lost_between_two_calls(cluster, &cluster.variables(HOST)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_lost_under_a_call_is_told_of_and_the_call_is_in_doubt() {
    let cluster = cluster::shared().await;
    losses::a_copy_that_is_lost_under_a_call(cluster, &cluster.variables(HOST)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_are_lost_with_a_pod_before_anybody_looked_are_made_again() {
    let cluster = cluster::shared().await;
    losses::changes_that_are_lost_before_anybody_looked_are_made_again(cluster, &cluster.variables(HOST)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_is_run_once_for_all_pods_and_again_when_a_lock_file_has_changed() {
    let cluster = cluster::shared().await;
    setup::run_once_for_all_copies(&cluster.variables(HOST)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checks_pods_find_what_a_setup_installed() {
    let cluster = cluster::shared().await;
    setup::found_on_clean_copies(&cluster.variables(HOST)).await;
}
