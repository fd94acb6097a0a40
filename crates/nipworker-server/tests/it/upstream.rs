//! A gateway between its clients and upstream relays; another daemon plays the relay.

use std::process::Stdio;

use nipworker_core::{ClientConfig, NostrClient, protocol::EventLimits};
use nipworker_server::{
    config::GatewayConfig,
    gateway::{GatewayParts, RunningGateway},
};
use serde_json::{Value, json};

use crate::{
    daemon::{Daemon, eventually, nipworker, output},
    events::{event, note},
    http,
    socket::{Socket, run},
};

fn behind(relay: &Daemon) -> Daemon {
    let url = format!("ws://{}", relay.address());
    let config = "[gateway]\npublish_timeout = \"2s\"\n\
                  [engine.connections]\nreconnect_min = \"50ms\"\nreconnect_max = \"100ms\"\n";
    let daemon = Daemon::with(config, &["--relay", &url]);
    eventually("the relay is connected", || {
        let relays = http::get(&daemon.url("/api/v1/status")).json()["engine"]["relays"].clone();
        (relays[0]["state"] == "connected").then_some(())
    });
    daemon
}

#[test]
fn an_ok_comes_after_a_relay_accepted_and_names_the_receipts() {
    let relay = Daemon::start();
    let gateway = behind(&relay);
    run(async {
        let mut client = Socket::open(&gateway).await;
        let hello = note("hello");
        assert_eq!(client.publish(&hello).await, (true, "relays: 1 accepted".to_owned()));
        let there = http::get(&relay.url(&format!("/api/v1/events/{}", hello.id)));
        assert_eq!(there.json(), json!(hello), "it is at the relay when the OK comes");
    });
    let posted = http::post(&gateway.url("/api/v1/events"), note("by http").to_json()).json();
    assert_eq!(posted["receipts"][0]["status"], "accepted");
    assert_eq!(posted["receipts"][0]["relay"], format!("ws://{}", relay.address()));
    let kept = note("not sent on");
    let posted = http::post(&gateway.url("/api/v1/events?relays=false"), kept.to_json()).json();
    assert_eq!((&posted["status"], &posted["receipts"]), (&json!("stored"), &json!([])));
    assert_eq!(http::get(&relay.url(&format!("/api/v1/events/{}", kept.id))).status, 404);
}

#[test]
fn an_event_that_every_relay_refuses_is_not_ok_and_says_why() {
    let relay = Daemon::start();
    let gateway = behind(&relay);
    let newer = event(1, 0, 1_700_000_001, &[], "{}");
    let older = event(1, 0, 1_700_000_000, &[], "{}");
    assert_eq!(http::post(&relay.url("/api/v1/events"), newer.to_json()).status, 200);
    run(async {
        let mut client = Socket::open(&gateway).await;
        let (accepted, message) = client.publish(&older).await;
        assert!(!accepted);
        let wanted = format!(
            "error: stored here, but no relay accepted it: 1 refused (ws://{}: invalid: ",
            relay.address()
        );
        assert!(message.starts_with(&wanted), "{message}\nwanted {wanted}");
    });
}

#[test]
fn a_subscription_gets_what_relays_have_and_what_comes_to_them_later() {
    let relay = Daemon::start();
    let old = note("old");
    assert_eq!(http::post(&relay.url("/api/v1/events"), old.to_json()).status, 200);
    let gateway = behind(&relay);
    run(async {
        let mut client = Socket::open(&gateway).await;
        client.send(json!(["REQ", "s", { "kinds": [1] }])).await;
        assert_eq!(client.until_eose("s").await, [old.id.to_hex()]);
        let new = note("new");
        assert_eq!(http::post(&relay.url("/api/v1/events"), new.to_json()).status, 200);
        assert_eq!(client.next().await, json!(["EVENT", "s", new]));
        client.send(json!(["CLOSE", "s"])).await;
        client.nothing_waits().await;
    });
    let cached = http::post(&gateway.url("/api/v1/query?relays=false"), r#"{"kinds":[1]}"#).json();
    assert_eq!(cached.as_array().unwrap().len(), 2, "what was fetched is kept");
}

#[test]
fn one_shot_commands_use_the_relays_of_the_command_line() {
    let relay = Daemon::start();
    let url = format!("ws://{}", relay.address());
    let folder = tempfile::tempdir().unwrap();
    let ask = |arguments: &[&str]| {
        output(nipworker().args(arguments).arg("--data").arg(folder.path()).stdin(Stdio::null()))
    };
    let hello = note("hello");
    let (code, stdout, stderr) = ask(&["publish", &hello.to_json(), "--relay", &url, "--json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["receipts"][0]["status"], "accepted", "{report}");
    let there = note("only there");
    assert_eq!(http::post(&relay.url("/api/v1/events"), there.to_json()).status, 200);
    let filter = format!(r#"{{"ids":["{}"]}}"#, there.id);
    assert_eq!(ask(&["query", &filter]).1, "", "not known yet");
    let (code, found, stderr) = ask(&["query", &filter, "--relay", &url]);
    assert_eq!((code, found.trim()), (Some(0), there.to_json().as_str()), "{stderr}");
    assert_eq!(ask(&["query", &filter]).1.trim(), there.to_json(), "it was kept");
}

#[test]
fn a_gateway_can_be_served_by_another_program_on_its_own_engine() {
    run(async {
        let client = NostrClient::new(ClientConfig::default()).await.unwrap();
        let gateway = RunningGateway::start(GatewayParts {
            client: client.clone(),
            config: GatewayConfig::default(),
            event_limits: EventLimits::default(),
            relays: Vec::new(),
            data: "nowhere".into(),
            listener: std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
            shutdown_timeout: std::time::Duration::from_secs(5),
        })
        .unwrap();
        let url = format!("http://{}/readyz", gateway.address());
        let ready = tokio::task::spawn_blocking(move || http::get(&url).status);
        assert_eq!(ready.await.unwrap(), 200);
        gateway.stop().await;
        assert!(client.close().await.is_clean());
    });
}
