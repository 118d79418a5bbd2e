//! HTTP for policies: one request to the public internet, one bounded answer.
//!
//! Three gates, because each sees what the others cannot: the runtime has matched the URL against
//! the grants; here an address that is written in the URL is looked at; and every address that a
//! name resolves to is looked at in the moment in which it is connected to. Redirects are not
//! followed and the environment's proxies are not used: both would go round the gates.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use weir_policy::{HttpRequest, Response};

use super::address::is_public;

/// The longest wait for a connection; the whole exchange is bounded by the hook's own time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a response's body at most.
const BODY_MAX_BYTES: usize = 8 << 20;
/// Connections to one host that are kept while nobody uses them.
const IDLE_PER_HOST_MAX: usize = 8;

/// Headers that are about the connection, or that only the client that decodes may set.
const OWN_HEADERS: [&str; 10] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Sends requests for policies.
#[derive(Debug)]
pub(super) struct Outgoing(reqwest::Client);

impl Outgoing {
    /// A client with the certificate authorities that browsers trust.
    pub(super) fn new() -> Result<Self, String> {
        Self::resolving_by(System)
    }

    fn resolving_by(names: impl Resolve + 'static) -> Result<Self, String> {
        let mut roots = rustls::RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::new(PublicOnly(Arc::new(names))))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .build();
        client.map(Self).map_err(|error| error.to_string())
    }

    /// Checks a policy's request and turns it into one that can be sent. `granted` are the hosts of
    /// the policy's grants. The error is a sentence for the policy.
    pub(super) fn prepare(
        &self,
        request: HttpRequest,
        granted: &[String],
    ) -> Result<reqwest::Request, String> {
        let url = check_url(&request.url, granted)?;
        let method = Method::from_bytes(request.method.as_bytes());
        let method = method.map_err(|_| format!("{:?} is no HTTP method", request.method))?;
        let mut prepared = reqwest::Request::new(method, url);
        *prepared.headers_mut() = headers(&request.headers)?;
        *prepared.timeout_mut() = Some(Duration::from_millis(u64::from(request.timeout_ms)));
        if !request.body.is_empty() {
            *prepared.body_mut() = Some(Bytes::from(request.body).into());
        }
        Ok(prepared)
    }

    /// Sends the request and reads the whole answer.
    pub(super) async fn exchange(&self, request: reqwest::Request) -> Result<Response, String> {
        let failed = |error: reqwest::Error| describe(error.without_url());
        let mut response = self.0.execute(request).await.map_err(failed)?;
        let status = response.status().as_u16();
        let headers = readable(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > BODY_MAX_BYTES {
                return Err(format!("the answer has more than {BODY_MAX_BYTES} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response {
            status,
            headers,
            body,
        })
    }
}

/// Parses the URL as the client will, and refuses what would lead into the operator's network.
pub(super) fn check_url(text: &str, granted: &[String]) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("the URL cannot be read: {error}"))?;
    // The grants were matched against another parser's idea of the host. Where the two differ
    // (`http://0x7f000001/` is one example) the match says nothing.
    let matched: Option<http::Uri> = text.parse().ok();
    let matched = matched
        .as_ref()
        .and_then(http::Uri::host)
        .map(str::to_ascii_lowercase);
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err("the URL names no host".to_owned());
    };
    if matched.as_deref() != Some(host) {
        return Err("the URL's host is written in an unusual way".to_owned());
    }
    let literal: Option<IpAddr> = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok();
    let inside = literal.map_or(host == "localhost", |address| !is_public(address));
    if inside
        && !granted
            .iter()
            .any(|grant| *grant == format!("{host}:{port}"))
    {
        return Err(format!(
            "{host} is not on the public internet; only a grant of exactly `{host}:{port}` allows it"
        ));
    }
    Ok(url)
}

fn headers(written: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(written.len());
    for (name, value) in written {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("{name:?} is no header name"))?;
        if OWN_HEADERS.contains(&name.as_str()) {
            continue;
        }
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("the header {name} has a value that cannot be sent"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn readable(headers: &HeaderMap) -> Vec<(String, String)> {
    let pair = |(name, value): (&HeaderName, &HeaderValue)| {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), text)
    };
    headers.iter().map(pair).collect()
}

/// The error with its causes: the outermost says only that sending failed.
fn describe(error: reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// The machine's own resolver.
struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<_> = found.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Names lead to public addresses only, whatever they lead to a moment later: what is looked at here is
/// what is connected to. What has no name was looked at before.
struct PublicOnly<R>(Arc<R>);

impl<R: Resolve + 'static> Resolve for PublicOnly<R> {
    fn resolve(&self, name: Name) -> Resolving {
        let names = Arc::clone(&self.0);
        Box::pin(async move {
            // Only gets here where exactly this was granted, see `check_url`; and it is answered
            // here, so that nobody's resolver says what it means.
            if name.as_str() == "localhost" {
                let addresses = [
                    IpAddr::from(Ipv4Addr::LOCALHOST),
                    IpAddr::from(Ipv6Addr::LOCALHOST),
                ];
                return Ok(
                    Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs,
                );
            }
            let text = name.as_str().to_owned();
            let found = names.resolve(name).await?;
            let public: Vec<_> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(format!("{text} has no address on the public internet").into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A name of an attacker: public when it is asked for first, the machine itself from then on.
    #[derive(Default)]
    struct Rebinding(AtomicUsize);

    impl Resolve for Rebinding {
        fn resolve(&self, _: Name) -> Resolving {
            let addresses: &[&str] = match self.0.fetch_add(1, Ordering::SeqCst) {
                0 => &["1.1.1.1:0", "127.0.0.1:0"],
                1 => &["[::1]:0", "127.0.0.1:0", "169.254.169.254:0"],
                _ => &["127.0.0.1:0"],
            };
            let addresses = addresses.iter().map(|address| address.parse().unwrap());
            let addresses: Vec<SocketAddr> = addresses.collect();
            Box::pin(async move { Ok(Box::new(addresses.into_iter()) as Addrs) })
        }
    }

    #[tokio::test]
    async fn a_name_that_changes_its_mind_leads_nowhere() {
        let inside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        inside.set_nonblocking(true).unwrap();
        let port = inside.local_addr().unwrap().port();

        let names = PublicOnly(Arc::new(Rebinding::default()));
        let first = names.resolve("rebind.test".parse().unwrap()).await;
        let first: Vec<SocketAddr> = first.unwrap_or_else(|error| panic!("{error}")).collect();
        assert_eq!(first, ["1.1.1.1:0".parse().unwrap()]);

        let rebinding = Rebinding(AtomicUsize::new(1));
        let outgoing = Outgoing::resolving_by(rebinding).unwrap();
        for _ in 0..2 {
            let request = HttpRequest {
                method: "GET".to_owned(),
                url: format!("http://rebind.test:{port}/"),
                headers: Vec::new(),
                body: Vec::new(),
                timeout_ms: 5_000,
            };
            let granted = [format!("rebind.test:{port}")];
            let request = outgoing.prepare(request, &granted).unwrap();
            let refused = outgoing.exchange(request).await.unwrap_err();
            assert!(
                refused.contains("no address on the public internet"),
                "{refused}"
            );
        }
        assert!(inside.accept().is_err(), "somebody connected");
    }
}
