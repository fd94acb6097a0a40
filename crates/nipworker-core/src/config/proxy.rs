//! Which relays are reached through a proxy, and where it is.

use std::path::PathBuf;

use nipworker_protocol::RelayUrl;
use nipworker_transport::ProxyPolicy;
use serde::{Deserialize, Serialize};

/// When the proxy is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProxyUse {
    /// For the relays of [`ProxyConfig::through`], and no others.
    #[default]
    Off,
    /// For hidden services (`.onion`), and those of [`ProxyConfig::through`].
    Onion,
    /// For every relay but those of [`ProxyConfig::direct`].
    All,
}

/// A SOCKS5 proxy, which resolves the names of the relays that are reached through it.
///
/// It fails closed: what is to go through the proxy goes nowhere while there is none. A hidden
/// service is never reached without one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyConfig {
    /// The proxy's `host:port`; empty for none.
    pub address: String,
    /// When it is used.
    #[serde(rename = "use")]
    pub usage: ProxyUse,
    /// Relays that are always reached through it.
    pub through: Vec<RelayUrl>,
    /// Relays that are never reached through it.
    pub direct: Vec<RelayUrl>,
    /// User name for it; empty for none.
    pub user: String,
    /// File that holds the password of this user. The password itself never stands in a
    /// configuration.
    pub password_file: PathBuf,
}

impl ProxyConfig {
    pub(crate) fn policy(&self) -> ProxyPolicy {
        ProxyPolicy {
            usage: match self.usage {
                ProxyUse::Off => nipworker_transport::ProxyUse::Off,
                ProxyUse::Onion => nipworker_transport::ProxyUse::Onion,
                ProxyUse::All => nipworker_transport::ProxyUse::All,
            },
            through: self.through.iter().cloned().collect(),
            direct: self.direct.iter().cloned().collect(),
        }
    }

    /// The key within this section and the problem of the first setting that is wrong.
    pub(crate) fn validate(&self) -> Result<(), (&'static str, String)> {
        let policy = self.policy();
        if let Err(error) = policy.validate() {
            return Err(("direct", error.to_string()));
        }
        #[cfg(feature = "ws")]
        if !self.address.is_empty()
            && let Err(error) = nipworker_transport_ws::SocksProxy::parse(&self.address)
        {
            return Err(("address", error.to_string()));
        }
        match (self.address.is_empty(), policy.needs_proxy()) {
            (true, true) => {
                return Err((
                    "address",
                    "is empty, and relays are to be reached through it".into(),
                ));
            }
            // Whoever gives an address expects that it is used.
            (false, false) => {
                let problem = "is off, and no relay is to be reached through the proxy whose \
                               address is given";
                return Err(("use", problem.to_owned()));
            }
            _ => {}
        }
        match (self.user.is_empty(), self.password_file.as_os_str().is_empty()) {
            (true, false) => Err(("user", "is empty, and a password is given".to_owned())),
            (false, true) => Err(("password_file", "is empty, and a user is given".to_owned())),
            (false, false) if self.address.is_empty() => {
                Err(("address", "is empty, and a user for it is given".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl FnOnce(&mut ProxyConfig)) -> &'static str {
        let mut config = ProxyConfig::default();
        change(&mut config);
        config.validate().unwrap_err().0
    }

    #[test]
    fn a_proxy_that_is_demanded_and_missing_or_given_and_not_used_is_refused() {
        let relay = || RelayUrl::parse("wss://relay.example").unwrap();
        assert_eq!(ProxyConfig::default().validate(), Ok(()));
        assert_eq!(wrong(|c| c.usage = ProxyUse::Onion), "address");
        assert_eq!(wrong(|c| c.usage = ProxyUse::All), "address");
        assert_eq!(wrong(|c| c.through = vec![relay()]), "address");
        assert_eq!(wrong(|c| c.address = "127.0.0.1:9050".to_owned()), "use");
        #[cfg(feature = "ws")]
        assert_eq!(wrong(|c| c.address = "socks5://127.0.0.1:9050".to_owned()), "address");
        let used = ProxyConfig {
            address: "127.0.0.1:9050".to_owned(),
            through: vec![relay()],
            ..ProxyConfig::default()
        };
        assert_eq!(used.validate(), Ok(()));
    }

    #[test]
    fn a_user_has_a_password_and_no_relay_goes_both_ways() {
        let used = |change: fn(&mut ProxyConfig)| {
            wrong(|config| {
                config.address = "127.0.0.1:9050".to_owned();
                config.usage = ProxyUse::All;
                change(config);
            })
        };
        assert_eq!(used(|c| c.user = "alice".to_owned()), "password_file");
        assert_eq!(used(|c| c.password_file = "file".into()), "user");
        let hidden = |c: &mut ProxyConfig| c.direct = vec!["ws://hidden.onion".parse().unwrap()];
        assert_eq!(used(hidden), "direct");
        assert_eq!(
            wrong(|c| (c.user, c.password_file) = ("alice".to_owned(), "file".into())),
            "address"
        );
    }
}
