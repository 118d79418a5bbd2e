//! A proxy on the way to an origin, and the tunnel through it.
//!
//! Plain and encrypted origins are both reached by a tunnel (CONNECT, or SOCKS5's own), so that a
//! connection through a proxy is like any other from then on, and the proxy sees no request of a
//! plain origin that it could change. The proxy resolves the origin's name. Never shows a login.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use tokio_socks::Error as SocksError;
use tokio_socks::tcp::Socks5Stream;
use weir_base::Secret;

use crate::error::{SendError, SendErrorKind};
use crate::origin::Origin;
use crate::request_body::RequestBody;

/// A proxy. A clone is one pointer.
#[derive(Clone)]
pub struct Proxy(Arc<Parts>);

struct Parts {
    kind: Kind,
    host: Box<str>,
    port: u16,
    address: Option<IpAddr>,
    login: Option<Login>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Http,
    Socks5,
}

struct Login {
    user: Secret,
    password: Secret,
}

/// The text is not a proxy's URL. Says nothing of the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Not one of the schemes, or no host.
    #[error("a proxy is http://host:port, socks5://host:port or socks5h://host:port")]
    NotAProxy,
    /// Every proxy listens somewhere else.
    #[error("a proxy's port must be written")]
    Port,
    /// A path, query or fragment.
    #[error("nothing may follow a proxy's port")]
    Path,
    /// A user name or password that the protocol cannot carry.
    #[error(
        "a proxy's user name and password are 1 to 255 bytes of text each, with special characters written as %40"
    )]
    Login,
}

impl Proxy {
    /// Reads `http://[user:password@]host:port`, or the same with `socks5://` or `socks5h://`, which
    /// mean the same here: the proxy resolves names.
    ///
    /// # Errors
    /// The text is none of these.
    pub fn parse(url: &str) -> Result<Proxy, ProxyError> {
        let uri: Uri = url.parse().map_err(|_| ProxyError::NotAProxy)?;
        let kind = match uri.scheme_str() {
            Some("http") => Kind::Http,
            Some("socks5" | "socks5h") => Kind::Socks5,
            _ => return Err(ProxyError::NotAProxy),
        };
        let authority = uri.authority().ok_or(ProxyError::NotAProxy)?;
        if !matches!(uri.path(), "" | "/") || url.contains(['?', '#']) {
            return Err(ProxyError::Path);
        }
        let login = match authority.as_str().rsplit_once('@') {
            Some((login, _)) => Some(Login::parse(login)?),
            None => None,
        };
        let host = authority.host();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(ProxyError::NotAProxy);
        }
        Ok(Proxy(Arc::new(Parts {
            kind,
            host: host.to_ascii_lowercase().into(),
            port: authority.port_u16().ok_or(ProxyError::Port)?,
            address: host.parse().ok(),
            login,
        })))
    }

    /// Whether it wants a user name and password.
    pub fn has_login(&self) -> bool {
        self.0.login.is_some()
    }

    pub(crate) fn host(&self) -> &str {
        &self.0.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port
    }

    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    /// Makes a connection to the proxy one to `origin`.
    pub(crate) async fn tunnel(
        &self,
        stream: TcpStream,
        origin: &Origin,
    ) -> Result<TcpStream, SendError> {
        let login = self.0.login.as_ref();
        match self.0.kind {
            Kind::Http => connect(stream, origin, login).await,
            Kind::Socks5 => socks5(stream, origin, login).await,
        }
    }
}

impl Login {
    fn parse(text: &str) -> Result<Login, ProxyError> {
        let part = |text: &str| match percent_decode_str(text).decode_utf8() {
            Ok(part) if (1..=255).contains(&part.len()) => Ok(Secret::new(part)),
            _ => Err(ProxyError::Login),
        };
        let (user, password) = text.split_once(':').ok_or(ProxyError::Login)?;
        Ok(Login {
            user: part(user)?,
            password: part(password)?,
        })
    }

    fn basic(&self) -> Option<HeaderValue> {
        let pair = Secret::new([self.user.expose(), ":", self.password.expose()].concat());
        let text = ["Basic ", &STANDARD.encode(pair.expose())].concat();
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

async fn connect(
    stream: TcpStream,
    origin: &Origin,
    login: Option<&Login>,
) -> Result<TcpStream, SendError> {
    let broken = |error: &hyper::Error| SendError::because(SendErrorKind::Proxy, error);
    let request = connect_request(origin, login)
        .ok_or_else(|| SendError::said(SendErrorKind::Proxy, "no CONNECT can be written for it"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| broken(&error))?;
        let status = response.status();
        match status {
            status if status.is_success() => {
                let upgraded = hyper::upgrade::on(response).await;
                upgraded.map_err(|error| broken(&error))
            }
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Err(SendError::said(SendErrorKind::ProxyAuth, "it answered 407"))
            }
            status => Err(SendError::said(
                SendErrorKind::ProxyTarget,
                &format!("it answered {}", status.as_u16()),
            )),
        }
    };
    let mut exchange = pin!(exchange);
    let upgraded = tokio::select! {
        biased;
        upgraded = exchange.as_mut() => upgraded?,
        // The connection has ended, or has become the tunnel: the exchange knows which.
        _ = connection.with_upgrades() => exchange.await?,
    };
    let parts = upgraded
        .downcast::<TokioIo<TcpStream>>()
        .map_err(|_| SendError::unsent(SendErrorKind::Proxy))?;
    if parts.read_buf.is_empty() {
        Ok(parts.io.into_inner())
    } else {
        Err(SendError::said(
            SendErrorKind::Proxy,
            "it sent something before the host was asked",
        ))
    }
}

fn connect_request(origin: &Origin, login: Option<&Login>) -> Option<Request<RequestBody>> {
    let target = if origin.host().contains(':') {
        format!("[{}]:{}", origin.host(), origin.port())
    } else {
        format!("{}:{}", origin.host(), origin.port())
    };
    let mut request = Request::new(RequestBody::empty());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = Uri::builder().authority(target.as_str()).build().ok()?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::try_from(target).ok()?);
    if let Some(login) = login {
        headers.insert(PROXY_AUTHORIZATION, login.basic()?);
    }
    Some(request)
}

async fn socks5(
    stream: TcpStream,
    origin: &Origin,
    login: Option<&Login>,
) -> Result<TcpStream, SendError> {
    let target = (origin.host(), origin.port());
    let tunnel = match login {
        Some(login) => {
            let (user, password) = (login.user.expose(), login.password.expose());
            Socks5Stream::connect_with_password_and_socket(stream, target, user, password).await
        }
        None => Socks5Stream::connect_with_socket(stream, target).await,
    };
    let kind = |error: &SocksError| match error {
        SocksError::NoAcceptableAuthMethods
        | SocksError::AuthorizationRequired
        | SocksError::PasswordAuthFailure(_) => SendErrorKind::ProxyAuth,
        SocksError::GeneralSocksServerFailure
        | SocksError::ConnectionNotAllowedByRuleset
        | SocksError::NetworkUnreachable
        | SocksError::HostUnreachable
        | SocksError::ConnectionRefused
        | SocksError::TtlExpired => SendErrorKind::ProxyTarget,
        _ => SendErrorKind::Proxy,
    };
    tunnel
        .map(Socks5Stream::into_inner)
        .map_err(|error| SendError::said(kind(&error), &error.to_string()))
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        let login = |parts: &'_ Parts| {
            let login = parts.login.as_ref()?;
            Some((login.user.clone(), login.password.clone()))
        };
        Arc::ptr_eq(a, b)
            || (a.kind == b.kind
                && a.port == b.port
                && a.host == b.host
                && match (login(a), login(b)) {
                    (Some(a), Some(b)) => {
                        a.0.expose() == b.0.expose() && a.1.expose() == b.1.expose()
                    }
                    (a, b) => a.is_none() && b.is_none(),
                })
    }
}

impl Eq for Proxy {}

impl Hash for Proxy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0.kind, &self.0.host, self.0.port).hash(state);
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.0.kind {
            Kind::Http => "http",
            Kind::Socks5 => "socks5",
        };
        let login = if self.has_login() { "(hidden)@" } else { "" };
        let port = self.0.port;
        match &*self.0.host {
            host if host.contains(':') => write!(f, "{scheme}://{login}[{host}]:{port}"),
            host => write!(f, "{scheme}://{login}{host}:{port}"),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_and_its_login_never_shown() {
        for (url, shown) in [
            ("http://p.test:3128", "http://p.test:3128"),
            (
                "http://u:p%40ss@P.test:3128/",
                "http://(hidden)@p.test:3128",
            ),
            ("socks5://127.0.0.1:1080", "socks5://127.0.0.1:1080"),
            ("socks5h://u:pass@[::1]:1", "socks5://(hidden)@[::1]:1"),
        ] {
            let proxy = Proxy::parse(url).unwrap();
            assert_eq!(proxy.to_string(), shown);
            assert_eq!(format!("{proxy:?}"), format!("Proxy({shown})"));
        }
        let proxy = Proxy::parse("http://u:p%40ss@p.test:3128").unwrap();
        assert_eq!(proxy.0.login.as_ref().unwrap().password.expose(), "p@ss");
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_repeating_it() {
        for (url, error) in [
            ("p.test:3128", ProxyError::NotAProxy),
            ("https://p.test:3128", ProxyError::NotAProxy),
            ("http://p.test", ProxyError::Port),
            ("http://p.test:1/x", ProxyError::Path),
            ("http://p.test:1?x", ProxyError::Path),
            ("http://user@p.test:1", ProxyError::Login),
            ("http://user:@p.test:1", ProxyError::Login),
        ] {
            assert_eq!(Proxy::parse(url).err(), Some(error), "{url}");
        }
    }

    #[test]
    fn proxies_are_equal_only_with_the_same_login() {
        let parse = |url| Proxy::parse(url).unwrap();
        assert_eq!(parse("socks5://a:b@p:1"), parse("socks5h://a:b@P:1"));
        assert_ne!(parse("socks5://a:b@p:1"), parse("socks5://a:c@p:1"));
        assert_ne!(parse("socks5://a:b@p:1"), parse("socks5://p:1"));
        assert_ne!(parse("socks5://p:1"), parse("http://p:1"));
    }
}
