//! One newtype for each edge: a message as bytes, with the only two ways in and out.

use std::fmt;

use bytes::Bytes;
use flatbuffers::{FlatBufferBuilder, InvalidFlatbuffer, VerifierOptions};

use crate::{EdgeError, FailedT, FailureCode, generated};

/// Bytes of a FlatBuffers root offset and file identifier: what every message begins with.
const HEADER_BYTES: usize = 8;

/// Tables inside tables. The deepest message is frame, message, filter, tag filter: 4.
const MAX_DEPTH: usize = 8;

/// First guess for the size of an encoded message in bytes; it grows by doubling.
const FIRST_CAPACITY_BYTES: usize = 512;

/// Limits for reading `len` bytes. FlatBuffers lets offsets share what they point to, so a few
/// bytes could unfold to gigabytes; an honest message shares only field layouts, which the
/// verifier counts again for each table. `apparent_size_of_honest_messages` in the tests measures
/// how much: less than fourfold.
fn limits(len: usize) -> VerifierOptions {
    VerifierOptions {
        max_depth: MAX_DEPTH,
        max_tables: len / 4 + 1,
        max_apparent_size: len.saturating_mul(4).saturating_add(64),
        ignore_missing_null_terminator: false,
    }
}

fn check_identifier(bytes: &[u8], expected: &'static str) -> Result<(), EdgeError> {
    let Some(got) = bytes.get(HEADER_BYTES - 4..HEADER_BYTES) else {
        return Err(EdgeError::TooShort { got: bytes.len(), minimum: HEADER_BYTES });
    };
    if got == expected.as_bytes() {
        Ok(())
    } else {
        Err(EdgeError::Identifier { expected, got: got.escape_ascii().to_string() })
    }
}

fn malformed(error: InvalidFlatbuffer) -> EdgeError {
    // The verifier explains itself in several indented lines.
    let lines = error.to_string();
    let words: Vec<&str> = lines.split_whitespace().collect();
    EdgeError::Malformed(words.join(" "))
}

fn failure(code: FailureCode, reason: impl Into<String>, transient: bool) -> FailedT {
    FailedT { code, reason: reason.into(), transient }
}

macro_rules! edge {
    (
        $(#[$doc:meta])*
        $edge:ident: $message:ident in $frame:ident / $frame_t:ident, $identifier:ident, $version:literal;
        $($member:ident($table:ident)),+ $(,)?
    ) => {
        $(#[$doc])*
        ///
        /// Cloning shares the bytes. Holding one does not prove that the bytes are a message:
        /// [`decode`](Self::decode) does.
        #[derive(Clone, PartialEq, Eq)]
        pub struct $edge(Bytes);

        impl $edge {
            /// The four bytes by which messages of this edge are known.
            pub const IDENTIFIER: &'static str = generated::$identifier;

            /// The version of the edge that this crate writes, and the only one that it reads.
            pub const VERSION: u16 = $version;

            /// Writes a message: the union itself or one of its tables. An empty union is
            /// written as a failure with code `Invalid`, so that the other side learns of it.
            ///
            /// # Panics
            /// When the encoded message would be larger than 2 GiB, the limit of FlatBuffers.
            pub fn encode(message: impl Into<generated::$message>) -> Self {
                let message = match message.into() {
                    generated::$message::NONE => {
                        failure(FailureCode::Invalid, "empty message", false).into()
                    }
                    message => message,
                };
                let frame = generated::$frame_t { version: Self::VERSION, message };
                let mut builder = FlatBufferBuilder::with_capacity(FIRST_CAPACITY_BYTES);
                let root = frame.pack(&mut builder);
                builder.finish(root, Some(Self::IDENTIFIER));
                let (buffer, start) = builder.collapse();
                Self(Bytes::from(buffer).slice(start..))
            }

            /// Reads the message. Any bytes are safe to give; what a message says is not
            /// checked beyond its shape.
            ///
            /// # Errors
            /// Each variant of [`EdgeError`] up to [`EdgeError::UnknownMember`].
            pub fn decode(&self) -> Result<generated::$message, EdgeError> {
                check_identifier(&self.0, Self::IDENTIFIER)?;
                let frame = flatbuffers::root_with_opts::<generated::$frame<'_>>(
                    &limits(self.0.len()),
                    &self.0,
                )
                .map_err(malformed)?;
                if frame.version() != Self::VERSION {
                    return Err(EdgeError::Version {
                        expected: Self::VERSION,
                        got: frame.version(),
                    });
                }
                match frame.unpack().message {
                    generated::$message::NONE => {
                        Err(EdgeError::UnknownMember { tag: frame.message_type().0 })
                    }
                    message => Ok(message),
                }
            }

            /// The answer when there is no other. `transient` says that asking again may help.
            pub fn failed(
                code: FailureCode,
                reason: impl Into<String>,
                transient: bool,
            ) -> Self {
                Self::encode(failure(code, reason, transient))
            }

            /// Takes bytes as they come; [`decode`](Self::decode) judges them.
            pub fn from_bytes(bytes: Bytes) -> Self {
                Self(bytes)
            }

            /// The encoded message.
            pub fn as_bytes(&self) -> &Bytes {
                &self.0
            }

            /// The encoded message.
            pub fn into_bytes(self) -> Bytes {
                self.0
            }
        }

        impl fmt::Debug for $edge {
            /// Only the size: contents may be private.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($edge), "({} bytes)"), self.0.len())
            }
        }

        $(
            impl From<generated::$table> for generated::$message {
                fn from(table: generated::$table) -> Self {
                    Self::$member(Box::new(table))
                }
            }
        )+
    };
}

edge! {
    /// A message between client and parser.
    ClientEdge: ClientMessageT in ClientFrame / ClientFrameT, CLIENT_FRAME_IDENTIFIER, 1;
    Subscribe(SubscribeT), Subscribed(SubscribedT), Unsubscribe(UnsubscribeT),
    Unsubscribed(UnsubscribedT), Publish(PublishT), Published(PublishedT), Import(ImportT),
    Imported(ImportedT), Count(CountT), Counted(CountedT), Failed(FailedT), Reconcile(ReconcileT),
    Reconciled(ReconciledT), List(ListT), Listed(ListedT),
}

edge! {
    /// A message from connections to parser, or its answer.
    IngestEdge: IngestMessageT in IngestFrame / IngestFrameT, INGEST_FRAME_IDENTIFIER, 1;
    EventBatch(EventBatchT), EndOfStored(EndOfStoredT), SubscriptionClosed(SubscriptionClosedT),
    RelayNotice(RelayNoticeT), RelayUnavailable(RelayUnavailableT), Ingested(IngestedT),
    Failed(FailedT),
}

edge! {
    /// A message to or from crypto.
    CryptoEdge: CryptoMessageT in CryptoFrame / CryptoFrameT, CRYPTO_FRAME_IDENTIFIER, 1;
    VerifyBatch(VerifyBatchT), Verdicts(VerdictsT), Sign(SignT), Signed(SignedT),
    GetPublicKey(GetPublicKeyT), PublicKeyIs(PublicKeyIsT), Failed(FailedT),
    Encrypt(EncryptT), Encrypted(EncryptedT), Decrypt(DecryptT), Decrypted(DecryptedT),
    SignAs(SignAsT),
}

edge! {
    /// A message between parser and cache: persist and query on one channel.
    CacheEdge: CacheMessageT in CacheFrame / CacheFrameT, CACHE_FRAME_IDENTIFIER, 2;
    Persist(PersistT), Persisted(PersistedT), QueryPage(QueryPageT), Page(PageT),
    AskRelays(AskRelaysT), RelaysAsked(RelaysAskedT), StopAsking(StopAskingT),
    Stopped(StoppedT), StoreAndSend(StoreAndSendT), Sent(SentT), CountStored(CountStoredT),
    StoredCount(StoredCountT), SweepExpired(SweepExpiredT), Swept(SweptT), Failed(FailedT),
    ReconcileStored(ReconcileStoredT), StoredReconciled(StoredReconciledT),
    ListStored(ListStoredT), StoredListed(StoredListedT),
}

edge! {
    /// A message from cache to connections, or its answer.
    RelayEdge: RelayEdgeMessageT in RelayFrame / RelayFrameT, RELAY_FRAME_IDENTIFIER, 1;
    OpenReq(OpenReqT), ReqOpened(ReqOpenedT), CloseReq(CloseReqT), ReqClosed(ReqClosedT),
    SendEvent(SendEventT), EventReceipts(EventReceiptsT), Failed(FailedT),
    OpenNeg(OpenNegT), NegClosed(NegClosedT),
}

edge! {
    /// A message between client and miner.
    MinerEdge: MinerMessageT in MinerFrame / MinerFrameT, MINER_FRAME_IDENTIFIER, 1;
    MineEvent(MineEventT), JobAccepted(JobAcceptedT), CancelJob(CancelJobT),
    JobStopped(JobStoppedT), PauseJob(PauseJobT), JobPaused(JobPausedT), Failed(FailedT),
}
