//! Any message of any edge, for proptest.

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    strategy::Union,
};

use nipworker_protocol::{
    Event, EventId, Filter, PackedEvents, PublicKey, Signature, SingleLetterTag, Tag, UnsignedEvent,
};

use crate::*;

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}|[a-z]{0,40}|\\u{0}\"\\\\\n"
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(text(), 0..5)
}

fn bytes32() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>()
}

fn bytes64() -> impl Strategy<Value = [u8; 64]> {
    (bytes32(), bytes32())
        .prop_map(|(a, b)| std::array::from_fn(|i| if i < 32 { a[i] } else { b[i - 32] }))
}

fn tags() -> impl Strategy<Value = Vec<Tag>> {
    vec(texts().prop_map(Tag), 0..5)
}

pub(super) fn unsigned_event() -> impl Strategy<Value = UnsignedEvent> {
    (bytes32(), any::<i64>(), any::<u16>(), tags(), text()).prop_map(
        |(pubkey, created_at, kind, tags, content)| UnsignedEvent {
            pubkey: PublicKey::from_bytes(pubkey),
            created_at,
            kind,
            tags,
            content,
        },
    )
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    (unsigned_event(), bytes32(), bytes64()).prop_map(|(unsigned, id, sig)| {
        let UnsignedEvent { pubkey, created_at, kind, tags, content } = unsigned;
        let (id, sig) = (EventId::from_bytes(id), Signature::from_bytes(sig));
        Event { id, pubkey, created_at, kind, tags, content, sig }
    })
}

pub(super) fn filter() -> impl Strategy<Value = Filter> {
    let letter = proptest::char::ranges((&['a'..='z', 'A'..='Z'][..]).into())
        .prop_filter_map("letter", SingleLetterTag::new);
    (
        option::of(vec(bytes32().prop_map(EventId::from_bytes), 0..4)),
        option::of(vec(bytes32().prop_map(PublicKey::from_bytes), 0..4)),
        option::of(vec(any::<u16>(), 0..4)),
        btree_map(letter, texts(), 0..4),
        (option::of(any::<i64>()), option::of(any::<i64>())),
        option::of(any::<usize>()),
        option::of(text()),
    )
        .prop_map(|(ids, authors, kinds, tags, (since, until), limit, search)| Filter {
            ids,
            authors,
            kinds,
            tags,
            since,
            until,
            limit,
            search,
        })
}

fn tables<S: Strategy, T: From<S::Value> + std::fmt::Debug>(
    values: S,
) -> impl Strategy<Value = Vec<T>> {
    vec(values.prop_map(T::from), 0..4)
}

fn packed() -> impl Strategy<Value = Vec<u8>> {
    vec(event(), 0..4).prop_map(|events| events.iter().collect::<PackedEvents>().into_bytes())
}

/// Of a HyperLogLog.
fn registers() -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(vec(any::<u8>(), 256))
}

fn filters() -> impl Strategy<Value = Vec<FilterT>> {
    tables(filter())
}

fn outcome() -> impl Strategy<Value = PutOutcomeT> {
    (bytes32(), 0..=PutStatus::ENUM_MAX, text()).prop_map(|(bytes, status, reason)| PutOutcomeT {
        id: Bytes32T { bytes },
        status: PutStatus(status),
        reason,
    })
}

fn receipt() -> impl Strategy<Value = ReceiptT> {
    (text(), 0..=ReceiptStatus::ENUM_MAX, text(), any::<u64>(), auth_problem()).prop_map(
        |(relay, status, message, elapsed_ms, auth)| ReceiptT {
            relay,
            status: ReceiptStatus(status),
            message,
            elapsed_ms,
            auth,
        },
    )
}

fn auth_problem() -> impl Strategy<Value = AuthProblem> {
    (0..=AuthProblem::ENUM_MAX).prop_map(AuthProblem)
}

fn receipts() -> impl Strategy<Value = Vec<ReceiptT>> {
    vec(receipt(), 0..4)
}

fn failed() -> impl Strategy<Value = FailedT> {
    (0..=FailureCode::ENUM_MAX, text(), any::<bool>()).prop_map(|(code, reason, transient)| {
        FailedT { code: FailureCode(code), reason, transient }
    })
}

fn differences() -> impl Strategy<Value = DifferencesT> {
    let ids = || vec(bytes32().prop_map(|bytes| Bytes32T { bytes }), 0..4);
    let sizes = (any::<u32>(), any::<u64>(), any::<u64>());
    (0..=ReconcileEnd::ENUM_MAX, text(), ids(), ids(), sizes).prop_map(
        |(end, message, need, have, (rounds, bytes_sent, bytes_received))| DifferencesT {
            end: ReconcileEnd(end),
            message,
            need,
            have,
            rounds,
            bytes_sent,
            bytes_received,
        },
    )
}

fn placed() -> impl Strategy<Value = PlacedT> {
    (bytes32(), any::<i64>())
        .prop_map(|(bytes, created_at)| PlacedT { id: Bytes32T { bytes }, created_at })
}

/// One arm of a union's strategy: from a strategy of the fields to a message.
fn arm<S, T, M>(fields: S, make: fn(S::Value) -> T) -> BoxedStrategy<M>
where
    S: Strategy + 'static,
    T: Into<M> + 'static,
    M: std::fmt::Debug + 'static,
{
    fields.prop_map(move |fields| make(fields).into()).boxed()
}

pub(super) fn client() -> impl Strategy<Value = ClientMessageT> {
    let flags = || (any::<bool>(), any::<bool>(), any::<bool>());
    Union::new([
        arm(
            (text(), filters(), texts(), flags()),
            |(subscription, filters, relays, (use_cache, use_relays, close_on_eose))| SubscribeT {
                subscription,
                filters,
                relays,
                use_cache,
                use_relays,
                close_on_eose,
            },
        ),
        arm((texts(), any::<u64>()), |(relays, cached)| SubscribedT { relays, cached }),
        arm(text(), |subscription| UnsubscribeT { subscription }),
        arm(any::<bool>(), |known| UnsubscribedT { known }),
        arm(
            (event(), texts(), any::<bool>(), any::<u64>()),
            |(event, relays, use_relays, timeout_ms)| PublishT {
                event: event.into(),
                relays,
                use_relays,
                timeout_ms,
            },
        ),
        arm((outcome(), receipts()), |(outcome, receipts)| PublishedT {
            outcome: outcome.into(),
            receipts,
        }),
        arm(texts(), |events| ImportT { events }),
        arm(vec(outcome(), 0..4), |outcomes| ImportedT { outcomes }),
        arm((filters(), any::<bool>()), |(filters, hll)| CountT { filters, hll }),
        arm((any::<u64>(), registers()), |(count, hll)| CountedT { count, hll }),
        arm(
            (text(), text(), filter(), any::<u64>(), any::<u64>()),
            |(name, relay, filter, idle_ms, timeout_ms)| ReconcileT {
                name,
                relay,
                filter: Box::new(filter.into()),
                idle_ms,
                timeout_ms,
            },
        ),
        arm((any::<u64>(), differences()), |(held, differences)| ReconciledT {
            held,
            differences: Box::new(differences),
        }),
        arm((filter(), any::<u32>()), |(filter, max)| ListT {
            filter: Box::new(filter.into()),
            max,
        }),
        arm(vec(any::<u8>(), 0..200), |positions| ListedT { positions }),
        arm(failed(), |failed| failed),
    ])
}

pub(super) fn ingest() -> impl Strategy<Value = IngestMessageT> {
    Union::new([
        arm((text(), text(), texts()), |(relay, subscription, events)| EventBatchT {
            relay,
            subscription,
            events,
        }),
        arm((text(), text(), 0..=Stored::ENUM_MAX), |(relay, subscription, stored)| EndOfStoredT {
            relay,
            subscription,
            stored: Stored(stored),
        }),
        arm((text(), text(), text(), auth_problem()), |(relay, subscription, message, auth)| {
            SubscriptionClosedT { relay, subscription, message, auth }
        }),
        arm((text(), text()), |(relay, message)| RelayNoticeT { relay, message }),
        arm((text(), texts(), text()), |(relay, subscriptions, reason)| RelayUnavailableT {
            relay,
            subscriptions,
            reason,
        }),
        arm((any::<u32>(), any::<u32>(), any::<u32>()), |(fresh, duplicates, refused)| IngestedT {
            fresh,
            duplicates,
            refused,
        }),
        arm(failed(), |failed| failed),
    ])
}

pub(super) fn crypto() -> impl Strategy<Value = CryptoMessageT> {
    let signed_id = event().prop_map(|event| SignedIdT {
        id: event.id.into(),
        pubkey: event.pubkey.into(),
        sig: event.sig.into(),
    });
    Union::new([
        arm(vec(signed_id, 0..4), |items| VerifyBatchT { items }),
        arm(vec(any::<bool>(), 0..9), |valid| VerdictsT { valid }),
        arm(unsigned_event(), |template| SignT { template: template.into() }),
        arm(event(), |event| SignedT { event: event.into() }),
        arm(Just(()), |()| GetPublicKeyT {}),
        arm(bytes32(), |bytes| PublicKeyIsT { pubkey: Bytes32T { bytes } }),
        arm(
            (option::of(bytes32()), any::<i64>(), any::<u16>(), vec(texts(), 0..4), text()),
            |(pubkey, created_at, kind, tags, content)| SignAsT {
                pubkey: pubkey.map(|bytes| Bytes32T { bytes }),
                created_at,
                kind,
                tags: tags.into_iter().map(|values| TagT { values }).collect(),
                content,
            },
        ),
        arm(failed(), |failed| failed),
        arm((cipher_scheme(), bytes32(), any::<String>()), |(scheme, bytes, plaintext)| EncryptT {
            scheme,
            peer: Bytes32T { bytes },
            plaintext,
        }),
        arm(any::<String>(), |payload| EncryptedT { payload }),
        arm((cipher_scheme(), bytes32(), any::<String>()), |(scheme, bytes, payload)| DecryptT {
            scheme,
            peer: Bytes32T { bytes },
            payload,
        }),
        arm(any::<String>(), |plaintext| DecryptedT { plaintext }),
    ])
}

fn cipher_scheme() -> impl Strategy<Value = CipherScheme> {
    proptest::sample::select(vec![CipherScheme::Nip44, CipherScheme::Nip04])
}

pub(super) fn cache() -> impl Strategy<Value = CacheMessageT> {
    Union::new([
        arm(packed(), |events| PersistT { events }),
        arm(vec(outcome(), 0..4), |outcomes| PersistedT { outcomes }),
        arm(
            (
                filters(),
                any::<u32>(),
                option::of(any::<i64>()),
                option::of(bytes32()),
                any::<u64>(),
            ),
            |(filters, max_events, after_created_at, after_id, skip)| QueryPageT {
                filters,
                max_events,
                after_created_at,
                after_id: after_id.map(|bytes| Bytes32T { bytes }),
                skip,
            },
        ),
        arm((packed(), any::<bool>()), |(events, more)| PageT { events, more }),
        arm(
            (text(), filters(), texts(), any::<bool>(), any::<u64>()),
            |(subscription, filters, relays, close_on_eose, relay_timeout_ms)| AskRelaysT {
                subscription,
                filters,
                relays,
                close_on_eose,
                relay_timeout_ms,
            },
        ),
        arm(texts(), |relays| RelaysAskedT { relays }),
        arm(text(), |subscription| StopAskingT { subscription }),
        arm(any::<bool>(), |known| StoppedT { known }),
        arm(
            (event(), texts(), any::<bool>(), any::<u64>()),
            |(event, relays, use_relays, timeout_ms)| StoreAndSendT {
                event: event.into(),
                relays,
                use_relays,
                timeout_ms,
            },
        ),
        arm((outcome(), receipts()), |(outcome, receipts)| SentT {
            outcome: outcome.into(),
            receipts,
        }),
        arm((filters(), any::<bool>()), |(filters, hll)| CountStoredT { filters, hll }),
        arm((any::<u64>(), registers()), |(count, hll)| StoredCountT { count, hll }),
        arm(any::<i64>(), |now| SweepExpiredT { now }),
        arm(any::<u64>(), |removed| SweptT { removed }),
        arm(
            (text(), text(), filter(), any::<u64>(), any::<u64>()),
            |(name, relay, filter, idle_ms, timeout_ms)| ReconcileStoredT {
                name,
                relay,
                filter: Box::new(filter.into()),
                idle_ms,
                timeout_ms,
            },
        ),
        arm((any::<u64>(), differences()), |(held, differences)| StoredReconciledT {
            held,
            differences: Box::new(differences),
        }),
        arm((filter(), any::<u32>()), |(filter, max)| ListStoredT {
            filter: Box::new(filter.into()),
            max,
        }),
        arm(vec(any::<u8>(), 0..200), |positions| StoredListedT { positions }),
        arm(failed(), |failed| failed),
    ])
}

pub(super) fn relay() -> impl Strategy<Value = RelayEdgeMessageT> {
    Union::new([
        arm(
            (text(), filters(), texts(), any::<bool>(), any::<u64>()),
            |(subscription, filters, relays, close_on_eose, relay_timeout_ms)| OpenReqT {
                subscription,
                filters,
                relays,
                close_on_eose,
                relay_timeout_ms,
            },
        ),
        arm(texts(), |relays| ReqOpenedT { relays }),
        arm(text(), |subscription| CloseReqT { subscription }),
        arm(any::<bool>(), |known| ReqClosedT { known }),
        arm((event(), texts(), any::<u64>()), |(event, relays, timeout_ms)| SendEventT {
            id: event.id.into(),
            event: event.to_json(),
            relays,
            timeout_ms,
        }),
        arm(receipts(), |receipts| EventReceiptsT { receipts }),
        arm(
            (text(), text(), filter(), vec(placed(), 0..4), any::<u64>(), any::<u64>()),
            |(name, relay, filter, held, idle_ms, timeout_ms)| OpenNegT {
                name,
                relay,
                filter: Box::new(filter.into()),
                held,
                idle_ms,
                timeout_ms,
            },
        ),
        arm(differences(), |differences| NegClosedT { differences: Box::new(differences) }),
        arm(failed(), |failed| failed),
    ])
}

pub(super) fn miner() -> impl Strategy<Value = MinerMessageT> {
    Union::new([
        arm(
            (
                any::<u64>(),
                unsigned_event(),
                any::<u16>(),
                any::<u32>(),
                (any::<u64>(), any::<u64>()),
                any::<u8>(),
                any::<bool>(),
                (any::<u8>(), any::<bool>()),
            ),
            |(job, template, difficulty_bits, max_threads, limits, priority, refresh, manners)| {
                MineEventT {
                    job,
                    template: template.into(),
                    difficulty_bits,
                    max_threads,
                    timeout_ms: limits.0,
                    max_attempts: limits.1,
                    priority,
                    refresh_created_at: refresh,
                    cpu_percent: manners.0,
                    idle: manners.1,
                }
            },
        ),
        arm(any::<u64>(), |job| JobAcceptedT { job }),
        arm(any::<u64>(), |job| CancelJobT { job }),
        arm((any::<u64>(), any::<bool>(), any::<u64>()), |(job, known, attempts)| JobStoppedT {
            job,
            known,
            attempts,
        }),
        arm((any::<u64>(), any::<bool>()), |(job, pause)| PauseJobT { job, pause }),
        arm((any::<u64>(), any::<bool>()), |(job, known)| JobPausedT { job, known }),
        arm(failed(), |failed| failed),
    ])
}
