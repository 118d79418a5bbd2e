//! A policy for tests: it posts to a URL by way of `wasi:http`, as guests do whose language knows
//! nothing else, and denies every call with what came of it.
//!
//! Configuration: `url`; `times`, how often one call posts (default 1). Elsewhere than in
//! WebAssembly there is no `wasi:http`, and nothing can be posted.

use weir_sdk::prelude::*;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Fetcher {
    url: String,
    #[serde(default = "once")]
    times: u32,
}

fn once() -> u32 {
    1
}

impl Access for Fetcher {
    fn authorize(&self, _: &Summary) -> Result<(), Denial> {
        let mut last = String::new();
        for _ in 0..self.times {
            last = wasi::post(&self.url, b"hello from wasi")
                .map_err(|error| Denial::forbidden("not_fetched", error))?;
        }
        Err(Denial::forbidden("fetched", last))
    }
}

#[cfg(target_arch = "wasm32")]
mod wasi {
    use wasip2::http::outgoing_handler::handle;
    use wasip2::http::types::{
        ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme,
    };
    use wasip2::io::streams::StreamError;

    /// Posts, and answers with the status and the body.
    pub(super) fn post(url: &str, body: &[u8]) -> Result<String, String> {
        let request = request(url)?;
        let sent = request.body().map_err(|()| "no body")?;
        let answer = handle(request, None).map_err(say)?;
        let stream = sent.write().map_err(|()| "no stream")?;
        let written = stream.blocking_write_and_flush(body);
        drop(stream);
        written.map_err(|error| error.to_string())?;
        OutgoingBody::finish(sent, None).map_err(say)?;
        answer.subscribe().block();
        let answer = answer.get().ok_or("not ready")?.map_err(|()| "taken")?;
        read(&answer.map_err(say)?)
    }

    fn request(url: &str) -> Result<OutgoingRequest, String> {
        let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => Scheme::Other(other.to_owned()),
        };
        let fields = Fields::new();
        let set = fields.append("x-fetched-by", b"wasi");
        set.map_err(|error| error.to_string())?;
        let request = OutgoingRequest::new(fields);
        let set = |done: Result<(), ()>| done.map_err(|()| "not a request".to_owned());
        set(request.set_method(&Method::Post))?;
        set(request.set_scheme(Some(&scheme)))?;
        set(request.set_authority(Some(authority)))?;
        set(request.set_path_with_query(Some(path)))?;
        Ok(request)
    }

    fn read(answer: &IncomingResponse) -> Result<String, String> {
        let body = answer.consume().map_err(|()| "no body")?;
        let stream = body.stream().map_err(|()| "no stream")?;
        let mut bytes = Vec::new();
        loop {
            match stream.blocking_read(64 << 10) {
                Ok(more) => bytes.extend(more),
                Err(StreamError::Closed) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        Ok(format!("{} {text}", answer.status()))
    }

    fn say(error: ErrorCode) -> String {
        format!("{error:?}")
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod wasi {
    pub(super) fn post(_: &str, _: &[u8]) -> Result<String, String> {
        Err("there is no wasi:http here".to_owned())
    }
}

weir_sdk::export!(Fetcher: access);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::Host;

    #[test]
    fn it_denies_with_what_came_of_it() {
        let fetcher = Fetcher::configure(r#"{ "url": "http://a.test/" }"#).unwrap();
        let (result, _) = Host::new().run(|call| fetcher.authorize(call));
        assert_eq!(result.unwrap_err().code, "not_fetched");
    }
}
