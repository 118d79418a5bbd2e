//! What the gateway does for policies: the two traits that it implements.
//!
//! [`CallHost`] is one call, as policies see and edit it; [`Services`] is everything that
//! outlives calls. The runtime checks grants and bounds before it calls either.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::types::{Completion, HttpRequest, LogLevel, Message, Response};

/// Whose policy it is. Storage, metrics, logs and money are kept apart by it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyIdentity {
    /// The policy's name, unique among the operator's or the tenant's.
    pub name: String,
    /// The tenant that owns the policy; none for the operator's own.
    pub tenant: Option<String>,
    /// Whether what it does counts.
    pub role: Role,
}

impl PolicyIdentity {
    /// The name that it has in the gateway: a tenant's policy has its tenant in front of it. No name
    /// holds a `/`.
    pub fn full_name(&self) -> Cow<'_, str> {
        match &self.tenant {
            None => Cow::Borrowed(&self.name),
            Some(tenant) => Cow::Owned(format!("{tenant}/{}", self.name)),
        }
    }
}

/// Whether what a policy does counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Role {
    /// It does.
    #[default]
    Decides,
    /// It shows what it would decide, and bans nobody.
    Shadow,
    /// The same, beside another version that decides: what it stores is seen only by itself, and what
    /// it measures by nobody.
    Beside,
}

/// What makes WASI's clocks and random numbers the same every time: for cases and replays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    /// Where the random numbers of each new instance begin.
    pub seed: u64,
}

/// Who asks for a service, and for which call.
#[derive(Clone, Copy)]
pub struct Who<'a> {
    /// The policy.
    pub policy: &'a PolicyIdentity,
    /// The call that the running hook is about; none in `lifecycle`.
    pub call: Option<&'a dyn CallHost>,
}

/// One call as its policies see it: the WIT interfaces `call`, `channels` and `edit`.
///
/// Hooks of one call never run at the same time, but a method may run on another thread than
/// the one before. What changes must be behind interior mutability. Nothing here may return a
/// credential.
pub trait CallHost: Send + Sync {
    /// The request id that the caller sees.
    fn id(&self) -> String;
    /// For example "openai.chat".
    fn dialect(&self) -> String;
    /// The HTTP method, in upper case.
    fn method(&self) -> String;
    /// The path without the query.
    fn path(&self) -> String;
    /// The parameters of the query, decoded and in order.
    fn query(&self) -> Vec<(String, String)>;
    /// The name of the tenant. Shared, as policies ask for it in most calls.
    fn tenant(&self) -> Arc<str>;
    /// The public id of the virtual key.
    fn key(&self) -> Arc<str>;
    /// The caller's address, as text.
    fn client_ip(&self) -> String;
    /// A label of the key, else of its tenant.
    fn label(&self, name: &str) -> Option<String>;
    /// The first header of that name, in any case.
    fn header(&self, name: &str) -> Option<String>;
    /// All headers in order, names in lower case.
    fn headers(&self) -> Vec<(String, String)>;
    /// The JSON text at an RFC 6901 pointer into the body.
    fn json(&self, pointer: &str) -> Option<String>;
    /// The prompt in the dialect-neutral view.
    fn messages(&self) -> Vec<Message>;
    /// How many questions of policies to models led to it, one in the other; 0 for a caller's own.
    fn depth(&self) -> u32 {
        0
    }
    /// The bytes of the request's body. Shared, so that showing it to a policy copies it once.
    fn body(&self) -> Bytes;

    /// The name of the channel with this number; empty where there is none, here as below.
    fn channel_name(&self, channel: u32) -> Arc<str>;
    /// The provider behind it.
    fn channel_provider(&self, channel: u32) -> String;
    /// What it calls the model of this call.
    fn channel_model(&self, channel: u32) -> String;
    /// A label of it.
    fn channel_label(&self, channel: u32, name: &str) -> Option<String>;

    // The rest is only called while `rewrite` runs. An error is a sentence for the policy.

    /// Asks for another model.
    fn set_model(&self, model: &str) -> Result<(), String>;
    /// Sets a header, replacing all of that name.
    fn set_header(&self, name: &str, value: &str) -> Result<(), String>;
    /// Removes all headers of that name.
    fn remove_header(&self, name: &str) -> Result<(), String>;
    /// Sets the value at an RFC 6901 pointer to this JSON text.
    fn set_json(&self, pointer: &str, json: &str) -> Result<(), String>;
    /// Removes the value at an RFC 6901 pointer.
    fn remove_json(&self, pointer: &str) -> Result<(), String>;
    /// Puts a system instruction ahead of the prompt.
    fn prepend_system(&self, text: &str) -> Result<(), String>;
    /// Replaces the text of the message at this index of [`CallHost::messages`].
    fn set_message_text(&self, index: u32, text: &str) -> Result<(), String>;
    /// Replaces the whole body.
    fn replace_body(&self, body: Vec<u8>) -> Result<(), String>;
}

/// What outlives calls: the WIT interfaces `store` to `http`.
///
/// Methods that are not async are called on a worker's thread in the middle of a hook and must
/// not block. The futures are awaited there too: what needs another runtime must move itself.
/// A future is dropped when its hook has waited too long.
pub trait Services: Send + Sync {
    /// How WASI's monotonic clock and random numbers are made; none for the machine's own. With it the
    /// monotonic clock follows [`Services::now_ms`], as the wall clock always does.
    fn fixed(&self) -> Option<Fixed> {
        None
    }
    /// The value of a key of the policy's store, if it has one that has not expired.
    fn store_get(&self, who: Who<'_>, key: &str) -> Option<Vec<u8>>;
    /// Sets a value, for `ttl_ms` milliseconds or for good.
    fn store_set(
        &self,
        who: Who<'_>,
        key: &str,
        value: Vec<u8>,
        ttl_ms: Option<u32>,
    ) -> Result<(), String>;
    /// Removes a key.
    fn store_remove(&self, who: Who<'_>, key: &str);
    /// Adds to an integer atomically and returns the sum.
    fn store_add(
        &self,
        who: Who<'_>,
        key: &str,
        by: i64,
        ttl_ms: Option<u32>,
    ) -> Result<i64, String>;
    /// Takes one line of the policy's log, its standard output and error included.
    fn log(&self, who: Who<'_>, level: LogLevel, message: &str);
    /// Adds to one of the policy's counters.
    fn count(&self, who: Who<'_>, name: &str, by: u32, labels: &[(String, String)]);
    /// Puts a value into one of the policy's histograms.
    fn observe(&self, who: Who<'_>, name: &str, value: f64, labels: &[(String, String)]);
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
    /// The value of a secret. The runtime has checked that the policy was granted its name.
    fn secret(&self, who: Who<'_>, name: &str) -> Option<String>;
    /// Keeps an address out for `for_ms` milliseconds.
    fn ban(&self, who: Who<'_>, ip: &str, for_ms: u32, reason: &str) -> Result<(), String>;
    /// Asks a model through the gateway. The runtime has checked that it was granted.
    fn complete<'a>(
        &'a self,
        who: Who<'a>,
        model: String,
        messages: Vec<Message>,
        max_output_tokens: u32,
    ) -> BoxFuture<'a, Result<Completion, String>>;
    /// How many tokens the text is for that model.
    fn count_tokens<'a>(&'a self, who: Who<'a>, model: String, text: String) -> BoxFuture<'a, u32>;
    /// Sends an HTTP request. The runtime has checked that its host was granted and has cut
    /// `timeout_ms` to what is left of the hook's time. Must not follow redirects.
    fn send<'a>(
        &'a self,
        who: Who<'a>,
        request: HttpRequest,
    ) -> BoxFuture<'a, Result<Response, String>>;
}
