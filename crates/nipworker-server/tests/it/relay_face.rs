//! The gateway as a Nostr client sees it.

use futures::SinkExt;
use nipworker_core::protocol::{Filter, HllOffset, HyperLogLog};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

use crate::{
    daemon::{Daemon, eventually},
    events::{event, note, signer},
    http,
    socket::{Socket, run},
};

#[test]
fn an_event_is_published_stored_counted_and_delivered_live() {
    let daemon = Daemon::start();
    run(async {
        let mut writer = Socket::open(&daemon).await;
        let mut reader = Socket::open(&daemon).await;
        let (before, after) = (note("before"), note("after"));
        assert_eq!(writer.publish(&before).await, (true, String::new()));
        let (accepted, message) = writer.publish(&before).await;
        assert!(accepted && message.starts_with("duplicate: "), "{message}");
        reader.send(json!(["REQ", "s", { "kinds": [1] }])).await;
        assert_eq!(reader.until_eose("s").await, [before.id.to_hex()]);
        assert_eq!(writer.publish(&after).await, (true, String::new()));
        assert_eq!(reader.next().await, json!(["EVENT", "s", after]));
        reader.send(json!(["COUNT", "c", { "kinds": [1] }])).await;
        assert_eq!(reader.next().await, json!(["COUNT", "c", { "count": 2 }]));
        reader.send(json!(["CLOSE", "s"])).await;
        reader.nothing_waits().await;
        assert_eq!(writer.publish(&note("unheard")).await, (true, String::new()));
        reader.nothing_waits().await;
    });
}

#[test]
fn a_protected_event_is_refused_by_the_relay_face_and_taken_by_the_api() {
    let daemon = Daemon::start();
    run(async {
        let mut client = Socket::open(&daemon).await;
        let protected = event(1, 1, 1_700_000_000, &[&["-"]], "only by me");
        let (accepted, message) = client.publish(&protected).await;
        assert!(!accepted && message.starts_with("blocked: the event is protected"), "{message}");
        // That is no fault of the client's.
        client.nothing_waits().await;
        let published = http::post(&daemon.url("/api/v1/events"), protected.to_json());
        assert_eq!(published.status, 200);
        client.send(json!(["REQ", "s", { "ids": [protected.id] }])).await;
        assert_eq!(client.until_eose("s").await, [protected.id.to_hex()]);
    });
}

#[test]
fn a_count_of_one_tag_says_who_in_a_form_that_adds_up() {
    let daemon = Daemon::start();
    run(async {
        let mut client = Socket::open(&daemon).await;
        let liked = "ab".repeat(32);
        let reactions: Vec<_> = (1..=5)
            .map(|by| event(by, 7, 1_700_000_000, &[&["e", &liked]], "+"))
            .chain([event(1, 7, 1_700_000_001, &[&["e", &liked]], "again")])
            .collect();
        for reaction in &reactions {
            assert!(client.publish(reaction).await.0);
        }
        let asked = Filter::new().kinds([7]).tag('e', [liked.clone()]);
        client.send(json!(["COUNT", "c", asked])).await;
        let answer = client.next().await;
        assert_eq!(answer[2]["count"], 6);
        let offset = HllOffset::of(&[asked]).unwrap();
        let mut expected = HyperLogLog::new();
        reactions.iter().for_each(|reaction| expected.add(&reaction.pubkey, offset));
        assert_eq!(answer[2]["hll"], expected.to_hex());
        assert_eq!(expected.estimate(), 5);
        // Two filters have no common place to read the authors at.
        client.send(json!(["COUNT", "c", { "#e": [liked] }, { "kinds": [7] }])).await;
        assert_eq!(client.next().await, json!(["COUNT", "c", { "count": 6 }]));
    });
}

#[test]
fn a_req_with_an_id_that_is_open_replaces_it() {
    let daemon = Daemon::start();
    run(async {
        let mut client = Socket::open(&daemon).await;
        client.send(json!(["REQ", "s", { "kinds": [1] }])).await;
        assert!(client.until_eose("s").await.is_empty());
        client.send(json!(["REQ", "s", { "kinds": [7] }])).await;
        assert!(client.until_eose("s").await.is_empty());
        client.publish(&note("not asked for any more")).await;
        let reaction = event(1, 7, 1_700_000_000, &[], "+");
        client.send(json!(["EVENT", reaction])).await;
        // The order of the answer and of the live event is not fixed.
        let mut got = [client.next().await, client.next().await];
        got.sort_by_key(|frame| frame[0].to_string());
        assert_eq!(got, [json!(["EVENT", "s", reaction]), json!(["OK", reaction.id, true, ""])]);
        client.nothing_waits().await;
    });
}

#[test]
fn an_ephemeral_event_is_passed_on_and_not_stored() {
    let daemon = Daemon::start();
    run(async {
        let mut reader = Socket::open(&daemon).await;
        reader.send(json!(["REQ", "s", { "kinds": [20_001] }])).await;
        assert!(reader.until_eose("s").await.is_empty());
        let ephemeral = event(1, 20_001, 1_700_000_000, &[], "now or never");
        let mut writer = Socket::open(&daemon).await;
        assert!(writer.publish(&ephemeral).await.0);
        assert_eq!(reader.next().await, json!(["EVENT", "s", ephemeral]));
        writer.send(json!(["COUNT", "c", { "kinds": [20_001] }])).await;
        assert_eq!(writer.next().await, json!(["COUNT", "c", { "count": 0 }]));
    });
}

#[test]
fn an_event_that_is_not_valid_is_refused_with_its_reason() {
    let daemon = Daemon::start();
    run(async {
        let mut client = Socket::open(&daemon).await;
        let good = note("good");
        let mut changed = good.clone();
        changed.content.push('!');
        let (accepted, message) = client.publish(&changed).await;
        assert!(!accepted && message.starts_with("invalid: "), "{message}");
        assert!(message.contains("id"), "{message}");
        let mut forged = good.clone();
        forged.pubkey = signer(2).key();
        forged.id = forged.compute_id();
        let (accepted, message) = client.publish(&forged).await;
        assert!(!accepted && message.starts_with("invalid: "), "{message}");
        assert!(message.contains("signature"), "{message}");
        let expired = event(1, 1, 1_600_000_000, &[&["expiration", "1600000001"]], "old");
        let (accepted, message) = client.publish(&expired).await;
        assert!(!accepted && message.starts_with("blocked: "), "{message}");
        client.send(json!(["EVENT", { "id": good.id, "kind": "text" }])).await;
        let answer = client.next().await;
        assert_eq!((&answer[1], &answer[2]), (&json!(good.id), &json!(false)));
        client.send(json!(["COUNT", "c", {}])).await;
        assert_eq!(client.next().await, json!(["COUNT", "c", { "count": 0 }]));
    });
}

#[test]
fn malformed_messages_are_answered_and_the_connection_stays_usable() {
    let daemon = Daemon::start();
    run(async {
        let mut client = Socket::open(&daemon).await;
        let deep = "[".repeat(100_000);
        for (frame, verb, reason) in [
            ("nonsense", "NOTICE", "invalid: frame is not JSON"),
            ("[\"EVENT\"", "NOTICE", "invalid: frame is not JSON"),
            ("[\"EVENT\"]", "NOTICE", "invalid: EVENT: event is missing"),
            ("[\"REQ\",\"s\",{\"kinds\":\"x\"}]", "CLOSED", "invalid: REQ: filter"),
            ("[\"REQ\",\"s\",{\"nips\":[1]}]", "CLOSED", "unsupported: REQ: filter: unknown"),
            ("[\"REQ\",\"s\",{\"search\":\"x\"}]", "CLOSED", "unsupported: search"),
            ("[\"HELLO\",1]", "NOTICE", "unsupported: unknown message type \"HELLO\""),
            (deep.as_str(), "NOTICE", "invalid: frame is not JSON"),
        ] {
            client.send_text(frame).await;
            let answer = client.next().await;
            let text = answer.as_array().unwrap().last().unwrap().as_str().unwrap();
            assert_eq!(answer[0], verb, "{answer}");
            assert!(text.starts_with(reason), "{text}");
        }
        client.nothing_waits().await;
    });
    let gateway = &http::get(&daemon.url("/api/v1/status")).json()["gateway"];
    assert_eq!((&gateway["bad_messages"], &gateway["unknown_messages"]), (&json!(7), &json!(1)));
}

#[test]
fn limits_are_enforced_as_the_information_document_states_them() {
    let config = "[gateway.websocket]\nmax_message_bytes = 2048\nmax_subscriptions = 2\n\
                  max_subscription_id_chars = 8\nmax_filters = 2\nmax_limit = 3\n\
                  max_bad_messages = 4\n";
    let daemon = Daemon::with(config, &[]);
    let limits =
        http::get_as(&daemon.url("/"), "application/nostr+json").json()["limitation"].clone();
    assert_eq!(limits["max_message_length"], 2_048);
    assert_eq!(limits["max_subscriptions"], 2);
    assert_eq!(limits["max_subid_length"], 8);
    assert_eq!(limits["max_limit"], 3);
    assert_eq!(limits["max_content_length"], 524_288);
    run(async {
        let mut client = Socket::open(&daemon).await;
        for content in ["1", "2", "3", "4", "5"] {
            assert!(client.publish(&note(content)).await.0);
        }
        for id in ["a", "b"] {
            client.send(json!(["REQ", id, { "limit": 100 }])).await;
            assert_eq!(client.until_eose(id).await.len(), 3);
        }
        for (frame, reason) in [
            (json!(["REQ", "c", {}]), "rate-limited: 2 subscriptions are open"),
            (json!(["REQ", "123456789", {}]), "invalid: subscription id of 9 characters"),
            (json!(["REQ", "a", {}, {}, {}]), "invalid: 3 filters are more than"),
        ] {
            client.send(frame).await;
            let answer = client.next().await;
            assert_eq!(answer[0], "CLOSED");
            assert!(answer[2].as_str().unwrap().starts_with(reason), "{answer}");
        }
        client.send(json!(["CLOSE", "b"])).await;
        client.send(json!(["REQ", "c", {}])).await;
        assert_eq!(client.until_eose("c").await.len(), 3);
        client.send_text("x").await;
        assert_eq!(client.next().await[0], "NOTICE");
        client.send_text("x").await;
        let (frames, code) = client.drained().await;
        assert_eq!(code, u16::from(CloseCode::Policy));
        assert!(frames.last().unwrap()[1].as_str().unwrap().contains("too many malformed"));
    });
}

#[test]
fn a_message_over_the_limit_ends_the_connection_with_its_reason() {
    let daemon = Daemon::with("[gateway.websocket]\nmax_message_bytes = 4096\n", &[]);
    run(async {
        let mut whole = Socket::open(&daemon).await;
        whole.send_text("x".repeat(1_000_000)).await;
        let (frames, code) = whole.drained().await;
        assert_eq!(code, u16::from(CloseCode::Size));
        let notice = frames[0][1].as_str().unwrap();
        assert!(notice.contains("1000000 bytes is over the limit of 4096"), "{notice}");
        // Announced and never sent: refused by the header alone.
        let mut announced = Socket::open(&daemon).await;
        let header = [0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4];
        raw(&mut announced).write_all(&header).await.unwrap();
        assert_eq!(announced.drained().await.1, u16::from(CloseCode::Size));
    });
    let status = http::get(&daemon.url("/api/v1/status")).json();
    assert_eq!(status["gateway"]["oversized_messages"], 2);
}

#[test]
fn frames_that_are_no_utf8_text_end_the_connection_with_their_reason() {
    let daemon = Daemon::start();
    run(async {
        let mut not_utf8 = Socket::open(&daemon).await;
        let masked = [0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe];
        raw(&mut not_utf8).write_all(&masked).await.unwrap();
        let (frames, code) = not_utf8.drained().await;
        assert_eq!(code, u16::from(CloseCode::Invalid), "{frames:?}");
        let mut binary = Socket::open(&daemon).await;
        binary.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
        let (frames, code) = binary.drained().await;
        assert_eq!(code, u16::from(CloseCode::Unsupported), "{frames:?}");
        let mut unmasked = Socket::open(&daemon).await;
        raw(&mut unmasked).write_all(&[0x81, 0x01, b'x']).await.unwrap();
        let (frames, code) = unmasked.drained().await;
        assert_eq!(code, u16::from(CloseCode::Protocol), "{frames:?}");
        let mut reserved = Socket::open(&daemon).await;
        raw(&mut reserved).write_all(&[0x83, 0x80, 0, 0, 0, 0]).await.unwrap();
        let (frames, code) = reserved.drained().await;
        assert_eq!(code, u16::from(CloseCode::Protocol), "{frames:?}");
        Socket::open(&daemon).await.nothing_waits().await;
    });
}

fn raw(socket: &mut Socket) -> &mut tokio::net::TcpStream {
    match socket.0.get_mut() {
        tokio_tungstenite::MaybeTlsStream::Plain(stream) => stream,
        _ => panic!("not a plain stream"),
    }
}

#[test]
fn a_client_that_does_not_read_is_disconnected_and_counted() {
    let config = "[gateway.websocket]\nslow_reader_timeout = \"300ms\"\noutgoing_messages = 8\n";
    let daemon = Daemon::with(config, &[]);
    run(async {
        let mut writer = Socket::open(&daemon).await;
        let large = "x".repeat(100_000);
        for number in 0..20 {
            assert!(writer.publish(&note(&format!("{number}{large}"))).await.0);
        }
        let mut lazy = Socket::open(&daemon).await;
        for number in 0..20 {
            lazy.send(json!(["REQ", number.to_string(), {}])).await;
        }
        // 40 MB were asked for and nothing is read.
        let status = || http::get(&daemon.url("/api/v1/status")).json();
        eventually("the slow reader is counted", || {
            (status()["gateway"]["slow_readers"] == 1).then_some(())
        });
        eventually("its connection is gone", || {
            (status()["gateway"]["websockets"] == 1).then_some(())
        });
        let mut rest = Vec::new();
        // What was on the way may still be read; then the connection ends, reset or not.
        drop(raw(&mut lazy).read_to_end(&mut rest).await);
        assert!(rest.len() < 30_000_000, "{} bytes", rest.len());
        writer.nothing_waits().await;
    });
}

#[test]
fn a_silent_client_is_pinged_and_a_dead_one_disconnected() {
    let config = "[gateway.websocket]\nping_interval = \"50ms\"\nidle_timeout = \"1s\"\n";
    let daemon = Daemon::with(config, &[]);
    run(async {
        let mut alive = Socket::open(&daemon).await;
        let mut dead = Socket::open(&daemon).await;
        alive.send(json!(["REQ", "s", { "kinds": [1] }])).await;
        assert!(alive.until_eose("s").await.is_empty());
        // Reading answers pings; the dead client does neither.
        let heard = tokio::time::timeout(std::time::Duration::from_millis(2_500), alive.try_next());
        assert!(heard.await.is_err(), "nothing but pings");
        let mut rest = Vec::new();
        raw(&mut dead).read_to_end(&mut rest).await.unwrap();
        let close = [0x88, 0x02, 0x03, 0xe9];
        assert!(rest.ends_with(&close), "ends with going away (1001): {rest:?}");
        alive.nothing_waits().await;
    });
    let status = http::get(&daemon.url("/api/v1/status")).json();
    assert_eq!(status["gateway"]["idle_clients"], 1);
}

#[test]
fn events_of_a_client_that_closes_at_once_are_stored() {
    let daemon = Daemon::start();
    run(async {
        for number in 0..20 {
            let event = json!(["EVENT", note(&format!("and gone {number}"))]).to_string();
            let mut client = Socket::open(&daemon).await;
            // One write: the event, and the close frame or just the end.
            let length = u16::try_from(event.len()).unwrap().to_be_bytes();
            let mut bytes = vec![0x81, 0xfe, length[0], length[1], 0, 0, 0, 0];
            bytes.extend_from_slice(event.as_bytes());
            if number % 2 == 0 {
                bytes.extend_from_slice(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]);
            }
            raw(&mut client).write_all(&bytes).await.unwrap();
            raw(&mut client).shutdown().await.unwrap();
        }
    });
    eventually("all events are stored", || {
        let count = http::post(&daemon.url("/api/v1/count"), r#"{"kinds":[1]}"#).json();
        (count["count"] == 20).then_some(())
    });
    daemon.stop();
}

#[test]
fn empty_messages_are_no_fault() {
    let daemon = Daemon::with("[gateway.websocket]\nmax_bad_messages = 1\n", &[]);
    run(async {
        let mut client = Socket::open(&daemon).await;
        for _ in 0..10 {
            client.send_text("").await;
            client.send_text("\n").await;
        }
        client.nothing_waits().await;
    });
}

#[test]
fn an_event_from_too_far_ahead_is_refused_as_the_information_document_states_it() {
    let daemon = Daemon::with("[gateway.websocket]\nmax_bad_messages = 1\n", &[]);
    let limits =
        http::get_as(&daemon.url("/"), "application/nostr+json").json()["limitation"].clone();
    let limit = limits["created_at_upper_limit"].as_i64().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    run(async {
        let mut client = Socket::open(&daemon).await;
        for created_at in [now + limit + 600, 1 << 62, i64::MAX] {
            let (accepted, message) = client.publish(&event(1, 1, created_at, &[], "x")).await;
            assert!(!accepted && message.starts_with("invalid: created_at is "), "{message}");
        }
        let soon = event(1, 1, now + limit - 600, &[], "x");
        assert_eq!(client.publish(&soon).await, (true, String::new()));
        client.nothing_waits().await;
    });
}
