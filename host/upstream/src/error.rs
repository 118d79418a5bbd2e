//! Why no reply came. Says what happened and how far the request got; what to do about it is for
//! the pipeline to decide.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::CertificateError;

/// The step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SendErrorKind {
    /// The host's name has no address.
    Dns,
    /// Nobody listens at the address and port.
    Refused,
    /// No TCP connection for another reason: unreachable, reset.
    Connect,
    /// The host's certificate has expired, or is not valid yet.
    CertificateExpired,
    /// The host's certificate was issued by nobody who is trusted.
    CertificateUnknown,
    /// The host's certificate is for another name.
    CertificateName,
    /// The TLS handshake failed otherwise.
    Tls,
    /// No connection to the proxy, or it does not speak as a proxy should.
    Proxy,
    /// The proxy wants another user name and password.
    ProxyAuth,
    /// The proxy works, and did not connect to the host.
    ProxyTarget,
    /// Lookup and TCP, and the proxy's part, took longer than `connect_ms`.
    ConnectTimeout,
    /// The TLS handshake took longer than `tls_ms`.
    TlsTimeout,
    /// Every allowed connection was busy until the first-byte timeout.
    TooManyConnections,
    /// The head of the reply did not come within `first_byte_ms`.
    FirstByteTimeout,
    /// The head of the reply did not come within `total_ms`.
    TotalTimeout,
    /// The connection ended before the head of a reply was complete.
    Closed,
    /// The other side does not speak HTTP as agreed, or its head is over the bounds.
    Protocol,
    /// The caller's own request body failed while it was being sent.
    RequestBody,
}

impl SendErrorKind {
    /// The word used in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            SendErrorKind::Dns => "dns",
            SendErrorKind::Refused => "refused",
            SendErrorKind::Connect => "connect",
            SendErrorKind::CertificateExpired => "certificate_expired",
            SendErrorKind::CertificateUnknown => "certificate_unknown",
            SendErrorKind::CertificateName => "certificate_name",
            SendErrorKind::Tls => "tls",
            SendErrorKind::Proxy => "proxy",
            SendErrorKind::ProxyAuth => "proxy_auth",
            SendErrorKind::ProxyTarget => "proxy_target",
            SendErrorKind::ConnectTimeout => "connect_timeout",
            SendErrorKind::TlsTimeout => "tls_timeout",
            SendErrorKind::TooManyConnections => "too_many_connections",
            SendErrorKind::FirstByteTimeout => "first_byte_timeout",
            SendErrorKind::TotalTimeout => "total_timeout",
            SendErrorKind::Closed => "closed",
            SendErrorKind::Protocol => "protocol",
            SendErrorKind::RequestBody => "request_body",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            SendErrorKind::Dns => "the host name did not resolve",
            SendErrorKind::Refused => "nobody listens there",
            SendErrorKind::Connect => "no connection could be made",
            SendErrorKind::CertificateExpired
            | SendErrorKind::CertificateUnknown
            | SendErrorKind::CertificateName => "the host's certificate is not trusted",
            SendErrorKind::Tls => "the TLS handshake failed",
            SendErrorKind::Proxy => "the proxy could not be used",
            SendErrorKind::ProxyAuth => "the proxy refused the user name and password",
            SendErrorKind::ProxyTarget => "the proxy did not connect to the host",
            SendErrorKind::ConnectTimeout => "connecting took too long",
            SendErrorKind::TlsTimeout => "the TLS handshake took too long",
            SendErrorKind::TooManyConnections => "all connections to the host stayed busy",
            SendErrorKind::FirstByteTimeout => "no reply began in time",
            SendErrorKind::TotalTimeout => "the attempt took too long",
            SendErrorKind::Closed => "the connection closed before a reply",
            SendErrorKind::Protocol => "the reply was not valid HTTP",
            SendErrorKind::RequestBody => "the request's body could not be read",
        }
    }
}

/// A request that got no reply. Holds no header, body or credential, so it is safe to log.
#[derive(Debug, Clone)]
pub struct SendError {
    /// The step that failed.
    pub kind: SendErrorKind,
    /// True if a byte of the request may have reached the other side. A request with `sent: false`
    /// has certainly not been executed.
    pub sent: bool,
    /// True if it went out on a connection that had been idle. `Closed`, `sent` and `reused`
    /// together mostly mean that the other side closed an idle connection at the same moment.
    pub reused: bool,
    detail: Option<Box<str>>,
}

impl SendError {
    /// True if time ran out, whichever step was under way.
    pub fn is_timeout(&self) -> bool {
        matches!(
            self.kind,
            SendErrorKind::ConnectTimeout
                | SendErrorKind::TlsTimeout
                | SendErrorKind::FirstByteTimeout
                | SendErrorKind::TotalTimeout
                | SendErrorKind::TooManyConnections
        )
    }

    pub(crate) fn unsent(kind: SendErrorKind) -> Self {
        Self {
            kind,
            sent: false,
            reused: false,
            detail: None,
        }
    }

    pub(crate) fn unanswered(kind: SendErrorKind, reused: bool) -> Self {
        Self {
            sent: true,
            reused,
            ..Self::unsent(kind)
        }
    }

    /// With a detail that holds no secret.
    pub(crate) fn said(kind: SendErrorKind, detail: &str) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::unsent(kind)
        }
    }

    pub(crate) fn because(kind: SendErrorKind, cause: &dyn Error) -> Self {
        Self {
            detail: Some(chain(cause).into()),
            ..Self::unsent(kind)
        }
    }

    /// Of the system, when a connection was to be made.
    pub(crate) fn connecting(error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::ConnectionRefused => SendErrorKind::Refused,
            _ => SendErrorKind::Connect,
        };
        Self::because(kind, error)
    }

    /// Of a TLS handshake.
    pub(crate) fn encrypting(error: &io::Error) -> Self {
        use CertificateError::{
            BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext,
            NotValidYet, NotValidYetContext, UnknownIssuer,
        };
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        let kind = match inner {
            Some(rustls::Error::InvalidCertificate(problem)) => match problem {
                Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
                    SendErrorKind::CertificateExpired
                }
                // A bad signature: by another authority of the same name.
                UnknownIssuer | BadSignature => SendErrorKind::CertificateUnknown,
                NotValidForName | NotValidForNameContext { .. } => SendErrorKind::CertificateName,
                _ => SendErrorKind::Tls,
            },
            _ => SendErrorKind::Tls,
        };
        Self::because(kind, error)
    }

    /// Sorts an error of hyper by what the pipeline can do about it.
    pub(crate) fn from_hyper(error: &hyper::Error, sent: bool, reused: bool) -> Self {
        let kind = if error.is_user() {
            SendErrorKind::RequestBody
        } else if error.is_parse() {
            SendErrorKind::Protocol
        } else {
            SendErrorKind::Closed
        };
        Self {
            sent,
            reused,
            ..Self::because(kind, error)
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.sentence())?;
        match &self.detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}

impl Error for SendError {}

/// An error and its causes in one line, because hyper keeps the telling part in the source.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let line = source.to_string();
        if !text.ends_with(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        next = source.source();
    }
    text
}
