//! Whom `wss://` trusts.

use std::sync::Arc;

use nipworker_transport::TransportError;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use crate::WsTransport;

/// Why a transport cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A root certificate cannot be read.
    #[error("root certificate: {0}")]
    Certificate(String),
    /// The TLS library refuses the configuration.
    #[error("tls configuration: {0}")]
    Configuration(#[source] rustls::Error),
}

/// Builds a [`WsTransport`].
pub struct WsTransportBuilder {
    roots: RootCertStore,
}

impl WsTransportBuilder {
    pub(crate) fn new() -> Self {
        Self { roots: RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() } }
    }

    /// Trusts a root certificate besides the built-in ones (DER).
    ///
    /// # Errors
    /// [`TlsError::Certificate`] when it is none.
    pub fn root_certificate_der(mut self, der: &[u8]) -> Result<Self, TlsError> {
        self.roots
            .add(CertificateDer::from(der.to_vec()))
            .map_err(|error| TlsError::Certificate(error.to_string()))?;
        Ok(self)
    }

    /// Trusts every root certificate of a PEM text besides the built-in ones.
    ///
    /// # Errors
    /// [`TlsError::Certificate`] when one cannot be read, or there is none.
    pub fn root_certificates_pem(mut self, pem: &[u8]) -> Result<Self, TlsError> {
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let der = certificate.map_err(|error| TlsError::Certificate(error.to_string()))?;
            self = self.root_certificate_der(&der)?;
            count += 1;
        }
        if count == 0 {
            return Err(TlsError::Certificate("the text holds no certificate".to_owned()));
        }
        Ok(self)
    }

    /// Builds the transport.
    ///
    /// # Errors
    /// [`TlsError::Configuration`] when the TLS library refuses its own defaults.
    pub fn build(self) -> Result<WsTransport, TlsError> {
        // Named here: a process may link several providers, and then there is no default.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Configuration)?
            .with_root_certificates(self.roots)
            .with_no_client_auth();
        Ok(WsTransport { tls: Arc::new(config) })
    }
}

pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, TransportError> {
    ServerName::try_from(host.to_owned())
        .map_err(|error| TransportError::Address { reason: error.to_string() })
}
