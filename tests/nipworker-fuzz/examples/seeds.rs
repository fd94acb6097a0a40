//! Writes the made seeds: real events, published examples, and one message of each edge. Those
//! that a fuzzer found are not touched.
//!
//! ```console
//! $ cargo run -p nipworker-fuzz --example seeds
//! ```

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, path::Path};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bech32::primitives::decode::CheckedHrpstring;
use nipworker_fuzz::text;
use nipworker_protocol::{
    Event, EventLimits, Filter, PackedEvent, PackedEvents, RelayMessage, UnsignedEvent,
};
use nipworker_schema::{
    CacheEdge, ClientEdge, CryptoEdge, EventBatchT, FailureCode, GetPublicKeyT, IngestEdge,
    MineEventT, MinerEdge, OpenReqT, PersistT, QueryPageT, RelayEdge, SignT, SubscribeT,
};

/// Longest real event that becomes a seed, in bytes of JSON.
const MAX_EVENT_BYTES: usize = 1_500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn write(target: &str, name: &str, bytes: impl AsRef<[u8]>) {
    let folder = root().join("seeds").join(target);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("made-{name}")), bytes).unwrap();
}

/// One real event of each kind, and some notes of each number of tags.
fn real_events() -> Vec<Event> {
    let lines = std::fs::read_to_string(root().join("../data/real-events.jsonl")).unwrap();
    let limits = EventLimits::default();
    let mut seen = BTreeSet::new();
    lines
        .lines()
        .filter(|line| line.len() <= MAX_EVENT_BYTES)
        .map(|line| Event::from_json(line.as_bytes(), &limits).unwrap())
        .filter(|event| seen.insert((event.kind, event.tags.len().min(4))))
        .collect()
}

fn main() {
    let events = real_events();
    let note = events.iter().find(|event| event.kind == 1).unwrap();
    for (number, event) in events.iter().enumerate() {
        let number = format!("{number:02}-kind-{}", event.kind);
        write("event_decode", &number, event.to_json());
        let text = text::join(&event.content, &event.tags);
        let kind = event.kind.to_be_bytes();
        write("kinds", &number, [kind.as_slice(), text.as_bytes()].concat());
        write("content_blocks", &number, text);
        write("packed_event", &number, PackedEvent::new(event).view().as_bytes());
    }
    frames(note);
    kinds();
    names();
    filters();
    messages(note);
    sessions(note);
    content();
    tokens();
    articles();
}

fn frames(note: &Event) {
    let id = note.id;
    for (name, frame) in [
        ("event", RelayMessage::event_frame("sub-1", &note.to_json())),
        ("ok", format!(r#"["OK","{id}",true,""]"#)),
        ("refused", format!(r#"["OK","{id}",false,"pow: 20 bits needed"]"#)),
        ("eose", r#"["EOSE","sub-1"]"#.to_owned()),
        ("closed", r#"["CLOSED","sub-1","auth-required: who are you"]"#.to_owned()),
        ("notice", r#"["NOTICE","a \"text\" \u00e9 \ud83d\ude00"]"#.to_owned()),
        ("auth", r#"["AUTH","challenge"]"#.to_owned()),
        ("count", r#"["COUNT","sub-1",{"count":5,"approximate":true}]"#.to_owned()),
        ("publish", format!(r#"["EVENT",{}]"#, note.to_json())),
        ("req", r##"["REQ","s",{"kinds":[1],"#e":["00"],"limit":1},{"search":"x"}]"##.to_owned()),
        ("close", r#"["CLOSE","s"]"#.to_owned()),
        ("ask-count", r#"["COUNT","s",{"authors":[]}]"#.to_owned()),
        ("client-auth", format!(r#"["AUTH",{}]"#, note.to_json())),
        ("neg", r#"["NEG-OPEN","s",{},"6100000200"]"#.to_owned()),
        ("deep", format!("{}1{}", "[".repeat(200), "]".repeat(200))),
    ] {
        write("frame_scan", name, frame);
    }
}

/// Kinds that the real events do not have.
fn kinds() {
    let hex = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    let address = format!("30023:{hex}:d");
    for (name, kind, text) in [
        ("metadata", 0_u16, r#"{"name":"a","nip05":"b@c.d","bot":true,"lud16":1}"#.to_owned()),
        ("seal", 13, format!("Ag{}", "A".repeat(130))),
        ("chat", 14, format!("hi\u{1e}p\u{1f}{hex}\u{1f}wss://a.b\u{1e}subject\u{1f}s")),
        ("web", 17, "+\u{1e}r\u{1f}https://a.b/c#d".to_owned()),
        ("video", 22, "\u{1e}imeta\u{1f}url https://a.b/c.mp4\u{1f}dim 1x2\u{1f}duration 1.5\u{1e}segment\u{1f}00:00:01.5\u{1f}00:01:00\u{1f}t".to_owned()),
        ("wrap", 1_059, format!("Ag{}\u{1e}p\u{1f}{hex}", "A".repeat(130))),
        ("poll", 1_068, "?\u{1e}option\u{1f}a\u{1f}A\u{1e}polltype\u{1f}singlechoice\u{1e}endsAt\u{1f}9".to_owned()),
        ("comment", 1_111, format!("c\u{1e}A\u{1f}{address}\u{1e}K\u{1f}30023\u{1e}a\u{1f}{address}\u{1e}k\u{1f}30023")),
        ("history", 7_376, r#"[["direction","in"],["amount","1"],["unit","sat"]]"#.to_owned()),
        ("wallet", 17_375, r#"[["privkey","00"],["mint","https://m"]]"#.to_owned()),
        ("token", 7_375, r#"{"mint":"https://m","proofs":[{"id":"1","amount":1,"secret":"s","C":"c"}],"del":["x"]}"#.to_owned()),
        ("nutzap", 9_321, format!("\u{1e}proof\u{1f}{{\"id\":\"1\",\"amount\":1,\"secret\":\"s\",\"C\":\"2\"}}\u{1e}u\u{1f}https://m\u{1e}p\u{1f}{hex}")),
        ("zap", 9_735, format!("\u{1e}p\u{1f}{hex}\u{1e}bolt11\u{1f}lnbc10u1\u{1e}description\u{1f}{{\"id\":\"{hex}\",\"pubkey\":\"{hex}\",\"created_at\":1,\"kind\":9734,\"tags\":[],\"content\":\"\",\"sig\":\"{hex}{hex}\"}}")),
        ("relays", 10_002, "\u{1e}r\u{1f}wss://a.b\u{1f}read\u{1e}r\u{1f}wss://c.d".to_owned()),
        ("mints", 10_019, format!("\u{1e}mint\u{1f}https://m\u{1f}sat\u{1e}pubkey\u{1f}{hex}\u{1e}relay\u{1f}wss://a.b")),
        ("old-private-list", 30_000, "AAAAAAAAAAAAAAAAAAAAAA==?iv=AAAAAAAAAAAAAAAAAAAAAA==\u{1e}d\u{1f}x".to_owned()),
        ("article", 30_023, "# t\u{1e}d\u{1f}x\u{1e}title\u{1f}T\u{1e}published_at\u{1f}1".to_owned()),
        ("live", 30_311, format!("\u{1e}d\u{1f}x\u{1e}p\u{1f}{hex}\u{1f}wss://a\u{1f}Host\u{1f}proof")),
    ] {
        write("kinds", name, [&kind.to_be_bytes(), text.as_bytes()].concat());
    }
}

fn names() {
    for (number, name) in [
        "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6",
        "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5",
        "nprofile1qqsrhuxx8l9ex335q7he0f09aej04zpazpl0ne2cgukyawd24mayt8gpp4mhxue69uhhytnc9e3k7mgpz4mhxue69uhkg6nzv9ejuumpv34kytnrdaksjlyr9p",
        "nostr:naddr1qqzkjurnw4ksz9thwden5te0wfjkccte9ehx7um5wghx7un8qgs2d90kkcq3nk2jry62dyf50k0h36rhpdtd594my40w9pkal876jxgrqsqqqa28pccpzu",
    ]
    .into_iter()
    .enumerate()
    {
        write("nip19", &number.to_string(), name);
        // The same as a choice of prefix and the bytes.
        let text = name.trim_start_matches("nostr:");
        let bytes: Vec<u8> = CheckedHrpstring::new::<bech32::Bech32>(text).unwrap().byte_iter().collect();
        let prefix = [0, 5, 2, 4][number];
        write("nip19", &format!("{number}-bytes"), [&[prefix], bytes.as_slice()].concat());
    }
    let parts =
        [[3, 0, 32].as_slice(), &[9; 32], &[1, 7], b"wss://a", &[3, 4, 0, 0, 0, 1]].concat();
    write("nip19", "event", parts);

    for (number, text) in [
        "lnbc2500u1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpuaztrnwngzn3kdzw5hydlzf03qdgm2hdq27cqv3agm2awhz5se903vruatfhq77w3ls4evs3ch9zw97j25emudupq63nyw24cg27h2rspfj9srp",
        "lnbc1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq8rkx3yf5tcsyz3d73gafnh3cax9rn449d9p5uxz9ezhhypd0elx87sjle52x86fux2ypatgddc6k63n7erqz25le42c4u4ecky03ylcqca784w",
    ]
    .into_iter()
    .enumerate()
    {
        write("bolt11", &number.to_string(), text);
    }
    // Amount, a zero, fields: payment hash, description, expiry.
    for (name, amount) in
        [("milli", "bc1m"), ("pico", "tb9678785340p"), ("none", "bcrt"), ("nano", "bc210n")]
    {
        let hash = [[1, 1, 20].as_slice(), &[3; 52]].concat();
        let rest = [amount.as_bytes(), &[0], &hash, &[13, 0, 2, 12, 8], &[6, 0, 1, 30]].concat();
        write("bolt11", name, rest);
    }

    for (number, url) in [
        "wss://relay.example.com",
        "WS://Relay.Example.com:80//a/b/?x=1#f",
        "wss://[2001:db8::1]:443/",
        "ws://127.0.0.1:7447/inbox?a",
        "wss://xn--bcher-kva.example:65535",
    ]
    .into_iter()
    .enumerate()
    {
        write("relay_url", &number.to_string(), url);
    }
}

fn filters() {
    let hex = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    for (name, filter) in [
        ("empty", "{}".to_owned()),
        (
            "all",
            format!(
                r##"{{"ids":["{hex}"],"authors":["{hex}"],"kinds":[1,65535],"#e":["{hex}"],"#P":["x",""],"since":-1,"until":9223372036854775807,"limit":0,"search":""}}"##
            ),
        ),
        ("lists", r##"{"ids":[],"kinds":[],"#t":[]}"##.to_owned()),
        ("null", r#"{"since":null,"ids":null}"#.to_owned()),
    ] {
        write("filter_json", name, filter);
    }
}

fn messages(note: &Event) {
    let filter = Filter::new().kinds([1, 7]).tag('t', ["nostr"]).authors([note.pubkey]).limit(9);
    let subscribe = SubscribeT { filters: vec![filter.clone().into()], ..SubscribeT::default() };
    write("flatbuffers", "subscribe", ClientEdge::encode(subscribe).as_bytes());
    let failed = ClientEdge::failed(FailureCode::Busy, "full", true);
    write("flatbuffers", "failed", failed.as_bytes());
    let batch = EventBatchT {
        relay: "wss://a.b".to_owned(),
        subscription: "s".to_owned(),
        events: vec![note.to_json()],
    };
    write("flatbuffers", "batch", IngestEdge::encode(batch).as_bytes());
    let sign = SignT { template: UnsignedEvent::from(note.clone()).into() };
    write("flatbuffers", "sign", CryptoEdge::encode(sign).as_bytes());
    write("flatbuffers", "key", CryptoEdge::encode(GetPublicKeyT {}).as_bytes());
    let all = [note, note].into_iter().collect::<PackedEvents>().into_bytes();
    write("packed_event", "several", all);
    let persist = PersistT { events: [note].into_iter().collect::<PackedEvents>().into_bytes() };
    write("flatbuffers", "persist", CacheEdge::encode(persist).as_bytes());
    let page = QueryPageT { filters: vec![filter.clone().into()], ..QueryPageT::default() };
    write("flatbuffers", "page", CacheEdge::encode(page).as_bytes());
    let open = OpenReqT { filters: vec![filter.into()], ..OpenReqT::default() };
    write("flatbuffers", "open", RelayEdge::encode(open).as_bytes());
    let mine =
        MineEventT { template: UnsignedEvent::from(note.clone()).into(), ..MineEventT::default() };
    write("flatbuffers", "mine", MinerEdge::encode(mine).as_bytes());
}

fn sessions(note: &Event) {
    let event = note.to_json();
    for (name, lines) in [
        ("polite", format!("[\"EVENT\",\"SUB\",{event}]\n[\"EOSE\",\"SUB\"]\n[\"OK\",\"EVENT-ID\",true,\"\"]\n~[\"EOSE\",\"SUB\"]\n~[\"OK\",\"EVENT-ID\",false,\"blocked: no\"]\n!ca")),
        ("late-auth", "[\"AUTH\",\"one\"]\n[\"CLOSED\",\"SUB\",\"auth-required: who\"]\n[\"OK\",\"EVENT-ID\",false,\"auth-required: who\"]\n[\"AUTH\",\"two\"]\n!s70".to_owned()),
        ("reconcile", "!reconcile\n[\"NEG-MSG\",\"SUB\",\"61000200\"]\n[\"NEG-ERR\",\"SUB\",\"blocked: no\"]\n!reconcile\n[\"NOTICE\",\"unknown command\"]\n~!reconcile\n!s70".to_owned()),
        ("broken", "{\n[\"EVENT\",\"other\",{}]\n!binary\n[\"EOSE\",\"SUB\"]\n[\"EOSE\",\"SUB\"]\n!lost\n!s3\n!dialled\n[\"EOSE\",\"SUB\"]".to_owned()),
        ("away", "!lost\n~!lost\n!s1\n!refused\n!s2\n~!dialled\n!ob\n!s30\n!dialled\n!s60\n!alive".to_owned()),
        ("lossy", format!("!hold\n[\"EVENT\",\"SUB\",{event}]\n!drop\n!hold\n[\"EVENT\",\"SUB\",{event}]\n!deliver\n!lost\n!s5\n!dialled\n!publish\n!hurry")),
    ] {
        write("relay_session", name, lines);
    }
}

fn content() {
    for (name, text) in [
        (
            "mixed",
            "gm #nostr https://a.b/c.png :x: #[0] nostr:npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6 é漢😀\u{1e}emoji\u{1f}x\u{1f}https://a.b/x.png\u{1e}imeta\u{1f}url https://a.b/c.png\u{1f}dim 1x1\u{1f}blurhash x",
        ),
        ("code", "a ```rust\nfn main() {}\n``` b `c` ```"),
        (
            "money",
            "cashuAeyJ0b2tlbiI6W119 lnbc1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq8rkx3yf5tcsyz3d73gafnh3cax9rn449d9p5uxz9ezhhypd0elx87sjle52x86fux2ypatgddc6k63n7erqz25le42c4u4ecky03ylcqca784w",
        ),
        (
            "media",
            "https://a.b/1.jpg https://a.b/2.mp4\nhttps://a.b/3.mp3 (https://a.b/(x)) https://a.b.",
        ),
    ] {
        write("content_blocks", name, text);
    }
}

/// The examples of NUT-00: as text, and decoded.
fn tokens() {
    for (name, text) in [
        (
            "json",
            "cashuAeyJ0b2tlbiI6W3sibWludCI6Imh0dHBzOi8vODMzMy5zcGFjZTozMzM4IiwicHJvb2ZzIjpbeyJhbW91bnQiOjIsImlkIjoiMDA5YTFmMjkzMjUzZTQxZSIsInNlY3JldCI6IjQwNzkxNWJjMjEyYmU2MWE3N2UzZTZkMmFlYjRjNzI3OTgwYmRhNTFjZDA2YTZhZmMyOWUyODYxNzY4YTc4MzciLCJDIjoiMDJiYzkwOTc5OTdkODFhZmIyY2M3MzQ2YjVlNDM0NWE5MzQ2YmQyYTUwNmViNzk1ODU5OGE3MmYwY2Y4NTE2M2VhIn0seyJhbW91bnQiOjgsImlkIjoiMDA5YTFmMjkzMjUzZTQxZSIsInNlY3JldCI6ImZlMTUxMDkzMTRlNjFkNzc1NmIwZjhlZTBmMjNhNjI0YWNhYTNmNGUwNDJmNjE0MzNjNzI4YzcwNTdiOTMxYmUiLCJDIjoiMDI5ZThlNTA1MGI4OTBhN2Q2YzA5NjhkYjE2YmMxZDVkNWZhMDQwZWExZGUyODRmNmVjNjlkNjEyOTlmNjcxMDU5In1dfV0sInVuaXQiOiJzYXQiLCJtZW1vIjoiVGhhbmsgeW91LiJ9",
        ),
        (
            "cbor",
            "cashuBo2F0gqJhaUgA_9SLj17PgGFwgaNhYQFhc3hAYWNjMTI0MzVlN2I4NDg0YzNjZjE4NTAxNDkyMThhZjkwZjcxNmE1MmJmNGE1ZWQzNDdlNDhlY2MxM2Y3NzM4OGFjWCECRFODGd5IXVW-07KaZCvuWHk3WrnnpiDhHki6SCQh88-iYWlIAK0mjE0fWCZhcIKjYWECYXN4QDEzMjNkM2Q0NzA3YTU4YWQyZTIzYWRhNGU5ZjFmNDlmNWE1YjRhYzdiNzA4ZWIwZDYxZjczOGY0ODMwN2U4ZWVhY1ghAjRWqhENhLSsdHrr2Cw7AFrKUL9Ffr1XN6RBT6w659lNo2FhAWFzeEA1NmJjYmNiYjdjYzY0MDZiM2ZhNWQ1N2QyMTc0ZjRlZmY4YjQ0MDJiMTc2OTI2ZDNhNTdkM2MzZGNiYjU5ZDU3YWNYIQJzEpxXGeWZN5qXSmJjY8MzxWyvwObQGr5G1YCCgHicY2FtdWh0dHA6Ly9sb2NhbGhvc3Q6MzMzOGF1Y3NhdA",
        ),
    ] {
        write("cashu", name, text);
        let bytes = URL_SAFE_NO_PAD.decode(&text["cashuA".len()..]).unwrap();
        write("cashu", &format!("{name}-bytes"), bytes);
    }
}

fn articles() {
    for (name, text) in [
        (
            "blocks",
            "# One\n\nTwo\n---\n\n> a\n> > b\n\n3. c\n4. d\n   - e\n\n```rust\nx\n```\n\n    y\n\n***\n<div>\n</div>\n",
        ),
        (
            "inlines",
            "*a* **b** `c` [d](https://a.b \"T\") ![e](f) <b> \\* &amp; #tag :x:  \nnostr:npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6\u{1e}emoji\u{1f}x\u{1f}https://a.b/x.png",
        ),
        ("references", "[a] [b][c] [![d](e)](f) <https://a.b>\n\n[a]: /x 'y'\n[c]: <z>\n"),
        ("nested", "> - > - > 1. *a **b *c** d* [e *f](g)*\n> >\n>\n"),
    ] {
        write("markdown", name, text);
    }
}
