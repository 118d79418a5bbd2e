//! Whom to trust and how to encrypt. Built once; the workers share it and with it the sessions
//! that make a second handshake cheap.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::origin::Http2;

/// Which certificates are trusted beside the public ones (Mozilla's list, compiled in).
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// PEM files with certificates of further authorities, such as a company's own.
    pub extra_ca_files: Vec<PathBuf>,
}

/// A file of [`TlsSettings`] cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not readable, or not PEM.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Readable, but without a certificate in it.
    #[error("{path}: holds no certificate", path = .0.display())]
    Empty(PathBuf),
    /// The cryptography of this build offers no usable protocol.
    #[error("no TLS: {0}")]
    Unusable(String),
}

/// The TLS side of connections. A clone is three pointers.
#[derive(Clone)]
pub struct Tls {
    auto: TlsConnector,
    http1: TlsConnector,
    http2: TlsConnector,
}

impl Tls {
    /// Reads the files and prepares everything a handshake needs.
    pub fn new(settings: &TlsSettings) -> Result<Tls, TlsError> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        for path in &settings.extra_ca_files {
            let unusable = |reason: String| TlsError::File {
                path: path.clone(),
                reason,
            };
            let mut found = false;
            for certificate in
                CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?
            {
                let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                roots
                    .add(certificate)
                    .map_err(|error| unusable(error.to_string()))?;
                found = true;
            }
            if !found {
                return Err(TlsError::Empty(path.clone()));
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Unusable(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // The three differ in what they offer only; cloning shares the store of sessions.
        let offering = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            TlsConnector::from(Arc::new(config))
        };
        Ok(Tls {
            auto: offering(&[b"h2", b"http/1.1"]),
            http1: offering(&[b"http/1.1"]),
            http2: offering(&[b"h2"]),
        })
    }

    pub(crate) fn connector(&self, http2: Http2) -> &TlsConnector {
        match http2 {
            Http2::Auto => &self.auto,
            Http2::Never => &self.http1,
            Http2::PriorKnowledge => &self.http2,
        }
    }
}
