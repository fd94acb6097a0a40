//! How pipes are described, to be made anew for each subscription.

use std::{fmt, sync::Arc};

use super::{
    AuthorLimit, ChatLimit, ChatLimiter, CounterOptions, KeySets, KindRules, MuteList, Pipe,
    SerialiseOptions, authors::AuthorLimiter, counter::Counter, kinds::KindFilter, mute::Mute,
    proofs::Proofs, serialise::Serialise,
};

/// A pipe with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PipeSpec {
    /// `kind-filter`.
    KindFilter(KindRules),
    /// `mute`.
    Mute(Arc<MuteList>),
    /// `author-limiter`.
    AuthorLimiter(AuthorLimit),
    /// `chat-limiter`.
    ChatLimiter(ChatLimit),
    /// `counter`.
    Counter(CounterOptions),
    /// `proofs`.
    Proofs(Arc<KeySets>),
    /// `serialise`.
    Serialise(SerialiseOptions),
    /// One's own.
    Custom(CustomPipe),
}

impl PipeSpec {
    /// The pipe's name.
    pub fn name(&self) -> &str {
        match self {
            Self::KindFilter(_) => "kind-filter",
            Self::Mute(_) => "mute",
            Self::AuthorLimiter(_) => "author-limiter",
            Self::ChatLimiter(_) => "chat-limiter",
            Self::Counter(_) => "counter",
            Self::Proofs(_) => "proofs",
            Self::Serialise(_) => "serialise",
            Self::Custom(custom) => &custom.name,
        }
    }

    pub(super) fn build(&self) -> Box<dyn Pipe> {
        match self {
            Self::KindFilter(rules) => Box::new(KindFilter(rules.clone())),
            Self::Mute(list) => Box::new(Mute::new(list)),
            Self::AuthorLimiter(limit) => Box::new(AuthorLimiter::new(limit.clone())),
            Self::ChatLimiter(limit) => Box::new(ChatLimiter::new(limit.clone())),
            Self::Counter(options) => Box::new(Counter::new(*options)),
            Self::Proofs(keysets) => Box::new(Proofs(Arc::clone(keysets))),
            Self::Serialise(options) => Box::new(Serialise(*options)),
            Self::Custom(custom) => (custom.make)(),
        }
    }
}

/// A pipe of one's own: its name, under which it is counted, and how it is made for each
/// subscription.
#[derive(Clone)]
pub struct CustomPipe {
    name: Arc<str>,
    make: Arc<dyn Fn() -> Box<dyn Pipe> + Send + Sync>,
}

impl CustomPipe {
    /// `make` is called once for each subscription.
    pub fn new<P: Pipe + 'static>(
        name: impl Into<Arc<str>>,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), make: Arc::new(move || Box::new(make())) }
    }
}

impl fmt::Debug for CustomPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomPipe({:?})", self.name)
    }
}

/// The same only where it is made by the same function: clones of one another.
impl PartialEq for CustomPipe {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.make, &other.make)
    }
}

impl Eq for CustomPipe {}
