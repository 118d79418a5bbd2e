//! A place that requests go to: scheme, host, port, which HTTP it is spoken to in, and the way there:
//! through which proxy, and with which certificates. All of it together tells one set of pooled
//! connections from another.

use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use http::uri::Authority;
use http::{HeaderValue, Uri};
use rustls::pki_types::ServerName;

use crate::proxy::Proxy;
use crate::tls::Tls;

/// Whether the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS.
    Https,
}

/// When HTTP/2 is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Http2 {
    /// Where TLS agrees on it (ALPN); plain connections speak HTTP/1.1.
    #[default]
    Auto,
    /// Never: HTTP/1.1 only.
    Never,
    /// Always, without asking: also on plain connections.
    PriorKnowledge,
}

/// An origin. A clone is one pointer; comparing and hashing cost no look at the text.
#[derive(Clone)]
pub struct Origin(Arc<Parts>);

#[derive(Clone)]
struct Parts {
    hash: u64,
    scheme: Scheme,
    http2: Http2,
    host: Box<str>,
    port: u16,
    address: Option<IpAddr>,
    server_name: ServerName<'static>,
    authority: Authority,
    host_header: HeaderValue,
    proxy: Option<Proxy>,
    tls: Option<Tls>,
}

/// The text is not a base URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Neither `http://` nor `https://` and a host.
    #[error("a base URL starts with http:// or https:// and a host")]
    NotAUrl,
    /// `user:password@` in the URL.
    #[error("a base URL holds no user name or password; use a provider key")]
    Credentials,
    /// `?` or `#` in the URL.
    #[error("a base URL has no query and no fragment")]
    Query,
    /// A host that TLS cannot name.
    #[error("the host is neither a DNS name nor an IP address")]
    Host,
}

impl Origin {
    /// Splits a base URL such as `https://api.example.com/v1` into the origin and the path that
    /// goes before every request's path (`/v1`; empty if there is none, never ending in a slash).
    pub fn parse(url: &str) -> Result<(Origin, String), OriginError> {
        if url.contains(['?', '#']) {
            return Err(OriginError::Query);
        }
        let uri: Uri = url.parse().map_err(|_| OriginError::NotAUrl)?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(OriginError::NotAUrl),
        };
        let authority = uri.authority().ok_or(OriginError::NotAUrl)?;
        if authority.as_str().contains('@') {
            return Err(OriginError::Credentials);
        }
        let default_port = if scheme == Scheme::Https { 443 } else { 80 };
        // A colon with no port, or one beyond 65535, is a slip of the pen: better refused here
        // than sent to the default port.
        let after_host = authority
            .as_str()
            .strip_prefix(authority.host())
            .unwrap_or_default();
        let port = match after_host {
            "" => default_port,
            _ => authority.port_u16().ok_or(OriginError::NotAUrl)?,
        };
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let host = host.to_ascii_lowercase();
        let server_name = ServerName::try_from(host.clone()).map_err(|_| OriginError::Host)?;
        let bracketed = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        let shown = if port == default_port {
            bracketed
        } else {
            format!("{bracketed}:{port}")
        };
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let parts = Parts {
            hash: 0,
            scheme,
            http2: Http2::Auto,
            address: host.parse().ok(),
            host: host.into(),
            port,
            server_name,
            authority: shown.parse().map_err(|_| OriginError::Host)?,
            host_header: HeaderValue::try_from(shown).map_err(|_| OriginError::Host)?,
            proxy: None,
            tls: None,
        };
        Ok((Origin::sealed(parts), prefix))
    }

    /// The same place, spoken to in HTTP/2 as `http2` says.
    #[must_use]
    pub fn with_http2(self, http2: Http2) -> Origin {
        Origin::sealed(Parts {
            http2,
            ..(*self.0).clone()
        })
    }

    /// The same place, reached through `proxy`.
    #[must_use]
    pub fn through(self, proxy: Option<Proxy>) -> Origin {
        Origin::sealed(Parts {
            proxy,
            ..(*self.0).clone()
        })
    }

    /// The same place, with certificates of its own instead of the pool's.
    #[must_use]
    pub fn secured(self, tls: Option<Tls>) -> Origin {
        Origin::sealed(Parts {
            tls,
            ..(*self.0).clone()
        })
    }

    /// Whether the connection is encrypted.
    pub fn scheme(&self) -> Scheme {
        self.0.scheme
    }

    /// When HTTP/2 is spoken.
    pub fn http2(&self) -> Http2 {
        self.0.http2
    }

    /// The host's name or address, lower case, without brackets.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The value of the `Host` header: the host, and the port where it is not the usual one.
    pub fn host_header(&self) -> &HeaderValue {
        &self.0.host_header
    }

    /// The proxy on the way there.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.0.proxy.as_ref()
    }

    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.0.tls.as_ref()
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.0.authority
    }

    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    pub(crate) fn server_name(&self) -> &ServerName<'static> {
        &self.0.server_name
    }

    /// Hashes once, here, so that no request has to.
    fn sealed(mut parts: Parts) -> Origin {
        parts.hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((
            parts.scheme,
            parts.http2,
            &parts.host,
            parts.port,
            &parts.proxy,
        ));
        Origin(Arc::new(parts))
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        // The same channel's origin is the same allocation; another configuration's may be equal
        // to it and should find the same connections.
        Arc::ptr_eq(a, b)
            || (a.hash == b.hash
                && a.scheme == b.scheme
                && a.http2 == b.http2
                && a.port == b.port
                && a.host == b.host
                && a.proxy == b.proxy
                && a.tls == b.tls)
    }
}

impl Eq for Origin {}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.0.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.0.authority)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self}, {:?})", self.0.http2)
    }
}

/// Passes on the hash that an [`Origin`] carries.
#[derive(Default)]
pub(crate) struct CarriedHash(u64);

impl Hasher for CarriedHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only origins are keys, and they write one u64; anything else still gets a usable hash.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, host: &str, port: u16, header: &str, prefix: &str) {
        let (origin, path) = Origin::parse(url).unwrap();
        assert_eq!((origin.host(), origin.port()), (host, port), "{url}");
        assert_eq!(origin.host_header(), header, "{url}");
        assert_eq!(path, prefix, "{url}");
    }

    #[test]
    fn a_base_url_is_split_into_origin_and_prefix() {
        check(
            "https://API.example.com",
            "api.example.com",
            443,
            "api.example.com",
            "",
        );
        check("https://a.test/v1/", "a.test", 443, "a.test", "/v1");
        check(
            "http://a.test:8080/x/y",
            "a.test",
            8080,
            "a.test:8080",
            "/x/y",
        );
        check("https://a.test:443", "a.test", 443, "a.test", "");
        check("http://[::1]:99/", "::1", 99, "[::1]:99", "");
        check("http://127.0.0.1", "127.0.0.1", 80, "127.0.0.1", "");
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        for (url, error) in [
            ("api.example.com", OriginError::NotAUrl),
            ("ftp://a.test", OriginError::NotAUrl),
            ("https://", OriginError::NotAUrl),
            ("https://a.test:", OriginError::NotAUrl),
            ("https://a.test:70000", OriginError::NotAUrl),
            ("https://user:pass@a.test", OriginError::Credentials),
            ("https://a.test/v1?key=1", OriginError::Query),
            ("https://a.test/#x", OriginError::Query),
            ("https://-._/", OriginError::Host),
        ] {
            assert_eq!(Origin::parse(url).err(), Some(error), "{url}");
        }
    }

    #[test]
    fn equal_places_are_equal_and_modes_of_http_differ() {
        let parse = |url| Origin::parse(url).unwrap().0;
        assert_eq!(parse("https://a.test/v1"), parse("https://A.test:443/v2"));
        assert_ne!(parse("https://a.test"), parse("http://a.test"));
        assert_ne!(
            parse("https://a.test"),
            parse("https://a.test").with_http2(Http2::Never)
        );
    }

    #[test]
    fn ways_to_the_same_place_differ() {
        let parse = |url| Origin::parse(url).unwrap().0;
        let proxy = |url| Some(Proxy::parse(url).unwrap());
        let through = |url| parse("https://a.test").through(proxy(url));
        assert_ne!(parse("https://a.test"), through("http://p.test:1"));
        assert_ne!(
            through("http://u:a@p.test:1"),
            through("http://u:b@p.test:1")
        );
        assert_eq!(
            through("http://u:a@p.test:1"),
            through("http://u:a@p.test:1")
        );
        let tls = || Some(Tls::new(&crate::TlsSettings::default()).unwrap());
        let secured = |tls| parse("https://a.test").secured(tls);
        assert_ne!(secured(None), secured(tls()));
        // Made anew by a reload, with the same certificates: the connections are found again.
        assert_eq!(secured(tls()), secured(tls()));
    }
}
