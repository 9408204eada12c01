//! Exported tasks, folded again.

use super::service::Api;
use journeyman::{cli::replay, runner::replay::Replayed, service::archive};

/// The task's file.
pub(crate) async fn export(api: &Api, task: &str, query: &str) -> Vec<u8> {
    let request = api.http.get(format!("{}/v1/tasks/{task}/export{query}", api.base)).bearer_auth(&api.key);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    answer.bytes().await.unwrap().to_vec()
}

pub(crate) fn fold(file: &[u8]) -> Replayed {
    replay::fold(&archive::unpack(file).unwrap())
}
