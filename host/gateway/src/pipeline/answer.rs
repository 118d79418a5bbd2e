//! answer: a policy may answer in the provider's place. The first answer counts.

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use weir_base::Fault;
use weir_policy::{Hook, Response};

use super::attempt::{Reply, Source};
use super::chain::Chain;
use super::hook::Running;
use super::open::Open;
use super::target::is_own;
use super::worker::Worker;

/// Asks the answer policies in order until one answers.
pub async fn run(
    worker: &Rc<Worker>,
    open: &mut Open,
    chain: &Chain,
) -> Result<Option<Reply>, Fault> {
    for binding in chain.with(Hook::Answer, open.share) {
        let running = Running::new(open, binding, Hook::Answer);
        let answer = worker
            .policies
            .answer(&binding.version, &open.scope, &open.facts.summary())
            .await;
        if let Some(Some(response)) = running.judge(open, answer)? {
            return Ok(Some(to_reply(response)));
        }
    }
    Ok(None)
}

/// A policy's response as one to send. Headers that belong to the connection are left out.
pub fn to_reply(response: Response) -> Reply {
    let (headers, body) = (to_headers(&response.headers), Bytes::from(response.body));
    Reply {
        status: response.status,
        headers,
        source: Source::Whole(body),
        by_policy: true,
    }
}

/// Header pairs as a map; what is no header, or not a policy's to set, is left out.
pub fn to_headers(pairs: &[(String, String)]) -> HeaderMap {
    let pair = |(name, value): &(String, String)| {
        let name = HeaderName::from_bytes(name.as_bytes())
            .ok()
            .filter(|name| !is_own(name))?;
        Some((name, HeaderValue::from_str(value).ok()?))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in pairs.iter().filter_map(pair) {
        headers.append(name, value);
    }
    headers
}
