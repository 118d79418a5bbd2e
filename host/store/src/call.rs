//! One row of the ledger: a call, how it ended, what it used, and who decided what about it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use weir_base::{CallId, Operation, Usage};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The caller has all of the reply.
    Complete,
    /// The caller went away first.
    ClientClosed,
    /// The provider broke off after the reply had begun.
    UpstreamBroke,
    /// Weir or a policy refused it.
    Refused,
    /// No attempt brought a reply.
    Failed,
}

impl Ended {
    const ALL: [Self; 5] = [
        Self::Complete,
        Self::ClientClosed,
        Self::UpstreamBroke,
        Self::Refused,
        Self::Failed,
    ];

    /// The number in the database. Never reused.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::ClientClosed => 1,
            Self::UpstreamBroke => 2,
            Self::Refused => 3,
            Self::Failed => 4,
        }
    }

    pub(crate) fn from_code(code: u8) -> Self {
        Self::ALL
            .into_iter()
            .find(|ended| ended.code() == code)
            .unwrap_or(Self::Failed)
    }
}

/// One try at one channel with one provider key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptRow {
    /// The channel's name.
    pub channel: Arc<str>,
    /// The provider key's id, never its secret.
    pub key: Option<Arc<str>>,
    /// The provider's status, where there was an answer.
    pub status: Option<u16>,
    /// Why the attempt was not the last, as a code.
    pub failure: Option<Cow<'static, str>>,
    /// Milliseconds from its begin to its head or its failure.
    pub ms: u32,
    /// What is to be said only of few attempts.
    #[serde(flatten)]
    pub more: Option<Box<AttemptMore>>,
}

/// What is to be said only of few attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AttemptMore {
    /// Why it was made, where that was not the failure of the one before it, as a code.
    pub cause: Option<Cow<'static, str>>,
    /// The model that it asked for, where that is not the call's.
    pub model: Option<Arc<str>>,
    /// What its provider reported that it used, where that is not in the call's own usage or is only
    /// a part of it.
    pub usage: Option<Usage>,
}

/// The verdict of a hook that was not called, because an answer that it gave before still held.
pub const REMEMBERED: &str = "remembered";

/// What one hook of one policy said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Who decided. Shared by all its decisions, so that the writer knows it again by its place in
    /// memory.
    #[serde(flatten)]
    pub by: Arc<Decider>,
    /// Microseconds that the hook took.
    pub micros: u32,
    /// In a word or a few: what it decided.
    pub verdict: Cow<'static, str>,
}

/// A hook of a version of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Decider {
    /// The hook's name.
    pub hook: Cow<'static, str>,
    /// The policy's name.
    pub policy: Arc<str>,
    /// The digest of the version.
    pub digest: Arc<str>,
}

/// One call in the ledger. Strings that many calls share are shared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallRow {
    /// The call's id. Its time (its first 48 bits) must lie within an hour of `started_ms`:
    /// the ledger finds times by it.
    #[serde(serialize_with = "display")]
    pub id: CallId,
    /// Milliseconds since the epoch.
    pub started_ms: u64,
    /// The tenant's id; empty where the caller is unknown.
    pub tenant: Arc<str>,
    /// The virtual key's id; empty where the caller is unknown.
    pub key: Arc<str>,
    /// The dialect the caller spoke.
    pub dialect: Cow<'static, str>,
    /// What the caller asked for.
    pub operation: Operation,
    /// The model as the caller named it; may be empty.
    pub model: Arc<str>,
    /// The channel of the last attempt.
    pub channel: Option<Arc<str>>,
    /// The model as the last attempt's channel calls it.
    pub upstream_model: Option<Arc<str>>,
    /// The id of the last attempt's provider key, never its secret.
    pub provider_key: Option<Arc<str>>,
    /// The status the caller got, or would have got had it waited.
    pub status: u16,
    /// How it ended.
    pub ended: Ended,
    /// The code of the refusal that ended it.
    pub denied: Option<Cow<'static, str>>,
    /// Whether a stream was asked for.
    pub streaming: bool,
    /// The caller's address.
    pub client_ip: IpAddr,
    /// Every attempt, in order.
    pub attempts: Vec<AttemptRow>,
    /// Milliseconds to the first byte sent to the caller.
    pub first_byte_ms: Option<u32>,
    /// Milliseconds to the end.
    pub total_ms: u32,
    /// Tokens and cost.
    pub usage: Usage,
    /// Every decision, in order.
    pub decisions: Vec<Decision>,
}

fn display<S: Serializer>(id: &CallId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}
