//! How a client is put together.

use std::sync::Arc;

use nipworker_protocol::{PublicKey, RelayUrl, RelayUrlError};
use nipworker_signer::{Signer, SignerSlot};
use nipworker_store::EventStore;
use nipworker_transport::{RelayInformation, WebSocketTransport};

use crate::{
    ClientConfig, NostrClient, StartError, config::ProxyConfig, open_store::open_store, tree,
};

/// Puts a [`NostrClient`] together. What is not given is made by the configuration.
#[derive(Default)]
#[must_use = "a builder does nothing before `build`"]
pub struct NostrClientBuilder {
    config: ClientConfig,
    store: Option<Arc<dyn EventStore>>,
    transport: Option<Arc<dyn WebSocketTransport>>,
    information: Option<Arc<dyn RelayInformation>>,
    signer: Option<Arc<dyn Signer>>,
    keys: Vec<(PublicKey, Arc<dyn Signer>)>,
}

impl NostrClientBuilder {
    /// Takes all settings from `config`; relays that were added before are lost.
    pub fn config(mut self, config: ClientConfig) -> Self {
        self.config = config;
        self
    }

    /// Adds a relay that is always connected.
    ///
    /// # Errors
    /// When `url` is not a `ws://` or `wss://` URL.
    pub fn relay(mut self, url: &str) -> Result<Self, RelayUrlError> {
        let url = RelayUrl::parse(url)?;
        if !self.config.relays.contains(&url) {
            self.config.relays.push(url);
        }
        Ok(self)
    }

    /// Keeps events in `store`, whatever the configuration says.
    pub fn store(mut self, store: Arc<dyn EventStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Opens sockets by `transport`. What relays say about themselves (NIP-11) is asked by
    /// [`information`](Self::information) then, or not at all: nothing goes past a transport
    /// that was chosen for a reason. The section `proxy` of the configuration is for the built-in
    /// transport; beside another one it is refused.
    pub fn transport(mut self, transport: Arc<dyn WebSocketTransport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Asks relays about themselves (NIP-11) by `information`. Only needed beside a
    /// [`transport`](Self::transport); the built-in one does both.
    pub fn information(mut self, information: Arc<dyn RelayInformation>) -> Self {
        self.information = Some(information);
        self
    }

    /// Signs by `signer` what is to be signed by `key`, beside the default
    /// [`signer`](Self::signer): events of that author, and the answers to relays that
    /// `connections.auth_keys` gives that key to. At most
    /// [`MAX_FURTHER_KEYS`](nipworker_signer::MAX_FURTHER_KEYS).
    pub fn key(mut self, key: PublicKey, signer: Arc<dyn Signer>) -> Self {
        self.keys.push((key, signer));
        self
    }

    /// Signs by `signer`.
    pub fn signer(mut self, signer: Arc<dyn Signer>) -> Self {
        self.signer = Some(signer);
        self
    }

    /// Starts the client: the store is opened, the pools and the five workers are up when this
    /// returns. Relays are being dialled then.
    ///
    /// # Errors
    /// See [`StartError`]. Whatever was started is stopped again.
    pub async fn build(self) -> Result<NostrClient, StartError> {
        let Self { config, store, transport, information, signer, keys } = self;
        config.validate()?;
        let store = match store {
            Some(store) => store,
            None => open_store(&config.store)?,
        };
        let (transport, information) = match transport {
            Some(_) if config.proxy != ProxyConfig::default() => {
                let problem = "a transport was given, which this section does not reach";
                return Err(StartError::Config {
                    key: "proxy".to_owned(),
                    problem: problem.to_owned(),
                });
            }
            Some(transport) => (transport, information),
            None => {
                let (transport, own) = default_transport(&config.proxy)?;
                (transport, information.or(Some(own)))
            }
        };
        let slot = SignerSlot::new();
        slot.set(signer);
        for (key, signer) in keys {
            slot.add(key, signer).map_err(|error| StartError::Config {
                key: "connections.auth_keys".to_owned(),
                problem: error.to_string(),
            })?;
        }
        let network = (transport, information.clone());
        let running = tree::start(&config, Arc::clone(&store), network, slot).await?;
        let client = NostrClient::from_running(config, running, store, information);
        client.begin_to_learn().await;
        Ok(client)
    }
}

impl std::fmt::Debug for NostrClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NostrClientBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Sockets, and the questions that go over them.
type Network = (Arc<dyn WebSocketTransport>, Arc<dyn RelayInformation>);

#[cfg(feature = "ws")]
fn default_transport(config: &ProxyConfig) -> Result<Network, StartError> {
    let mut builder = nipworker_transport_ws::WsTransport::builder().proxy_policy(config.policy());
    if let Some(proxy) = proxy(config)? {
        builder = builder.proxy(proxy);
    }
    let transport = builder.build().map_err(|error| StartError::Transport(error.to_string()))?;
    Ok((Arc::new(transport.clone()), Arc::new(transport)))
}

/// The proxy, its password read from its file.
#[cfg(feature = "ws")]
fn proxy(config: &ProxyConfig) -> Result<Option<nipworker_transport_ws::SocksProxy>, StartError> {
    use nipworker_transport_ws::{MAX_CREDENTIAL_BYTES, ProxyError, SocksCredentials, SocksProxy};
    use std::{fs::File, io::Read};
    use zeroize::Zeroizing;

    let wrong =
        |key: &str, problem: String| StartError::Config { key: format!("proxy.{key}"), problem };
    if config.address.is_empty() {
        return Ok(None);
    }
    let proxy = SocksProxy::parse(&config.address).map_err(|e| wrong("address", e.to_string()))?;
    if config.user.is_empty() {
        return Ok(Some(proxy));
    }
    // One byte more than fits, and a line's end: what is longer is seen to be so.
    let mut password = Zeroizing::new(String::with_capacity(MAX_CREDENTIAL_BYTES + 4));
    File::open(&config.password_file)
        .and_then(|file| file.take(MAX_CREDENTIAL_BYTES as u64 + 3).read_to_string(&mut password))
        .map_err(|error| {
            let problem = format!("{}: {error}", config.password_file.display());
            wrong("password_file", problem)
        })?;
    let line = Zeroizing::new(password.trim_end_matches(['\r', '\n']).to_owned());
    let credentials = SocksCredentials::new(config.user.clone(), line).map_err(|error| {
        let key = if matches!(error, ProxyError::User(_)) { "user" } else { "password_file" };
        wrong(key, error.to_string())
    })?;
    Ok(Some(proxy.credentials(credentials)))
}

#[cfg(not(feature = "ws"))]
fn default_transport(_: &ProxyConfig) -> Result<Network, StartError> {
    Err(StartError::Transport("this build has no sockets (feature `ws`): give one".to_owned()))
}
