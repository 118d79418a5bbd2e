//! The way to an origin: proxies, certificates, names and times.

use std::cell::Cell;
use std::net::SocketAddr;

use futures_util::FutureExt;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;

use super::*;
use crate::proxy::Proxy;
use crate::tls::{ClientFiles, TlsError};

/// An origin that answers `ok` and says how many connections it has had.
async fn counted() -> (Origin, Rc<Cell<usize>>) {
    let connections = Rc::new(Cell::new(0));
    let count = Rc::clone(&connections);
    let origin = server(move |number, mut stream| {
        count.set(number);
        async move {
            while request(&mut stream).await.is_some() {
                write(
                    &mut stream,
                    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
                )
                .await;
            }
        }
    })
    .await;
    (origin, connections)
}

async fn ask(pool: &Pool, origin: &Origin) -> Result<String, SendError> {
    let response = pool.send(origin, post("/", "x"), &QUICK).await?;
    Ok(whole(response).await.unwrap())
}

async fn pass_on(mut near: TcpStream, target: &str) {
    let mut far = TcpStream::connect(target).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
}

/// A proxy that takes CONNECT with the login `me:p@ss`, and knows one name: `there.test`, which is
/// port `port` here.
async fn connect_proxy(port: u16) -> (String, mpsc::UnboundedReceiver<String>) {
    let (heard, hears) = mpsc::unbounded_channel();
    let proxy = server(move |_, mut stream| {
        let heard = heard.clone();
        async move {
            let head = request(&mut stream).await.unwrap();
            heard.send(head.clone()).unwrap();
            // me:p@ss
            let reply = if !head.contains("proxy-authorization: Basic bWU6cEBzcw==\r\n") {
                "407 Proxy Authentication Required"
            } else if !head.starts_with("CONNECT there.test:") {
                "502 Bad Gateway"
            } else {
                write(&mut stream, "HTTP/1.1 200 Connection established\r\n\r\n").await;
                return pass_on(stream, &format!("127.0.0.1:{port}")).await;
            };
            let reply = format!("HTTP/1.1 {reply}\r\ncontent-length: 3\r\n\r\nno!");
            write(&mut stream, &reply).await;
            is_closed_soon(&mut stream).await;
        }
    })
    .await;
    (format!("127.0.0.1:{}", proxy.port()), hears)
}

/// The same in SOCKS5. Says for each connection the name or address that it was asked for.
async fn socks_proxy(port: u16) -> (String, mpsc::UnboundedReceiver<String>) {
    let (heard, hears) = mpsc::unbounded_channel();
    let proxy = server(move |_, mut stream: TcpStream| {
        let heard = heard.clone();
        async move {
            let methods = read(&mut stream, 2).await;
            let methods = read(&mut stream, methods[1]).await;
            if !methods.contains(&2) {
                return stream.write_all(&[5, 0xff]).await.unwrap();
            }
            stream.write_all(&[5, 2]).await.unwrap();
            let user = read(&mut stream, 2).await[1];
            let user = read(&mut stream, user).await;
            let password = read(&mut stream, 1).await[0];
            let password = read(&mut stream, password).await;
            let known = user == b"me" && password == b"p@ss";
            stream.write_all(&[1, u8::from(!known)]).await.unwrap();
            if !known {
                return;
            }
            let kind = read(&mut stream, 4).await[3];
            let host = match kind {
                3 => {
                    let length = read(&mut stream, 1).await[0];
                    String::from_utf8(read(&mut stream, length).await).unwrap()
                }
                kind => format!(
                    "{:?}",
                    read(&mut stream, if kind == 1 { 4 } else { 16 }).await
                ),
            };
            read(&mut stream, 2).await;
            let known = host == "there.test";
            heard.send(host).unwrap();
            let status = if known { 0 } else { 4 };
            let reply = [5, status, 0, 1, 0, 0, 0, 0, 0, 0];
            stream.write_all(&reply).await.unwrap();
            if known {
                pass_on(stream, &format!("127.0.0.1:{port}")).await;
            }
        }
    })
    .await;
    (format!("127.0.0.1:{}", proxy.port()), hears)
}

async fn read(stream: &mut TcpStream, count: u8) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(count)];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

fn through(url: &str, proxy: &str) -> Origin {
    let (origin, _) = Origin::parse(url).unwrap();
    origin.through(Some(Proxy::parse(proxy).unwrap()))
}

/// What fails, by scheme of the proxy, is told apart.
async fn failures_of_the_proxy_are_told_apart(scheme: &str, proxy: &str) {
    let pool = pool();
    for (login, url, kind) in [
        ("me:wrong@", "http://there.test", SendErrorKind::ProxyAuth),
        ("", "http://there.test", SendErrorKind::ProxyAuth),
        (
            "me:p%40ss@",
            "http://elsewhere.test",
            SendErrorKind::ProxyTarget,
        ),
    ] {
        let origin = through(url, &format!("{scheme}://{login}{proxy}"));
        let error = ask(&pool, &origin).await.unwrap_err();
        assert_eq!((error.kind, error.sent), (kind, false), "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("{scheme}://{}", listener.local_addr().unwrap());
    let deaf = through("http://there.test", &nobody);
    let error = ask(&pool, &deaf).await.unwrap_err();
    assert_eq!(error.kind, SendErrorKind::ConnectTimeout, "{error}");
    assert!(error.to_string().contains("through the proxy"), "{error}");
    drop(listener);
    let error = ask(&pool, &deaf).await.unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Proxy, "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert_eq!(pool.stats().open(), 0);
}

#[tokio::test(flavor = "local")]
async fn a_connect_proxy_leads_to_plain_and_encrypted_origins() {
    let (origin, _) = counted().await;
    let (proxy, mut heard) = connect_proxy(origin.port()).await;
    let pool = pool();
    let far = through("http://there.test:81", &format!("http://me:p%40ss@{proxy}"));
    assert_eq!(ask(&pool, &far).await.unwrap(), "ok");
    let head = heard.recv().await.unwrap();
    assert!(
        head.starts_with("CONNECT there.test:81 HTTP/1.1\r\nhost: there.test:81\r\n"),
        "{head}"
    );
    assert_eq!(ask(&pool, &far).await.unwrap(), "ok");
    assert_eq!(
        (pool.stats().connects(), pool.stats().reused()),
        (1, 1),
        "a tunnel is used again"
    );
    failures_of_the_proxy_are_told_apart("http", &proxy).await;

    let pki = Pki::new();
    let port = pki.server(false).await;
    let (proxy, mut heard) = connect_proxy(port).await;
    let far = through("https://there.test", &format!("http://me:p%40ss@{proxy}"));
    let far = far.secured(Some(pki.tls(false)));
    let text = ask(&pool, &far).await.unwrap();
    assert!(text.starts_with("HTTP/2.0 https://there.test"), "{text}");
    let head = heard.recv().await.unwrap();
    assert!(head.starts_with("CONNECT there.test:443 "), "{head}");
}

#[tokio::test(flavor = "local")]
async fn a_socks_proxy_resolves_the_name_itself() {
    let (origin, _) = counted().await;
    let (proxy, mut heard) = socks_proxy(origin.port()).await;
    let pool = pool();
    for scheme in ["socks5", "socks5h"] {
        let far = through(
            "http://there.test:81",
            &format!("{scheme}://me:p%40ss@{proxy}"),
        );
        assert_eq!(ask(&pool, &far).await.unwrap(), "ok");
    }
    assert_eq!(heard.recv().await.unwrap(), "there.test");
    assert_eq!((pool.stats().connects(), pool.stats().reused()), (1, 1));
    failures_of_the_proxy_are_told_apart("socks5", &proxy).await;
}

#[tokio::test(flavor = "local")]
async fn each_way_has_connections_of_its_own() {
    let (near, connections) = counted().await;
    let (first, _heard) = connect_proxy(near.port()).await;
    let (second, _heard) = connect_proxy(near.port()).await;
    let pool = pool();
    let url = format!("http://there.test:{}", near.port());
    for _ in 0..3 {
        for proxy in [&first, &second] {
            let far = through(&url, &format!("http://me:p%40ss@{proxy}"));
            assert_eq!(ask(&pool, &far).await.unwrap(), "ok");
        }
        assert_eq!(ask(&pool, &near).await.unwrap(), "ok");
    }
    assert_eq!(connections.get(), 3);
    assert_eq!(pool.inner.lanes.borrow().len(), 3);
}

/// A private authority, and what it certified.
struct Pki {
    ca: pem_file::Ca,
    client: pem_file::Ca,
    client_key: pem_file::Ca,
    server: (rcgen::Certificate, KeyPair),
    roots: RootCertStore,
}

impl Pki {
    fn new() -> Pki {
        Pki::until(4096)
    }

    /// Its certificates are good until this year.
    fn until(year: i32) -> Pki {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let certify = |name: &str, usage| {
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.extended_key_usages = vec![usage];
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let key = KeyPair::generate().unwrap();
            (params.signed_by(&key, &ca).unwrap(), key)
        };
        let server = certify("there.test", ExtendedKeyUsagePurpose::ServerAuth);
        let (client, key) = certify("client", ExtendedKeyUsagePurpose::ClientAuth);
        let mut roots = RootCertStore::empty();
        roots.add(ca.as_ref().der().clone()).unwrap();
        Pki {
            ca: pem_file::Ca::new(&ca.as_ref().pem()).unwrap(),
            client: pem_file::Ca::new(&client.pem()).unwrap(),
            client_key: pem_file::Ca::new(&key.serialize_pem()).unwrap(),
            server,
            roots,
        }
    }

    fn tls(&self, with_client: bool) -> Tls {
        let client = with_client.then(|| ClientFiles {
            cert_file: self.client.0.clone(),
            key_file: self.client_key.0.clone(),
        });
        let settings = TlsSettings {
            only_ca_file: Some(self.ca.0.clone()),
            client,
            ..TlsSettings::default()
        };
        Tls::new(&settings).unwrap()
    }

    /// A server that is certified as `there.test`, and may want to see the client's certificate.
    /// Its port.
    async fn server(&self, asks_client: bool) -> u16 {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Arc::new(self.roots.clone());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
        let builder = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if asks_client {
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let (cert, key) = &self.server;
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = builder
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let origin = server(move |_, stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve_http2(stream).await;
                }
            }
        })
        .await;
        origin.port()
    }
}

/// A pool for which `there.test` and everything else is at these addresses.
fn pool_where(
    settings: PoolSettings,
    addresses: impl Fn() -> Vec<SocketAddr> + 'static,
) -> (Pool, Rc<Cell<u32>>) {
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    let tls = Tls::new(&TlsSettings::default()).unwrap();
    let lookup = Box::new(move |_: &str| {
        count.set(count.get() + 1);
        let found = addresses();
        async move { Ok(found) }.boxed_local()
    });
    (Pool::with_lookup(settings, tls, lookup), asked)
}

fn here() -> Vec<SocketAddr> {
    vec![SocketAddr::from(([127, 0, 0, 1], 0))]
}

#[tokio::test(flavor = "local")]
async fn an_origin_can_have_its_own_authority_and_be_shown_a_certificate() {
    let pki = Pki::new();
    let port = pki.server(true).await;
    let (pool, _) = pool_where(PoolSettings::default(), here);
    let (origin, _) = Origin::parse(&format!("https://there.test:{port}")).unwrap();

    let known = origin.clone().secured(Some(pki.tls(true)));
    assert!(ask(&pool, &known).await.unwrap().starts_with("HTTP/2.0"));

    // The server refuses after its own part of the handshake, so this is no failure of TLS here.
    let nobody = origin.clone().secured(Some(pki.tls(false)));
    let error = ask(&pool, &nobody).await.unwrap_err();
    assert!(
        matches!(error.kind, SendErrorKind::Closed | SendErrorKind::Tls),
        "{error}"
    );

    let of_others = origin.clone().secured(Some(Pki::new().tls(true)));
    for distrusting in [origin, of_others] {
        let error = ask(&pool, &distrusting).await.unwrap_err();
        assert_eq!(error.kind, SendErrorKind::CertificateUnknown, "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
    assert!(ask(&pool, &known).await.is_ok());
    assert_eq!(pool.stats().reused(), 1, "nobody came onto the known way");
}

#[tokio::test(flavor = "local")]
async fn what_is_wrong_with_a_certificate_is_told_apart() {
    let (good, expired) = (Pki::new(), Pki::until(2001));
    let (pool, _) = pool_where(PoolSettings::default(), here);
    let plain = server(|_, mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    for (pki, host, port, kind) in [
        (
            &good,
            "elsewhere.test",
            good.server(false).await,
            SendErrorKind::CertificateName,
        ),
        (
            &expired,
            "there.test",
            expired.server(false).await,
            SendErrorKind::CertificateExpired,
        ),
        (&good, "there.test", plain.port(), SendErrorKind::Tls),
    ] {
        let (origin, _) = Origin::parse(&format!("https://{host}:{port}")).unwrap();
        let origin = origin.secured(Some(pki.tls(false)));
        let error = ask(&pool, &origin).await.unwrap_err();
        assert_eq!((error.kind, error.sent), (kind, false), "{error}");
    }
}

#[test]
fn files_for_a_client_that_do_not_fit_are_told_by_their_names() {
    let (pki, other) = (Pki::new(), Pki::new());
    let missing = std::path::PathBuf::from("/does/not/exist.pem");
    for (cert, key, guilty, says) in [
        (
            &pki.client.0,
            &other.client_key.0,
            &other.client_key.0,
            "no key for",
        ),
        (
            &pki.client_key.0,
            &pki.client_key.0,
            &pki.client_key.0,
            "no certificate",
        ),
        (&pki.client.0, &pki.client.0, &pki.client.0, ""),
        (&pki.client.0, &missing, &missing, "No such file"),
        (&missing, &pki.client_key.0, &missing, "No such file"),
    ] {
        let client = ClientFiles {
            cert_file: cert.clone(),
            key_file: key.clone(),
        };
        let settings = TlsSettings {
            client: Some(client),
            ..TlsSettings::default()
        };
        let error: TlsError = Tls::new(&settings).unwrap_err();
        assert_eq!(error.path(), Some(guilty.as_path()), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test(flavor = "local")]
async fn every_address_of_a_name_is_tried() {
    let (origin, _) = counted().await;
    // Nobody listens on that port at the first two.
    let addresses = || {
        let last = [[127, 0, 0, 3], [127, 0, 0, 2], [127, 0, 0, 1]];
        last.map(|ip| SocketAddr::from((ip, 0))).to_vec()
    };
    let (pool, _) = pool_where(PoolSettings::default(), addresses);
    let (named, _) = Origin::parse(&format!("http://there.test:{}", origin.port())).unwrap();
    assert_eq!(ask(&pool, &named).await.unwrap(), "ok");
}

#[tokio::test(flavor = "local")]
async fn a_new_address_is_taken_up_when_connections_become_old() {
    let mut listeners = Vec::new();
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = first.local_addr().unwrap().port();
    listeners.push((first, "one"));
    listeners.push((TcpListener::bind(("127.0.0.2", port)).await.unwrap(), "two"));
    for (listener, name) in listeners {
        tokio::task::spawn_local(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::task::spawn_local(async move {
                    while request(&mut stream).await.is_some() {
                        let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{name}");
                        write(&mut stream, &reply).await;
                    }
                });
            }
        });
    }
    let last = Rc::new(Cell::new(1));
    let leads_to = Rc::clone(&last);
    let settings = PoolSettings {
        dns_cache_ms: 100,
        connection_max_age_ms: 200,
        ..PoolSettings::default()
    };
    let addresses = move || vec![SocketAddr::from(([127, 0, 0, leads_to.get()], 0))];
    let (pool, asked) = pool_where(settings, addresses);
    let (named, _) = Origin::parse(&format!("http://there.test:{port}")).unwrap();

    assert_eq!(ask(&pool, &named).await.unwrap(), "one");
    last.set(2);
    assert_eq!(
        ask(&pool, &named).await.unwrap(),
        "one",
        "a young connection is used again"
    );
    assert_eq!((asked.get(), pool.stats().connects()), (1, 1));
    sleep(Duration::from_millis(260)).await;
    assert_eq!(ask(&pool, &named).await.unwrap(), "two");
    assert_eq!((asked.get(), pool.stats().connects()), (2, 2));
}

#[tokio::test(flavor = "local")]
async fn an_old_shared_connection_takes_no_more_and_ends_what_it_has() {
    let origin = server(async |_, stream| serve_http2(stream).await).await;
    let origin = origin.with_http2(Http2::PriorKnowledge);
    let pool = pool_with(|settings| settings.connection_max_age_ms = 100);
    let under_way = pool.send(&origin, post("/a", "x"), &PATIENT).await.unwrap();
    sleep(Duration::from_millis(150)).await;
    assert!(ask(&pool, &origin).await.unwrap().ends_with('/'));
    assert_eq!(pool.stats().connects(), 2);
    assert!(whole(under_way).await.unwrap().ends_with("/a"));
    sleep(Duration::from_millis(20)).await;
    assert_eq!(pool.stats().open(), 1);
}

#[tokio::test(flavor = "local")]
async fn an_attempt_has_an_end_however_much_comes() {
    let origin = server(async |_, mut stream: TcpStream| {
        let head = request(&mut stream).await.unwrap();
        if head.contains("/late") {
            sleep(Duration::from_secs(60)).await;
        }
        write(
            &mut stream,
            "HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n",
        )
        .await;
        // Ends when the connection is closed.
        while stream.write_all(b"more").await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let timeouts = Timeouts {
        total_ms: 150,
        ..PATIENT
    };
    let pool = pool();
    let began = std::time::Instant::now();
    let response = pool.send(&origin, post("/", "x"), &timeouts).await.unwrap();
    assert!(matches!(
        whole(response).await,
        Err(BodyError::TotalTimeout)
    ));
    assert!(began.elapsed() < Duration::from_secs(2));
    let error = pool
        .send(&origin, post("/late", "x"), &timeouts)
        .await
        .unwrap_err();
    assert_eq!(error.kind, SendErrorKind::TotalTimeout);
    assert!(error.is_timeout() && error.sent);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(pool.stats().open(), 0);
}
