//! How a transport is put together.

use std::sync::Arc;

use nipworker_transport::{ProxyPolicy, ProxyPolicyError};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{Network, Resolver, SocksProxy, SystemResolver, WsTransport};

/// Why a transport cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A root certificate cannot be read.
    #[error("root certificate: {0}")]
    Certificate(String),
    /// The TLS library refuses the configuration.
    #[error("tls configuration: {0}")]
    Tls(#[source] rustls::Error),
    /// The policy contradicts itself.
    #[error("proxy policy: {0}")]
    ProxyPolicy(#[from] ProxyPolicyError),
}

/// Builds a [`WsTransport`].
#[must_use = "a builder does nothing before `build`"]
pub struct WsTransportBuilder {
    roots: RootCertStore,
    policy: ProxyPolicy,
    proxy: Option<SocksProxy>,
    resolver: Arc<dyn Resolver>,
}

impl WsTransportBuilder {
    pub(crate) fn new() -> Self {
        Self {
            roots: RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
            policy: ProxyPolicy::default(),
            proxy: None,
            resolver: Arc::new(SystemResolver),
        }
    }

    /// Trusts a root certificate besides the built-in ones (DER).
    ///
    /// # Errors
    /// [`BuildError::Certificate`] when it is none.
    pub fn root_certificate_der(mut self, der: &[u8]) -> Result<Self, BuildError> {
        self.roots
            .add(CertificateDer::from(der.to_vec()))
            .map_err(|error| BuildError::Certificate(error.to_string()))?;
        Ok(self)
    }

    /// Trusts every root certificate of a PEM text besides the built-in ones.
    ///
    /// # Errors
    /// [`BuildError::Certificate`] when one cannot be read, or there is none.
    pub fn root_certificates_pem(mut self, pem: &[u8]) -> Result<Self, BuildError> {
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let der = certificate.map_err(|error| BuildError::Certificate(error.to_string()))?;
            self = self.root_certificate_der(&der)?;
            count += 1;
        }
        if count == 0 {
            return Err(BuildError::Certificate("the text holds no certificate".to_owned()));
        }
        Ok(self)
    }

    /// Reaches relays through a proxy where `policy` says so. Without a [`proxy`](Self::proxy)
    /// such relays are not reached at all.
    pub fn proxy_policy(mut self, policy: ProxyPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The proxy. It is used for what the [policy](Self::proxy_policy) sends through it, which
    /// without a policy is nothing.
    pub fn proxy(mut self, proxy: SocksProxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Resolves host names by `resolver` instead of the system's.
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Builds the transport.
    ///
    /// # Errors
    /// [`BuildError::ProxyPolicy`], or [`BuildError::Tls`] when the TLS library refuses its own
    /// defaults.
    pub fn build(self) -> Result<WsTransport, BuildError> {
        let Self { roots, policy, proxy, resolver } = self;
        policy.validate()?;
        // Named here: a process may link several providers, and then there is no default.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(BuildError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let network = Arc::new(Network { policy, proxy, resolver });
        Ok(WsTransport { tls: Arc::new(config), network })
    }
}
