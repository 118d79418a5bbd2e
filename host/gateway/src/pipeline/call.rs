//! One call: what was asked, by whom, under which snapshot.
//!
//! A call is shared with the policy hook that runs about it, so it is behind an `Arc` and the
//! parts that `rewrite` may change are behind a lock that nobody else ever waits for.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri};
use weir_base::{CallId, Operation};
use weir_wire::dialect::Dialect;
use weir_wire::endpoint::BodyKind;
use weir_wire::scan::Head;

use super::snapshot::Snapshot;
use crate::identify::VirtualKey;

/// What the caller asked for, as far as policies may change it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The model asked for; empty where the operation has none.
    pub model: String,
    /// What was found in the body without building a tree.
    pub head: Head,
    /// The body, as it came or as policies left it.
    pub body: Bytes,
    /// The headers that may go to a provider; credentials are gone.
    pub headers: HeaderMap,
    /// Whether a policy changed the body, so that `head` must be found anew.
    pub body_changed: bool,
}

impl Request {
    /// Whether a provider could not tell it from `other`.
    pub fn is_sent_like(&self, other: &Self) -> bool {
        self.model == other.model && self.body == other.body && self.headers == other.headers
    }

    /// The same number for two requests that are the same to a provider.
    pub fn hash_sent(&self, state: &mut impl Hasher) {
        (&self.model, &self.body).hash(state);
        for (name, value) in &self.headers {
            (name, value).hash(state);
        }
    }
}

/// One call, from identify to settle.
#[derive(Debug)]
pub struct Call {
    /// Its place in the ledger.
    pub id: CallId,
    /// The same as the value of `x-request-id`.
    pub id_header: HeaderValue,
    /// When it began, for durations.
    pub started: Instant,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// What it runs under, from first to last.
    pub snapshot: Arc<Snapshot>,
    /// The virtual key that it came with.
    pub key: Arc<VirtualKey>,
    /// The client's address.
    pub client: IpAddr,
    /// The wire format that it is written in.
    pub dialect: Dialect,
    /// What it asks for.
    pub operation: Operation,
    /// Whether the body is JSON that may be looked into.
    pub body_kind: BodyKind,
    /// Whether the path names the model, as Gemini's do.
    pub model_in_path: bool,
    /// Whether a provider serves no such call without a model.
    pub needs_model: bool,
    /// The method of the request line.
    pub method: Method,
    /// The target of the request line.
    pub uri: Uri,
    /// How many gateways it has passed before this one.
    pub hops: u32,
    /// How many questions of policies to models led to it, one in the other; 0 for a caller's own.
    pub depth: u32,
    /// What `rewrite` may change; see [`Call::request`].
    pub request: Mutex<Request>,
}

impl Call {
    /// The request as it stands. Held for a few instructions at a time, never across an await.
    pub fn request(&self) -> MutexGuard<'_, Request> {
        // A panic while the lock was held leaves whole values behind: nothing is half-written.
        self.request.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same call with a request of its own, for a policy in shadow mode: its edits change
    /// nothing that anybody sees.
    pub fn shadow(&self) -> Arc<Call> {
        Arc::new(Call {
            id_header: self.id_header.clone(),
            snapshot: Arc::clone(&self.snapshot),
            key: Arc::clone(&self.key),
            method: self.method.clone(),
            uri: self.uri.clone(),
            request: Mutex::new(self.request().clone()),
            ..*self
        })
    }

    /// The id as text.
    pub fn id_text(&self) -> &str {
        self.id_header.to_str().unwrap_or_default()
    }

    /// Milliseconds since the call began.
    pub fn elapsed_ms(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_millis()).unwrap_or(u32::MAX)
    }
}
