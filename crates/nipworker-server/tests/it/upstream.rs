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
            "error: stored here, but no relay accepted it: 1 refused (ws://{}: blocked: ",
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
fn metrics_and_status_say_what_each_relay_did() {
    let relay = Daemon::start();
    let old = note("old");
    assert_eq!(http::post(&relay.url("/api/v1/events"), old.to_json()).status, 200);
    let gateway = behind(&relay);
    let url = format!("ws://{}", relay.address());
    // Twice the same: the second time everything is known.
    for _ in 0..2 {
        let found = http::post(&gateway.url("/api/v1/query"), r#"{"kinds":[1]}"#).json();
        assert_eq!(found.as_array().unwrap().len(), 1);
    }
    relay.stop();
    let refused = eventually("dialling in vain is counted", || {
        let text = http::get(&gateway.url("/metrics")).text;
        let errors = format!("nipworker_relay_errors_total{{relay=\"{url}\",kind=\"refused\"}}");
        text.contains(&errors).then_some(text)
    });
    for sample in [
        format!("nipworker_relay_duplicates_total{{relay=\"{url}\"}} 1"),
        format!("nipworker_relay_auth_challenges_total{{relay=\"{url}\"}} 0"),
        format!("nipworker_relay_authenticated{{relay=\"{url}\"}} 0"),
    ] {
        assert!(refused.contains(&sample), "no {sample} in\n{refused}");
    }
    let status = http::get(&gateway.url("/api/v1/status")).json();
    let told = &status["engine"]["relays"][0];
    assert_eq!((&told["url"], &told["ingest"]["fresh"]), (&json!(url), &json!(1)), "{told}");
    assert!(told["errors"]["refused"].as_u64() >= Some(1), "{told}");
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

/// A gateway in this process, and its engine.
async fn in_process(config: GatewayConfig) -> (NostrClient, RunningGateway) {
    let client = NostrClient::new(ClientConfig::default()).await.unwrap();
    let gateway = RunningGateway::start(GatewayParts {
        client: client.clone(),
        config,
        event_limits: EventLimits::default(),
        relays: Vec::new(),
        data: "nowhere".into(),
        listener: std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
        shutdown_timeout: std::time::Duration::from_millis(300),
    })
    .unwrap();
    (client, gateway)
}

#[test]
fn an_engine_that_ends_midway_does_not_hide_the_outcomes_before() {
    use std::io::{BufRead, BufReader, Read, Write};
    run(async {
        let (client, gateway) = in_process(GatewayConfig::default()).await;
        // More than one batch of lines, then a pause until the engine has ended, then one more.
        let first = "nonsense\n".repeat(300);
        let last = format!("{}\n", note("too late").to_json());
        let stream = std::net::TcpStream::connect(gateway.address()).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let length = first.len() + last.len();
        let head = format!(
            "POST /api/v1/events?relays=false HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Type: application/x-ndjson\r\nContent-Length: {length}\r\n\r\n"
        );
        writer.write_all(head.as_bytes()).unwrap();
        writer.write_all(first.as_bytes()).unwrap();
        let url = format!("http://{}/api/v1/status", gateway.address());
        let seen = tokio::task::spawn_blocking(move || {
            eventually("the first lines are worked on", || {
                let status = http::get(&url).json();
                (status["gateway"]["events_in"].as_u64() >= Some(256)).then_some(())
            });
        });
        seen.await.unwrap();
        client.close().await;
        writer.write_all(last.as_bytes()).unwrap();
        let answer = tokio::task::spawn_blocking(move || {
            let mut reader = BufReader::new(stream);
            let mut status = String::new();
            reader.read_line(&mut status).unwrap();
            let mut rest = String::new();
            reader.read_to_string(&mut rest).unwrap();
            (status, rest)
        });
        let (status, rest) = answer.await.unwrap();
        assert!(status.contains(" 200 "), "{status}");
        let body = rest.split_once("\r\n\r\n").unwrap().1;
        let outcomes: Vec<Value> =
            body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(outcomes.len(), 301);
        assert_eq!(outcomes[0]["status"], "invalid");
        assert_eq!(outcomes[300]["status"], "failed", "{}", outcomes[300]);
        gateway.stop().await;
    });
}

#[test]
fn a_stop_takes_no_longer_than_the_shutdown_timeout_below_a_second_too() {
    use std::io::Write;
    run(async {
        let mut config = GatewayConfig::default();
        config.http.request_timeout = std::time::Duration::from_secs(60);
        let (client, gateway) = in_process(config).await;
        // A request whose body never comes.
        let mut request = std::net::TcpStream::connect(gateway.address()).unwrap();
        request
            .write_all(b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            .unwrap();
        let url = format!("http://{}/api/v1/status", gateway.address());
        let seen = tokio::task::spawn_blocking(move || {
            eventually("the request is being served", || {
                let requests = http::get(&url).json()["gateway"]["http_requests"].as_u64();
                (requests >= Some(2)).then_some(())
            });
        });
        seen.await.unwrap();
        let asked = std::time::Instant::now();
        gateway.stop().await;
        let took = asked.elapsed();
        assert!(took < std::time::Duration::from_millis(950), "300 ms were allowed, took {took:?}");
        client.close().await;
    });
}

#[test]
fn one_connection_is_one_connection_however_many_threads_serve() {
    run(async {
        let config = GatewayConfig { max_connections: 1, threads: 4, ..GatewayConfig::default() };
        let (client, gateway) = in_process(config).await;
        let url = format!("ws://{}/", gateway.address());
        let (first, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
        let second = tokio_tungstenite::connect_async(&url);
        tokio::pin!(second);
        let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut second).await;
        assert!(early.is_err(), "a second connection is not served beside the first");
        drop(first);
        assert!(second.await.is_ok(), "it is served when the first has ended");
        gateway.stop().await;
        client.close().await;
    });
}

#[test]
fn a_stop_waits_for_the_receipts_of_what_clients_published() {
    use futures::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    run(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let (got, is_there) = tokio::sync::oneshot::channel();
        let (go_on, may_answer) = tokio::sync::oneshot::channel::<()>();
        let relay = tokio::spawn(async move {
            // A request for the information document is no WebSocket.
            let mut socket = loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(socket) = tokio_tungstenite::accept_async(stream).await {
                    break socket;
                }
            };
            let id = loop {
                let Some(Ok(message)) = socket.next().await else { panic!("no event came") };
                let Message::Text(text) = message else { continue };
                let frame: Value = serde_json::from_str(&text).unwrap();
                if frame[0] == "EVENT" {
                    break frame[1]["id"].clone();
                }
            };
            got.send(()).unwrap();
            may_answer.await.unwrap();
            socket.send(Message::text(json!(["OK", id, true, ""]).to_string())).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
        });
        let mut daemon = tokio::task::spawn_blocking(move || Daemon::with("", &["--relay", &url]))
            .await
            .unwrap();
        let mut client = Socket::open(&daemon).await;
        let hello = note("in flight");
        client.send(json!(["EVENT", hello])).await;
        is_there.await.unwrap();
        daemon.signal("TERM");
        daemon.wait_for_log("a second signal ends the process at once");
        // Whoever would not wait says good-bye now.
        let early = tokio::time::timeout(std::time::Duration::from_millis(200), client.try_next());
        assert!(early.await.is_err(), "neither an answer nor a good-bye");
        go_on.send(()).unwrap();
        assert_eq!(client.next().await, json!(["OK", hello.id, true, "relays: 1 accepted"]));
        assert_eq!(client.drained().await.1, 1_001, "going away");
        assert_eq!(daemon.wait().code(), Some(0), "{}", daemon.log());
        relay.await.unwrap();
    });
}
