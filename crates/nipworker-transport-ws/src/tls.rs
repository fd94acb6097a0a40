//! What a failed encrypted connection failed of.

use std::io;

use nipworker_transport::{TlsFault, TransportError};
use rustls::{CertificateError, Error, pki_types::ServerName};

pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, TransportError> {
    ServerName::try_from(host.to_owned())
        .map_err(|error| TransportError::Address { reason: error.to_string() })
}

/// What ended a TLS handshake.
pub(crate) fn error(error: &io::Error) -> TransportError {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    let fault = cause.map_or(TlsFault::Broken, fault);
    TransportError::Tls { fault, reason: error.to_string() }
}

fn fault(error: &Error) -> TlsFault {
    use CertificateError as Certificate;
    match error {
        Error::InvalidCertificate(certificate) => match certificate {
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. } => TlsFault::ExpiredCertificate,
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                TlsFault::WrongName
            }
            _ => TlsFault::UntrustedCertificate,
        },
        Error::NoCertificatesPresented => TlsFault::UntrustedCertificate,
        Error::AlertReceived(_) => TlsFault::Alert,
        _ => TlsFault::Protocol,
    }
}
