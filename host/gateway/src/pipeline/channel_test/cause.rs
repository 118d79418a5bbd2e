//! Why a test call failed: a stable code, and a sentence that says what to look at.

use serde::Serialize;
use utoipa::ToSchema;

/// Why a test call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// There is a server, but not this API at this address.
    BaseUrlWrong,
    /// The host's name has no address.
    DnsFailed,
    /// Nobody listens at the address and port.
    ConnectionRefused,
    /// No connection could be made, for another reason.
    ConnectionFailed,
    /// Connecting took too long.
    ConnectionTimedOut,
    /// The connection ended before a reply.
    ConnectionClosed,
    /// The channel's proxy cannot be used.
    ProxyFailed,
    /// The channel's proxy wants another user name and password.
    ProxyLoginRefused,
    /// The channel's proxy works, and does not connect to the provider.
    ProxyTargetRefused,
    /// What answers at the address does not speak HTTP.
    NotHttp,
    /// The server's certificate has expired, or is not valid yet.
    TlsExpired,
    /// The server's certificate was issued by nobody who is trusted.
    TlsUnknownCa,
    /// The server's certificate is for another name.
    TlsWrongName,
    /// The TLS handshake failed otherwise.
    TlsFailed,
    /// The reply's begin, or a part of it, took too long.
    TimedOut,
    /// The provider says that the key is of no more use.
    KeyDead,
    /// The provider does not let this key do this.
    KeyRefused,
    /// The account has no money or quota left.
    QuotaExhausted,
    /// The key or account makes too many calls.
    RateLimited,
    /// The provider has no such model, or not for this account.
    ModelUnknown,
    /// The provider refused the request for another reason.
    RequestRefused,
    /// The provider failed.
    ProviderError,
    /// A reply came that is none in this dialect, or not all of one.
    BadReply,
    /// Nothing was sent.
    NotSent,
}

impl Cause {
    /// The code.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::BaseUrlWrong => "base_url_wrong",
            Cause::DnsFailed => "dns_failed",
            Cause::ConnectionRefused => "connection_refused",
            Cause::ConnectionFailed => "connection_failed",
            Cause::ConnectionTimedOut => "connection_timed_out",
            Cause::ConnectionClosed => "connection_closed",
            Cause::ProxyFailed => "proxy_failed",
            Cause::ProxyLoginRefused => "proxy_login_refused",
            Cause::ProxyTargetRefused => "proxy_target_refused",
            Cause::NotHttp => "not_http",
            Cause::TlsExpired => "tls_expired",
            Cause::TlsUnknownCa => "tls_unknown_ca",
            Cause::TlsWrongName => "tls_wrong_name",
            Cause::TlsFailed => "tls_failed",
            Cause::TimedOut => "timed_out",
            Cause::KeyDead => "key_dead",
            Cause::KeyRefused => "key_refused",
            Cause::QuotaExhausted => "quota_exhausted",
            Cause::RateLimited => "rate_limited",
            Cause::ModelUnknown => "model_unknown",
            Cause::RequestRefused => "request_refused",
            Cause::ProviderError => "provider_error",
            Cause::BadReply => "bad_reply",
            Cause::NotSent => "not_sent",
        }
    }

    /// What it means, and what to look at.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Cause::BaseUrlWrong => {
                "There is a server, but not this API at this address; check the base URL and its path."
            }
            Cause::DnsFailed => {
                "The host of the base URL has no address; check how it is written, and the name server."
            }
            Cause::ConnectionRefused => {
                "Nobody listens at the base URL's address and port; check both, and whether the server runs."
            }
            Cause::ConnectionFailed => {
                "No connection to the base URL's host could be made; check the network and firewalls between."
            }
            Cause::ConnectionTimedOut => {
                "No connection was made in time; check the host and port of the base URL, the network and firewalls between."
            }
            Cause::ProxyFailed => {
                "The channel's proxy cannot be used; check its address and kind, and whether it runs."
            }
            Cause::ProxyLoginRefused => {
                "The channel's proxy refuses the user name and password; check both."
            }
            Cause::ProxyTargetRefused => {
                "The channel's proxy does not connect to the base URL's host; check the base URL, and what the proxy allows."
            }
            Cause::NotHttp => {
                "What answers at the base URL does not speak HTTP; check http:// and https://, and the port."
            }
            Cause::ConnectionClosed => {
                "The server closed the connection before it replied; check http:// and https://, and the port."
            }
            Cause::TlsExpired => {
                "The server's certificate is not valid at this time; it is to be renewed there, or a clock is wrong."
            }
            Cause::TlsUnknownCa => {
                "The server's certificate comes from an authority that is not trusted; add it to the channel's ca_file or to upstream.ca_files, or check the host."
            }
            Cause::TlsWrongName => {
                "The server's certificate is for another name; check the host of the base URL."
            }
            Cause::TlsFailed => {
                "No encrypted connection could be made; check that the port of the base URL speaks TLS."
            }
            Cause::TimedOut => {
                "No reply came in time; check the network, or allow more with timeout_ms and the channel's own times."
            }
            Cause::KeyDead => "The provider says that this key is of no more use; replace it.",
            Cause::KeyRefused => {
                "The provider does not let this key in; check the key, its rights and the dialect."
            }
            Cause::QuotaExhausted => {
                "The account behind this key has no money or quota left; top it up."
            }
            Cause::RateLimited => {
                "The key makes too many calls for its limits at the provider; wait, or add keys."
            }
            Cause::ModelUnknown => {
                "The provider has no such model for this account; check the name, and model_map."
            }
            Cause::RequestRefused => "The provider refused the request.",
            Cause::ProviderError => "The provider failed; try again later.",
            Cause::BadReply => {
                "What came back is no whole reply in the channel's dialect; check the dialect and the base URL."
            }
            Cause::NotSent => "Nothing was sent.",
        }
    }
}
