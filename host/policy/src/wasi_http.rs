//! `wasi:http` for guests whose language has no other way out: every request goes through the same
//! gates, bounds and accounts as one of `http.send`.
//!
//! Bodies are whole on both sides, so that there is one implementation of sending, the gateway's.
//! What the guest sees of a refusal is an error code of WASI; the sentence goes to its log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::bounds;
use crate::grants::Grants;
use crate::services::{PolicyIdentity, Services, Who};
use crate::types::{HttpRequest, LogLevel, Response};

/// What sends one policy's requests; one in each instance that ever used `wasi:http`.
pub(crate) struct WasiOutgoing {
    identity: Arc<PolicyIdentity>,
    grants: Arc<Grants>,
    services: Arc<dyn Services>,
    /// Requests that the running hook has sent this way.
    pub(crate) sent: u32,
    /// How many it may still send, and for how long each may take.
    pub(crate) left: u32,
    pub(crate) timeout: Duration,
}

type Sending = dyn Future<Output = Result<Received, Error>> + Send;
type Received = (
    http::Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl WasiOutgoing {
    pub(crate) fn new(
        identity: Arc<PolicyIdentity>,
        grants: Arc<Grants>,
        services: Arc<dyn Services>,
    ) -> Self {
        Self {
            identity,
            grants,
            services,
            sent: 0,
            left: 0,
            timeout: Duration::ZERO,
        }
    }

    fn admit(&mut self, url: &str) -> Result<(), String> {
        if self.sent >= self.left {
            return Err("one hook may not reach out that often".to_owned());
        }
        self.sent += 1;
        self.grants.check_url(url)
    }
}

impl WasiHttpHooks for WasiOutgoing {
    /// The gateway's client sets it, from the URL that was checked.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        bounds::WASI_HTTP_CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<Sending> {
        let url = request.uri().to_string();
        let admitted = self.admit(&url);
        let identity = Arc::clone(&self.identity);
        let services = Arc::clone(&self.services);
        let asked = options.and_then(|options| options.first_byte_timeout);
        let timeout = asked.map_or(self.timeout, |asked| asked.min(self.timeout));
        Box::new(async move {
            // Not for a call: the request may outlive the hook, and must not keep the call alive.
            let who = Who {
                policy: &identity,
                call: None,
            };
            let refused = |code: Error, sentence: &str| {
                services.log(
                    who,
                    LogLevel::Warn,
                    &format!("wasi:http, {url}: {sentence}"),
                );
                code
            };
            admitted.map_err(|sentence| refused(Error::HttpRequestDenied, &sentence))?;
            let request = whole(request, timeout).await?;
            let sent = tokio::time::timeout(timeout, services.send(who, request)).await;
            let response = sent
                .map_err(|_| Error::HttpResponseTimeout)?
                .map_err(|sentence| refused(Error::DestinationUnavailable, &sentence))?;
            let received: Received = (answer(response)?, Box::new(async { Ok(()) }));
            Ok(received)
        })
    }
}

/// The request as the gateway sends it, once the guest has written all of its body.
async fn whole(request: Request<WasiBody>, timeout: Duration) -> Result<HttpRequest, Error> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, bounds::WASI_HTTP_BODY_MAX_BYTES);
    let body = tokio::time::timeout(timeout, body.collect())
        .await
        .map_err(|_| Error::ConnectionWriteTimeout)?
        .map_err(|_| Error::HttpRequestBodySize(Some(bounds::WASI_HTTP_BODY_MAX_BYTES as u64)))?;
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let value = value.to_str().map_err(|_| Error::HttpRequestHeaderSize {
            field_name: Some(name.to_string()),
            field_size: None,
        })?;
        Ok((name.as_str().to_owned(), value.to_owned()))
    };
    Ok(HttpRequest {
        method: head.method.to_string(),
        url: head.uri.to_string(),
        headers: head
            .headers
            .iter()
            .map(header)
            .collect::<Result<_, Error>>()?,
        body: body.to_bytes().to_vec(),
        timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
    })
}

fn answer(response: Response) -> Result<http::Response<WasiBody>, Error> {
    let mut answer = http::Response::builder().status(response.status);
    for (name, value) in response.headers {
        answer = answer.header(name, value);
    }
    let body = Full::new(Bytes::from(response.body));
    answer
        .body(body.map_err(|never| match never {}).boxed_unsync())
        .map_err(|_| Error::HttpProtocolError)
}
