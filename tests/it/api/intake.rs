//! What trackers send is written down together with what comes at the same time, and each as if it had come alone.

use super::harness::{ADMIN, Server, server};
use futures::future::join_all;
use journeyman::{
    clock,
    domain::{DeliveryId, IntegrationId, TeamId, integration::DeliveryState},
    store::{
        StoreError,
        trackers::{
            deliveries,
            intake::{Inserted, Intake, NewDelivery},
        },
    },
};
use serde_json::json;
use std::{collections::HashMap, time::Duration};

async fn team(server: &Server) -> TeamId {
    let me = server.get("/v1/me", ADMIN).await.expect(200).json();
    TeamId(me["team"]["id"].as_str().unwrap().parse().unwrap())
}

async fn integration(server: &Server, name: &str) -> IntegrationId {
    let body = json!({ "name": name, "tracker": "github", "secret": "a-secret-of-the-hooks" });
    let made = server.post("/v1/integrations", ADMIN, &body).await.expect(201).json();
    made["id"].as_str().unwrap().parse().unwrap()
}

fn new(team: TeamId, integration: IntegrationId, delivery: &str) -> NewDelivery {
    NewDelivery {
        team,
        id: clock::new_id(),
        integration,
        delivery: delivery.to_owned(),
        meaning: None,
        event: "issues.labeled".to_owned(),
        sender: "ada".to_owned(),
        issue: Some("acme/calc#12".to_owned()),
        content: Some("{}".to_owned()),
        state: DeliveryState::Waiting,
        reason: String::new(),
    }
}

fn is_new(came: &Result<Inserted, StoreError>) -> bool {
    matches!(came, Ok(Inserted::New))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_written_down_once_however_many_come_at_the_same_time() {
    let server = server().await;
    let (team, ours, theirs) = (team(&server).await, integration(&server, "a").await, integration(&server, "b").await);
    let (intake, other) = (Intake::new(server.store.clone()), Intake::new(server.store.clone()));
    // Each id at two integrations, five times each, on two replicas; and each meaning under five ids.
    let all = (0..1_000).map(|number| {
        let one = new(team, if number % 2 == 0 { ours } else { theirs }, &format!("id {}", number / 2 % 100));
        (number, one)
    });
    let meaning = (1_000..1_500).map(|number| {
        let meaning = Some(format!("meaning {}", number % 100));
        (number, NewDelivery { meaning, ..new(team, ours, &format!("id {number}")) })
    });
    let came = join_all(all.chain(meaning).map(async |(number, one)| {
        let (id, key) = (one.id, (one.integration, one.meaning.clone().unwrap_or_else(|| one.delivery.clone())));
        let intake = if number / 3 % 2 == 0 { &intake } else { &other };
        (id, key, intake.write_down(one).await.unwrap())
    }))
    .await;
    let mut firsts: HashMap<(IntegrationId, String), DeliveryId> = HashMap::new();
    for (id, key, _) in came.iter().filter(|(.., came)| *came == Inserted::New) {
        assert_eq!(firsts.insert(key.clone(), *id), None, "{key:?} is written down twice");
    }
    assert_eq!(firsts.len(), 300);
    for (id, key, came) in &came {
        match came {
            Inserted::New => assert_eq!(firsts[key], *id),
            Inserted::Known(known) => assert_eq!(firsts[key], known.id, "{key:?}"),
            Inserted::Gone => panic!("{key:?} is gone"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_written_down_takes_no_other_with_it() {
    let server = server().await;
    let (team, integration) = (team(&server).await, integration(&server, "a").await);
    let intake = Intake::new(server.store.clone());
    // No text of Postgres holds a zero.
    let ids =
        (0..90).map(|number| if number % 30 == 7 { format!("bad \0 {number}") } else { format!("good {number}") });
    let came = join_all(ids.map(|id| intake.write_down(new(team, integration, &id)))).await;
    for (number, one) in came.iter().enumerate() {
        assert_eq!(is_new(one), number % 30 != 7, "{number}: {one:?}");
    }
    let of_nobody = intake.write_down(new(team, clock::new_id(), "good")).await;
    assert!(matches!(of_nobody, Err(StoreError::Conflict(_))), "{of_nobody:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_while_all_wait_leaves_the_others_their_answers() {
    let server = server().await;
    let (team, integration) = (team(&server).await, integration(&server, "a").await);
    let intake = Intake::new(server.store.clone());
    let came = join_all((0..600).map(|number| {
        let (intake, new) = (intake.clone(), new(team, integration, &number.to_string()));
        // A third goes at once or soon, whoever it is that asks for all.
        let patience = match number % 3 {
            0 => Duration::from_micros(number * 20),
            _ => Duration::from_secs(60),
        };
        async move { tokio::time::timeout(patience, intake.write_down(new)).await }
    }))
    .await;
    let gone = came.iter().filter(|came| came.is_err()).count();
    assert!(gone > 0, "nobody has gone");
    for (number, one) in came.iter().enumerate().filter(|(_, came)| came.is_ok()) {
        // It may have been written down for one that was asked for together with it, and had to be asked for again.
        assert!(matches!(one, Ok(Ok(Inserted::New | Inserted::Known(_)))), "{number}: {one:?}");
    }
    assert_eq!(came.iter().skip(1).step_by(3).filter(|came| came.is_ok()).count(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_waited_for_once() {
    let server = server().await;
    let (team, integration) = (team(&server).await, integration(&server, "a").await);
    let intake = Intake::new(server.store.clone());
    server.store.close().await;
    let came = join_all((0..50).map(|number| intake.write_down(new(team, integration, &number.to_string())))).await;
    assert!(came.iter().all(|one| one.as_ref().is_err_and(StoreError::is_transient)), "{came:?}");
    let hooks = join_all((0..50).map(|_| intake.hook(integration))).await;
    assert!(hooks.iter().all(|one| one.as_ref().is_err_and(StoreError::is_transient)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_the_one_that_was_asked_for_and_as_it_is_now() {
    let server = server().await;
    let intake = Intake::new(server.store.clone());
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(integration(&server, name).await);
    }
    let nobody: IntegrationId = clock::new_id();
    let asked = (0..300).map(|number| *[ids[0], ids[1], nobody, ids[2]].get(number % 4).unwrap());
    let found = join_all(asked.clone().map(|id| intake.hook(id))).await;
    for (id, found) in asked.zip(found) {
        let found = found.unwrap().map(|hook| (hook.row.id, hook.secrets.len()));
        assert_eq!(found, (id != nobody).then_some((id, 1)));
    }
    // A new secret is known by the next that comes.
    let path = format!("/v1/integrations/{}", ids[0]);
    server.patch(&path, ADMIN, &json!({ "secret": "another-secret-of-the-hooks" })).await.expect(200);
    let hook = intake.hook(ids[0]).await.unwrap().unwrap();
    assert_eq!(hook.secrets.len(), 2);
    assert!(hook.row.previous_until.is_none(), "the present one is the first");
}

#[tokio::test]
async fn one_integrations_deliveries_leave_room_for_those_of_others() {
    let server = server().await;
    let team = team(&server).await;
    let ids = [integration(&server, "busy").await, integration(&server, "quiet").await];
    let intake = Intake::new(server.store.clone());
    for number in 0..40 {
        let integration = if number < 37 { ids[0] } else { ids[1] };
        assert!(is_new(&intake.write_down(new(team, integration, &number.to_string())).await));
    }
    let mut of: HashMap<IntegrationId, usize> = HashMap::new();
    for _ in 0..3 {
        for one in deliveries::claim(&server.store, Duration::from_secs(90), 16, 6).await.unwrap() {
            *of.entry(one.integration).or_default() += 1;
        }
    }
    assert_eq!((of.get(&ids[0]), of.get(&ids[1])), (Some(&6), Some(&3)));
}
