//! The targets, one file each.

mod bolt11;
mod cashu;
mod content_blocks;
mod encrypted_text;
mod event_decode;
mod filter_json;
mod flatbuffers;
mod frame_scan;
mod kinds;
mod markdown;
mod nip19;
mod packed_event;
mod relay_session;
mod relay_url;

use crate::Target;

/// Every target there is.
pub const ALL: &[Target] = &[
    Target {
        name: "frame_scan",
        run: frame_scan::run,
        words: &["[\"EVENT\",", "[\"OK\",", "\"AUTH\"", "\"COUNT\"", "[\"REQ\",", "{\"count\":1}"],
    },
    Target {
        name: "event_decode",
        run: event_decode::run,
        words: &["\"id\":", "\"kind\":", "\"tags\":[[]]", "\\u0000", "\\ud800", "-0", "1e3", "[["],
    },
    Target {
        name: "content_blocks",
        run: content_blocks::run,
        words: &["nostr:npub1", "https://", "```", "#", ":a:", "#[0]", "cashuB", "lnbc1", "\u{1e}"],
    },
    Target { name: "nip19", run: nip19::run, words: &["nostr:", "npub1", "\u{0}\u{20}", "nsec1"] },
    Target { name: "bolt11", run: bolt11::run, words: &["bc", "bcrt", "10u", "p", "2100000000"] },
    Target { name: "flatbuffers", run: flatbuffers::run, words: &[] },
    Target {
        name: "packed_event",
        run: packed_event::run,
        words: &["\u{2}\u{1}", "\u{0}", "\u{7f}"],
    },
    Target {
        name: "encrypted_text",
        run: encrypted_text::run,
        words: &["?iv=", "AAAAAAAAAAAAAAAAAAAAAA==", "Ag", "#", "="],
    },
    Target {
        name: "filter_json",
        run: filter_json::run,
        words: &["\"ids\":", "\"#e\":", "\"limit\":", "\"search\":", "\"since\":", "\"kinds\":[1]"],
    },
    Target {
        name: "relay_url",
        run: relay_url::run,
        words: &["wss://", "ws://", "[::1]", ":443", "@", "%2f", "?", "#", "xn--", "\u{130}"],
    },
    Target {
        name: "kinds",
        run: kinds::run,
        words: &["\u{1e}e\u{1f}", "\u{1e}p\u{1f}", "\u{1e}amount\u{1f}", "{\"", "[[", ":", "?iv="],
    },
    Target {
        name: "relay_session",
        run: relay_session::run,
        words: &[
            "\n",
            "SUB",
            "EVENT-ID",
            "[\"EOSE\",\"SUB\"]",
            "[\"AUTH\",\"c\"]",
            "!lost",
            "!s30",
        ],
    },
    Target {
        name: "cashu",
        run: cashu::run,
        words: &["cashuA", "cashuB", "\"amount\":", "\"proofs\":[", "\"mint\":\"m\"", "=", "\u{1}"],
    },
    Target {
        name: "markdown",
        run: markdown::run,
        words: &[
            "> ", "- ", "1. ", "\n\n", "```", "**", "[", "](", "![", "<b>", "# ", "    ", "\\",
        ],
    },
];

/// The target of that name.
pub fn find(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|target| target.name == name)
}
