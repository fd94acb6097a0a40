//! Zaps, ecash and polls: where a wrong number costs something.

use nipworker_signer::{PrivateKeySigner, verify_event};
use sha2::{Digest, Sha256};

use super::*;
use crate::content::tests::invoice;

const PREIMAGE: [u8; 32] = [9; 32];

fn request(tag_list: &[&[&str]]) -> Event {
    UnsignedEvent::new(key(5), 1, 9_734, tags(tag_list), "great")
        .with_signature(Signature::from_bytes([0; 64]))
}

/// A receipt by key 1 over `prefix` for key 2, with what `more` adds.
fn receipt(prefix: &str, request: &str, more: &[&[&str]]) -> Event {
    let paid = Sha256::digest(PREIMAGE).into();
    let bolt11 = invoice(prefix, paid, Sha256::digest(request).into());
    let recipient = hex(2);
    let mut all: Vec<&[&str]> = more.to_vec();
    let own: [&[&str]; 3] = [&["p", &recipient], &["bolt11", &bolt11], &["description", request]];
    all.extend(own);
    event(9_735, &all, "")
}

fn doubts(receipt: &Event) -> Vec<ZapDoubt> {
    view!(ZapReceipt, receipt).doubts(&key(1))
}

#[test]
fn a_sound_zap_has_the_amount_of_its_invoice_and_no_doubts() {
    let asked = request(&[&["p", &hex(2)], &["e", &hex(3)], &["amount", "21000"]]).to_json();
    let zap = receipt(
        "lnbc210n",
        &asked,
        &[&["e", &hex(3)], &["P", &hex(5)], &["preimage", &EventId::from_bytes(PREIMAGE).to_hex()]],
    );
    let zap = view!(ZapReceipt, &zap);
    assert_eq!(
        (zap.amount_msat, zap.sender, zap.comment.as_str()),
        (Some(21_000), key(5), "great")
    );
    assert_eq!((zap.target.recipient, zap.target.event), (key(2), Some(id(3))));
    assert_eq!(zap.doubts(&key(1)), []);
    assert_eq!(zap.doubts(&key(4)), [ZapDoubt::OtherProvider]);
}

/// An earlier engine took the amount from the request, whatever was paid, and called it valid.
#[test]
fn a_request_for_more_than_was_invoiced_is_doubted() {
    let asked = request(&[&["p", &hex(2)], &["amount", "2100000000000"]]).to_json();
    let zap = receipt("lnbc2500u", &asked, &[]);
    let doubt =
        ZapDoubt::OtherAmount { requested_msat: 2_100_000_000_000, invoiced_msat: 250_000_000 };
    assert_eq!(doubts(&zap), [doubt]);
    assert_eq!(view!(ZapReceipt, &zap).amount_msat, Some(250_000_000));
    assert_eq!(doubts(&receipt("lnbc", &asked, &[])), [ZapDoubt::NoAmount]);
}

/// A request that its sender has really signed.
fn signed_request(amount: &str) -> Event {
    let signer = PrivateKeySigner::generate().unwrap();
    let tags = tags(&[&["p", &hex(2)], &["amount", amount]]);
    let request = UnsignedEvent::new(signer.key(), 1, 9_734, tags, "great");
    signer.sign_now(request).unwrap()
}

/// A zap counted what its request said, whatever was invoiced, and nobody checked signatures.
#[test]
fn l10_a_zap_is_valid_only_with_its_invoice_its_signature_and_its_provider() {
    let verify = |event: &Event| verify_event(event.clone()).is_ok();
    let asked = signed_request("1000000");
    let text = asked.to_json();
    for prefix in ["lnbc10u", "lnbc10000n", "lnbc10000000p"] {
        let sound = receipt(prefix, &text, &[]);
        let sound = view!(ZapReceipt, &sound);
        let verdict = sound.verdict(&key(1), verify);
        assert_eq!(verdict, ZapVerdict::Valid { amount_msat: 1_000_000 }, "{prefix}");
        assert!(verdict.is_valid());
        let other = ZapVerdict::Invalid { doubts: vec![ZapDoubt::OtherProvider] };
        assert_eq!(sound.verdict(&key(4), verify), other);
    }
    // 21 sat, 1 mBTC, 10 whole bitcoin, and no amount: none is what the request asked for.
    for (prefix, invoiced_msat) in
        [("lnbc210n", 21_000), ("lnbc1m", 100_000_000), ("lnbc10", 1_000_000_000_000)]
    {
        let zap = receipt(prefix, &text, &[]);
        let doubt = ZapDoubt::OtherAmount { requested_msat: 1_000_000, invoiced_msat };
        let verdict = view!(ZapReceipt, &zap).verdict(&key(1), verify);
        assert_eq!(verdict, ZapVerdict::Invalid { doubts: vec![doubt] }, "{prefix}");
    }
    let open = receipt("lnbc", &text, &[]);
    let verdict = view!(ZapReceipt, &open).verdict(&key(1), verify);
    assert_eq!(verdict, ZapVerdict::Invalid { doubts: vec![ZapDoubt::NoAmount] });

    let unsigned = Event { sig: Signature::from_bytes([0; 64]), ..asked }.to_json();
    let zap = receipt("lnbc10u", &unsigned, &[]);
    let verdict = view!(ZapReceipt, &zap).verdict(&key(1), verify);
    assert_eq!(verdict, ZapVerdict::Invalid { doubts: vec![ZapDoubt::RequestSignature] });
}

#[test]
fn every_way_a_receipt_can_contradict_itself_is_named() {
    let asked = request(&[&["p", &hex(2)]]);
    let text = asked.to_json();
    let sound = receipt("lnbc1u", &text, &[]);
    assert_eq!(doubts(&sound), []);

    let mut other_request = sound.clone();
    let description = other_request.tags.len() - 1;
    other_request.tags[description].0[1] = format!("{text} ");
    assert_eq!(doubts(&other_request), [ZapDoubt::OtherInvoice]);
    let forged = text.replace("great", "gross");
    assert_eq!(doubts(&receipt("lnbc1u", &forged, &[])), [ZapDoubt::RequestId]);
    let elsewhere = receipt("lnbc1u", &text, &[&["e", &hex(3)]]);
    assert_eq!(doubts(&elsewhere), [ZapDoubt::OtherTarget]);
    assert_eq!(doubts(&receipt("lnbc1u", &text, &[&["P", &hex(6)]])), [ZapDoubt::OtherSender]);
    for preimage in [hex(3), "x".to_owned()] {
        let unpaid = receipt("lnbc1u", &text, &[&["preimage", &preimage]]);
        assert_eq!(doubts(&unpaid), [ZapDoubt::OtherPreimage]);
    }
}

#[test]
fn what_is_no_receipt_is_refused_with_its_reason() {
    let text = request(&[&["p", &hex(2)]]).to_json();
    let without = |name: &str| {
        let mut receipt = receipt("lnbc1u", &text, &[]);
        receipt.tags.retain(|tag| tag.name() != name);
        flaw(&receipt)
    };
    for name in ["p", "bolt11", "description"] {
        assert_eq!(without(name), Flaw::MissingTag(name));
    }
    let bad = Flaw::Tag { name: "bolt11", expected: "an invoice" };
    assert_eq!(flaw(&receipt("lnbc1p", &text, &[])), bad);
    let note = event(1, &[&["p", &hex(2)]], "").to_json();
    let bad = Flaw::Tag { name: "description", expected: "a zap request in JSON" };
    assert_eq!(flaw(&receipt("lnbc1u", &note, &[])), bad);
    let bad = Flaw::Tag { name: "e", expected: "an event id" };
    assert_eq!(flaw(&receipt("lnbc1u", &text, &[&["e", "x"]])), bad);
}

#[test]
fn amounts_with_a_sign_a_point_or_too_many_digits_are_refused() {
    for amount in ["-1", "+1", "1.0", "1e3", " 1", "18446744073709551616", "٣"] {
        let request = request(&[&["p", &hex(2)], &["amount", amount]]);
        assert_eq!(flaw(&request), Flaw::Amount { place: "amount" }, "{amount}");
    }
    let largest = request(&[&["p", &hex(2)], &["amount", "18446744073709551615"]]);
    assert_eq!(view!(ZapRequest, &largest).amount_msat, Some(u64::MAX));
}

#[test]
fn the_relays_of_a_request_are_all_of_one_tag() {
    let request = request(&[
        &["p", &hex(2)],
        &["relays", "wss://a.example", "x", "wss://A.example/", "wss://b.example"],
    ]);
    let relays = view!(ZapRequest, &request).relays;
    let relays: Vec<_> = relays.iter().map(|url| url.as_str()).collect();
    assert_eq!(relays, ["wss://a.example", "wss://b.example"]);
}

fn proof(amount: u64, secret: &str) -> String {
    serde_json::json!({ "id": "00", "amount": amount, "secret": secret, "C": "02" }).to_string()
}

fn lock(key: &str) -> String {
    format!(r#"["P2PK",{{"nonce":"1","data":"{key}","tags":[]}}]"#)
}

fn nutzap(proofs: &[String]) -> Event {
    let mut event = event(9_321, &[&["p", &hex(2)], &["u", "https://mint"]], "for you");
    event.tags.extend(proofs.iter().map(|proof| Tag::new(["proof", proof])));
    event
}

/// Sums of 32 bits overflowed, and any secret with `P2PK` in it counted as locked.
#[test]
fn the_sum_of_a_nutzap_is_exact_and_its_lock_is_read() {
    let zap = nutzap(&[proof(1 << 40, &lock("02ab")), proof(1, &lock("02ab"))]);
    let zap = view!(Nutzap, &zap);
    assert_eq!((zap.amount, zap.unit, zap.mint), ((1 << 40) + 1, "sat", "https://mint"));
    assert_eq!(zap.locked_to().as_deref(), Some("02ab"));

    let over = nutzap(&[proof(u64::MAX, "a"), proof(1, "b")]);
    assert_eq!(flaw(&over), Flaw::Amount { place: "the sum of the proofs" });
    for secret in ["this is not P2PK", r#"["P2PK"]"#, r#"["HTLC",{"data":"02ab"}]"#] {
        let zap = nutzap(&[proof(1, &lock("02ab")), proof(1, secret)]);
        assert_eq!(view!(Nutzap, &zap).locked_to(), None, "{secret}");
    }
    let mixed = nutzap(&[proof(1, &lock("02ab")), proof(1, &lock("02cd"))]);
    assert_eq!(view!(Nutzap, &mixed).locked_to(), None);
}

#[test]
fn a_nutzap_without_sound_proofs_is_refused() {
    assert_eq!(flaw(&nutzap(&[])), Flaw::MissingTag("proof"));
    for proof in ["x", "{}", r#"{"id":"0","amount":-1,"secret":"","C":""}"#] {
        let flaw = flaw(&nutzap(&[proof.to_owned()]));
        assert!(matches!(flaw, Flaw::Json { place: "tag \"proof\"", .. }), "{flaw}");
    }
}

#[test]
fn a_wallet_is_read_from_what_was_decrypted() {
    let token = TokenContent::parse(&format!(
        r#"{{"mint":"https://m","unit":"usd","proofs":[{},{}],"del":["{}"]}}"#,
        proof(2, "a"),
        proof(8, "b"),
        hex(4)
    ));
    let token = token.unwrap();
    assert_eq!((token.amount, token.unit.as_str(), &token.deleted[..]), (10, "usd", &[id(4)][..]));

    let history = HistoryContent::parse(&format!(
        r#"[["direction","out"],["amount","4"],["e","{}","","created"],["e","{}","","destroyed"]]"#,
        hex(2),
        hex(3)
    ));
    let history = history.unwrap();
    assert_eq!((history.direction, history.amount), (Direction::Out, 4));
    assert_eq!((history.created, history.destroyed), (vec![id(2)], vec![id(3)]));
    assert_eq!(
        HistoryContent::parse(r#"[["direction","up"]]"#),
        Err(Flaw::Tag { name: "direction", expected: "in or out" })
    );
}

#[test]
fn nutzap_information_names_mints_and_a_key() {
    let lock = format!("02{}", hex(7));
    let info = event(
        10_019,
        &[&["mint", "https://m", "sat", "usd"], &["pubkey", &lock], &["relay", "wss://a.b"]],
        "",
    );
    let info = view!(NutzapInfo, &info);
    assert_eq!((info.mints[0].url, &info.mints[0].units[..]), ("https://m", &["sat", "usd"][..]));
    assert_eq!((info.lock_key, info.relays.len()), (lock.as_str(), 1));
    let bad = event(10_019, &[&["mint", "https://m"], &["pubkey", "02"]], "");
    assert_eq!(flaw(&bad), Flaw::Tag { name: "pubkey", expected: "a public key" });
}

#[test]
fn only_choices_that_the_poll_offers_are_counted() {
    let options: &[&[&str]] = &[&["option", "a", "A"], &["option", "b"], &["option", "a", "again"]];
    let end = &["endsAt", "1700000000"];
    let several = [options, &[&["polltype", "multiplechoice"], end]].concat();
    let (single, several) = (event(1_068, options, "?"), event(1_068, &several, "?"));
    let (single, several) = (view!(Poll, &single), view!(Poll, &several));
    assert_eq!(single.options.len(), 2);

    let choose = |choices: &[&str], time: i64| {
        let mut all = tags(&[&["e", &hex(3)]]);
        all.extend(choices.iter().map(|choice| Tag::new(["response", choice])));
        UnsignedEvent::new(key(1), time, 1_018, all, "")
    };
    for (choices, in_single, in_several) in [
        (&["b", "a", "b", "x"][..], &["b"][..], &["b", "a"][..]),
        (&["x", "a"], &[], &["a"]),
        (&[], &[], &[]),
    ] {
        let response = choose(choices, 1_700_000_000);
        let ParsedKind::PollResponse(response) = ParsedKind::of_rumor(&response).unwrap() else {
            panic!()
        };
        assert_eq!(
            (response.counted(&single), response.counted(&several)),
            (in_single.to_vec(), in_several.to_vec())
        );
    }
    let late = choose(&["a"], 1_700_000_001);
    let ParsedKind::PollResponse(late) = ParsedKind::of_rumor(&late).unwrap() else { panic!() };
    assert_eq!(late.counted(&several), Vec::<&str>::new());
}

#[test]
fn a_poll_that_cannot_be_counted_is_refused() {
    assert_eq!(flaw(&event(1_068, &[], "?")), Flaw::MissingTag("option"));
    let end = event(1_068, &[&["option", "a"], &["endsAt", "soon"]], "?");
    assert_eq!(flaw(&end), Flaw::Tag { name: "endsAt", expected: "unix seconds" });
    let sort = event(1_068, &[&["option", "a"], &["polltype", "x"]], "?");
    assert!(matches!(flaw(&sort), Flaw::Tag { name: "polltype", .. }));
}
