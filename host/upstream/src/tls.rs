//! Whom to trust, how to encrypt, and who to be. Built once; the workers share it and with it the
//! sessions that make a second handshake cheap.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::origin::Http2;

/// Which certificates are trusted, and which one is shown. All files are PEM.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// Further authorities beside the public ones (Mozilla's list, compiled in), such as a
    /// company's own.
    pub extra_ca_files: Vec<PathBuf>,
    /// Where set, the authorities of this file are trusted and no others.
    pub only_ca_file: Option<PathBuf>,
    /// What is shown to servers that ask who we are.
    pub client: Option<ClientFiles>,
}

/// A client's certificate with its chain, and its private key (PKCS#8, PKCS#1 or SEC1, not
/// encrypted).
#[derive(Debug, Clone)]
pub struct ClientFiles {
    /// The certificate first, then those between it and its authority.
    pub cert_file: PathBuf,
    /// The key of the first certificate.
    pub key_file: PathBuf,
}

/// A file of [`TlsSettings`] cannot be used. Says nothing of what is in it.
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

impl TlsError {
    /// The file that is wrong, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            TlsError::File { path, .. } | TlsError::Empty(path) => Some(path),
            TlsError::Unusable(_) => None,
        }
    }
}

/// The TLS side of connections. A clone is four pointers. Two are equal if they trust and show the
/// same certificates.
#[derive(Clone)]
pub struct Tls {
    auto: TlsConnector,
    http1: TlsConnector,
    http2: TlsConnector,
    /// What it was made of. The key of a certificate is never another one, so it is not kept.
    certificates: Arc<Certificates>,
}

#[derive(PartialEq, Eq)]
struct Certificates {
    public: bool,
    authorities: Vec<CertificateDer<'static>>,
    own: Vec<CertificateDer<'static>>,
}

impl Tls {
    /// Reads the files and prepares everything a handshake needs.
    ///
    /// # Errors
    /// A file cannot be read or holds something else, or a key does not fit its certificate.
    pub fn new(settings: &TlsSettings) -> Result<Tls, TlsError> {
        let mut roots = RootCertStore::empty();
        let mut authorities = Vec::new();
        let public = settings.only_ca_file.is_none();
        if public {
            roots
                .roots
                .extend_from_slice(webpki_roots::TLS_SERVER_ROOTS);
        }
        let extra = settings.extra_ca_files.iter().filter(|_| public);
        for path in extra.chain(&settings.only_ca_file) {
            for certificate in certificates(path)? {
                roots
                    .add(certificate.clone())
                    .map_err(|error| unusable(path, &error))?;
                authorities.push(certificate);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Unusable(error.to_string()))?
            .with_root_certificates(roots);
        let (config, own) = match &settings.client {
            None => (builder.with_no_client_auth(), Vec::new()),
            Some(files) => {
                let own = certificates(&files.cert_file)?;
                let key = PrivateKeyDer::from_pem_file(&files.key_file)
                    .map_err(|error| unusable(&files.key_file, &error))?;
                let config = builder
                    .with_client_auth_cert(own.clone(), key)
                    .map_err(|error| {
                        let cert = files.cert_file.display();
                        let reason = format!("is no key for the certificate in {cert}: {error}");
                        unusable(&files.key_file, &reason)
                    })?;
                (config, own)
            }
        };
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
            certificates: Arc::new(Certificates {
                public,
                authorities,
                own,
            }),
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

/// All certificates of a file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| unusable(path, &error))?
        .collect();
    let found = found.map_err(|error| unusable(path, &error))?;
    if found.is_empty() {
        return Err(TlsError::Empty(path.to_owned()));
    }
    Ok(found)
}

fn unusable(path: &Path, reason: &dyn fmt::Display) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.certificates, &other.certificates);
        Arc::ptr_eq(a, b) || a == b
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = &self.certificates;
        f.debug_struct("Tls")
            .field("public", &own.public)
            .field("authorities", &own.authorities.len())
            .field("shows_certificate", &!own.own.is_empty())
            .finish()
    }
}
