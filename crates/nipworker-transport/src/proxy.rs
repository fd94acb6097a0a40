//! Which relays are reached through a proxy.
//!
//! The rule is here so that every implementation of the port keeps the same one; how a proxy is
//! spoken to is the implementation's part. It fails closed: whoever is told [`Route::Proxy`] and
//! has no proxy reports [`TransportError::NoProxy`] and dials nothing.

use std::{collections::BTreeSet, fmt};

use nipworker_protocol::RelayUrl;

use crate::{ProxyDemand, TransportError};

/// When the proxy is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ProxyUse {
    /// For the relays that are named, and no others.
    #[default]
    Off,
    /// For hidden services (`.onion`).
    Onion,
    /// For every relay, those on this machine included.
    All,
}

impl fmt::Display for ProxyUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Onion => "onion",
            Self::All => "all",
        })
    }
}

/// The way to a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// From this machine: the name is resolved here, and the relay sees this machine's address.
    Direct,
    /// Through the proxy: the proxy resolves the name, and nothing of it is asked here.
    Proxy(ProxyDemand),
}

/// When the proxy is used, with exceptions for single relays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxyPolicy {
    /// The rule.
    pub usage: ProxyUse,
    /// Relays that are always reached through the proxy.
    pub through: BTreeSet<RelayUrl>,
    /// Relays that are never reached through the proxy.
    pub direct: BTreeSet<RelayUrl>,
}

/// Why a policy is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyPolicyError {
    /// A relay is to be reached both ways.
    #[error("{0} is to be reached both through the proxy and directly")]
    BothWays(RelayUrl),
    /// A hidden service is to be reached directly.
    #[error("{0} is a hidden service (.onion): it is never reached directly")]
    OnionDirectly(RelayUrl),
}

impl ProxyPolicy {
    /// Checks the exceptions.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn validate(&self) -> Result<(), ProxyPolicyError> {
        if let Some(relay) = self.through.intersection(&self.direct).next() {
            return Err(ProxyPolicyError::BothWays(relay.clone()));
        }
        match self.direct.iter().find(|relay| relay.is_onion()) {
            Some(relay) => Err(ProxyPolicyError::OnionDirectly(relay.clone())),
            None => Ok(()),
        }
    }

    /// Whether any relay may be sent through the proxy.
    pub fn needs_proxy(&self) -> bool {
        self.usage != ProxyUse::Off || !self.through.is_empty()
    }

    /// The way to `relay`. An exception goes before the rule, and a hidden service has one way
    /// only.
    ///
    /// # Errors
    /// [`TransportError::NoProxy`] for a hidden service where nothing sends it through the proxy.
    pub fn route(&self, relay: &RelayUrl) -> Result<Route, TransportError> {
        let named = self.through.contains(relay);
        if relay.is_onion() {
            if named || self.usage != ProxyUse::Off {
                return Ok(Route::Proxy(ProxyDemand::Onion));
            }
            return Err(TransportError::NoProxy { demand: ProxyDemand::Onion });
        }
        let all = self.usage == ProxyUse::All && !self.direct.contains(relay);
        Ok(if named || all { Route::Proxy(ProxyDemand::Policy) } else { Route::Direct })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> RelayUrl {
        RelayUrl::parse(text).unwrap()
    }

    #[test]
    fn a_hidden_service_is_never_reached_directly() {
        let onion = url("ws://Abc.ONION.:81/");
        let proxy = Ok(Route::Proxy(ProxyDemand::Onion));
        let none = Err(TransportError::NoProxy { demand: ProxyDemand::Onion });
        let mut policy = ProxyPolicy::default();
        assert_eq!(policy.route(&onion), none);
        policy.direct.insert(onion.clone());
        assert_eq!(policy.route(&onion), none);
        assert_eq!(policy.validate(), Err(ProxyPolicyError::OnionDirectly(onion.clone())));
        for usage in [ProxyUse::Onion, ProxyUse::All] {
            policy.usage = usage;
            assert_eq!(policy.route(&onion), proxy, "{usage}");
        }
        let policy =
            ProxyPolicy { through: BTreeSet::from([onion.clone()]), ..ProxyPolicy::default() };
        assert_eq!(policy.route(&onion), proxy);
    }

    #[test]
    fn an_exception_goes_before_the_rule() {
        let [plain, through, direct] =
            ["wss://plain.example", "wss://through.example", "wss://direct.example"].map(url);
        for (usage, ways) in [
            (ProxyUse::Off, [false, true, false]),
            (ProxyUse::Onion, [false, true, false]),
            (ProxyUse::All, [true, true, false]),
        ] {
            let policy = ProxyPolicy {
                usage,
                through: BTreeSet::from([through.clone()]),
                direct: BTreeSet::from([direct.clone()]),
            };
            assert_eq!(policy.validate(), Ok(()));
            let got = [&plain, &through, &direct]
                .map(|relay| policy.route(relay).unwrap() == Route::Proxy(ProxyDemand::Policy));
            assert_eq!(got, ways, "{usage}");
        }
    }

    #[test]
    fn a_relay_that_is_to_be_reached_both_ways_is_named() {
        let relay = url("wss://both.example");
        let both = BTreeSet::from([relay.clone()]);
        let policy = ProxyPolicy { through: both.clone(), direct: both, ..ProxyPolicy::default() };
        assert_eq!(policy.validate(), Err(ProxyPolicyError::BothWays(relay)));
        assert!(policy.needs_proxy() && !ProxyPolicy::default().needs_proxy());
    }
}
