//! One question to one channel with one key: sent as any attempt is, timed, and booked.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use weir_base::{Fault, Usage};
use weir_store::{AttemptRow, Ended};
use weir_wire::usage::{StreamReport, StreamUsage, read_whole};

use super::{ACCOUNT, Cause};
use crate::keys::ProviderKey;
use crate::pipeline::attempt::Source;
use crate::pipeline::attempt::send::{self, Failed, Got};
use crate::pipeline::channel::Channel;
use crate::pipeline::inner::{self, Question};
use crate::pipeline::open::Open;
use crate::pipeline::relay::poll_data;
use crate::pipeline::route::Planned;
use crate::pipeline::target::is_event_stream;
use crate::pipeline::worker::Worker;

/// The largest reply that is read, in bytes. A vector has some ten thousand, a list of models at a
/// reseller some hundred thousand.
const REPLY_MAX_BYTES: usize = 4 << 20;

/// What came of a question.
pub(super) enum Came {
    /// A whole reply.
    Reply {
        status: u16,
        headers: HeaderMap,
        body: Bytes,
        /// What was seen of it, where it was a stream.
        stream: Option<StreamReport>,
    },
    /// No reply, or only the head of one.
    Nothing(Failed),
    /// A reply that broke off, for this reason.
    Broken { status: u16, reason: String },
    /// Nothing was sent: the question does not fit the channel.
    Unsent(Fault),
}

impl Came {
    /// The provider's status.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Came::Reply { status, .. } | Came::Broken { status, .. } => Some(*status),
            Came::Nothing(_) | Came::Unsent(_) => None,
        }
    }
}

/// A question that was asked. Dropped, it is written down.
pub(super) struct Exchange {
    open: Open,
    pub(super) came: Came,
    pub(super) upstream_model: Arc<str>,
    pub(super) first_byte_ms: Option<u32>,
    pub(super) total_ms: u32,
    pub(super) usage: Option<Usage>,
}

impl Exchange {
    /// The id in the ledger.
    pub(super) fn call(&self) -> String {
        self.open.call.id_text().to_owned()
    }

    /// Ends it: the ledger says why it failed, where it did.
    pub(super) fn end(mut self, cause: Option<Cause>) {
        let outcome = &mut self.open.outcome;
        outcome.ended = match (&self.came, cause) {
            (Came::Broken { .. }, _) => Ended::UpstreamBroke,
            (Came::Reply { .. }, _) => Ended::Complete,
            _ => Ended::Failed,
        };
        outcome.status = self.came.status().unwrap_or(502);
        outcome.first_byte_ms = self.first_byte_ms;
        outcome.usage = self.usage;
        outcome.usage_is_final = self.usage.is_some();
        outcome.denied = cause.map(|cause| cause.as_str().into());
        let name = outcome
            .channel
            .as_ref()
            .map(|channel| Arc::clone(&channel.name));
        if let Some(channel) = name {
            self.open.attempts.push(AttemptRow {
                channel,
                key: self.open.outcome.provider_key.clone(),
                status: self.came.status(),
                failure: cause.map(|cause| cause.as_str().into()),
                ms: self.total_ms,
            });
        }
    }
}

/// Asks.
pub(super) async fn ask(
    worker: &Rc<Worker>,
    channel: &Arc<Channel>,
    key: Option<&ProviderKey>,
    model: &str,
    question: &Question,
    first_byte_timeout_ms: Option<u32>,
) -> Exchange {
    let doer = format!("channel:{}", channel.name);
    let mut open = inner::begin(worker, ACCOUNT, &doer, model, question);
    let upstream_model: Arc<str> = Arc::from(channel.upstream_model(model));
    open.outcome.channel = Some(Arc::clone(channel));
    open.outcome.upstream_model = Some(Arc::clone(&upstream_model));
    open.outcome.provider_key = key.map(|key| Arc::clone(&key.id));
    let planned = Planned {
        channel: Arc::clone(channel),
        first_byte_timeout_ms,
    };
    let began = Instant::now();
    let mut first_byte_ms = None;
    let came = match send::send(worker, &open, &planned, key, &upstream_model).await {
        Ok(Ok(got)) => {
            first_byte_ms = Some(ms_since(began));
            read(got, &open, began, &mut first_byte_ms).await
        }
        Ok(Err(failed)) => Came::Nothing(failed),
        Err(fault) => Came::Unsent(fault),
    };
    let usage = match &came {
        Came::Reply {
            stream: Some(report),
            ..
        } => report.usage,
        Came::Reply { status, body, .. } if *status < 300 => read_whole(question.dialect, body),
        _ => None,
    };
    Exchange {
        open,
        came,
        upstream_model,
        first_byte_ms,
        total_ms: ms_since(began),
        usage,
    }
}

/// Reads a reply to its end. Of a stream, the first byte is the first of its body: some servers
/// send the head at once and think then.
async fn read(got: Got, open: &Open, began: Instant, first_byte_ms: &mut Option<u32>) -> Came {
    let Got {
        status,
        headers,
        mut source,
    } = got;
    let mut stream = is_event_stream(&headers).then(|| StreamUsage::new(open.call.dialect));
    let mut body = BytesMut::new();
    while let Some(piece) = next(&mut source).await {
        let reason = match piece {
            Ok(piece) if body.len() + piece.len() <= REPLY_MAX_BYTES => {
                if let Some(stream) = &mut stream {
                    if body.is_empty() {
                        *first_byte_ms = Some(ms_since(began));
                    }
                    stream.push(&piece);
                }
                body.extend_from_slice(&piece);
                continue;
            }
            Ok(_) => format!("it has more than {REPLY_MAX_BYTES} bytes"),
            Err(reason) => reason,
        };
        return Came::Broken { status, reason };
    }
    Came::Reply {
        status,
        headers,
        body: body.freeze(),
        stream: stream.map(StreamUsage::finish),
    }
}

async fn next(source: &mut Source) -> Option<Result<Bytes, String>> {
    match source {
        Source::Upstream { body, .. } => poll_fn(|cx| poll_data(body, cx)).await,
        Source::Fake { body, .. } => poll_fn(|cx| body.poll_next(cx)).await,
        Source::Whole(body) => {
            let body = std::mem::take(body);
            (!body.is_empty()).then_some(Ok(body))
        }
    }
}

fn ms_since(began: Instant) -> u32 {
    u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX)
}
