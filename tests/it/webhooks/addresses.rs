//! Where nothing is ever sent: private addresses that the operator has not named, also behind a name that led elsewhere when the
//! endpoint was made.

use super::{endpoint, ground, receiver::Receiver};
use crate::support::service::{Api, Ground};
use serde_json::json;

/// Starts with a settings file that gives a name these addresses.
async fn named(ground: &mut Ground, address: &str) -> crate::support::service::TestService {
    let path = ground.data.path().join("names.toml");
    std::fs::write(&path, format!("[network.names]\n\"hooks.example.org\" = \"{address}\"\n")).unwrap();
    ground.variables.retain(|(name, _)| name != "JOURNEYMAN_CONFIG");
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), path.display().to_string()));
    ground.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_to_a_private_address_by_now_is_not_reached() {
    let mut ground = ground(&[("JOURNEYMAN_PRIVATE_HOSTS", "10.9.9.9")]).await;
    let receiver = Receiver::start().await;
    let port = receiver.url.rsplit_once(':').unwrap().1.split('/').next().unwrap().to_owned();
    let service = named(&mut ground, "93.184.216.34").await;
    let api = service.api();
    let endpoint = endpoint(&api, &format!("https://hooks.example.org:{port}/hook"), json!(["*"])).await;
    service.stop().await;
    let service = named(&mut ground, "127.0.0.1").await;
    let api = Api { base: service.base.clone(), ..api };
    let id = endpoint.test(&api).await;
    let dead = endpoint.until(&api, &id, "dead").await;
    assert!(dead["error"].as_str().unwrap().contains("private"), "{dead:#}");
    assert!(dead["status_code"].is_null(), "{dead:#}");
    assert_eq!(receiver.count(), 0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_the_operator_names_no_longer_is_not_reached() {
    let mut ground = ground(&[]).await;
    let receiver = Receiver::start().await;
    let service = ground.start().await;
    let api = service.api();
    let endpoint = endpoint(&api, &receiver.url, json!(["*"])).await;
    let id = endpoint.test(&api).await;
    endpoint.until(&api, &id, "delivered").await;
    service.stop().await;
    ground.variables.push(("JOURNEYMAN_PRIVATE_HOSTS".to_owned(), "10.9.9.9".to_owned()));
    let service = ground.start().await;
    let api = Api { base: service.base.clone(), ..api };
    let id = endpoint.test(&api).await;
    let dead = endpoint.until(&api, &id, "dead").await;
    assert!(dead["error"].as_str().unwrap().contains("private"), "{dead:#}");
    assert_eq!(receiver.count(), 1);
    service.stop().await;
}
