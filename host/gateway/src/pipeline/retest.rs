//! Dead provider keys are tried again: with a request that costs nothing, at growing intervals.
//!
//! The request is the dialect's list of models, sent as calls are: same address, same connections, the
//! channel's own headers. A key that the provider takes is put back and its record removed. What
//! says nothing about the key (a provider that is down, one without such a list) changes nothing.
//! Keys that an administrator took out are left alone.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use weir_base::Operation;
use weir_store::{DisabledKey, StoreError};
use weir_wire::error::dead_key;

use super::channel::{Channel, Target};
use super::exchange::{self, Came, Question};
use super::worker::Worker;
use crate::keys::{ProviderKey, RetestPauses};

/// Longest time that a provider gets for an answer, in milliseconds.
const ANSWER_MS: u64 = 10_000;
/// Keys that are tried at one time.
const SIDE_BY_SIDE: usize = 16;
/// How often it is looked for keys whose time has come, in milliseconds.
const LOOK_EVERY_MS: std::ops::RangeInclusive<u64> = 50..=1_000;
/// Requests for a try that may wait.
const ASKED_MAX: usize = 64;

/// What a try found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The provider takes the key.
    Accepted,
    /// It does not, for this reason.
    Refused(String),
    /// It did not say.
    Unknown(String),
}

/// A try that someone wants now.
#[derive(Debug)]
pub struct Asked {
    channel: String,
    key: String,
    answer: oneshot::Sender<Option<Finding>>,
}

/// Asks for tries. Clones ask the same thread.
#[derive(Debug, Clone)]
pub struct Retests(mpsc::Sender<Asked>);

impl Retests {
    /// Who asks, and where the questions arrive.
    pub fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (asks, asked) = mpsc::channel(ASKED_MAX);
        (Self(asks), asked)
    }

    /// Tries a key now, dead or not; one that is dead comes back where the provider takes it. None
    /// where no such key is in use, or the program stops.
    pub async fn test(&self, channel: &str, key: &str) -> Option<Finding> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked {
            channel: channel.to_owned(),
            key: key.to_owned(),
            answer,
        };
        self.0.send(asked).await.ok()?;
        answered.await.ok()?
    }
}

/// Tries keys for as long as someone could ask.
pub async fn run(worker: Rc<Worker>, mut asked: mpsc::Receiver<Asked>) {
    loop {
        let pauses = pauses(&worker);
        let every_ms = match pauses.first_ms {
            0 => *LOOK_EVERY_MS.end(),
            first_ms => first_ms.clamp(*LOOK_EVERY_MS.start(), *LOOK_EVERY_MS.end()),
        };
        tokio::select! {
            asked = asked.recv() => {
                let Some(asked) = asked else { return };
                tokio::task::spawn_local(answer(Rc::clone(&worker), asked));
            }
            () = tokio::time::sleep(Duration::from_millis(every_ms)) => {
                try_due(&worker, pauses).await;
            }
        }
    }
}

fn pauses(worker: &Worker) -> RetestPauses {
    let cooldown = &worker.snapshot().config.cooldown;
    RetestPauses {
        first_ms: cooldown.key_retest_first_ms,
        max_ms: cooldown.key_retest_max_ms,
    }
}

async fn answer(worker: Rc<Worker>, asked: Asked) {
    let snapshot = worker.snapshot();
    let channel = snapshot.channel(&asked.channel);
    let mut found = None;
    if let Some(channel) = channel {
        let keys = channel.keys.keys().iter();
        for key in keys.filter(|key| *key.id == *asked.key) {
            found = Some(try_one(&worker, channel, key).await);
        }
    }
    // Whoever asked may have gone.
    let _ = asked.answer.send(found);
}

async fn try_due(worker: &Worker, pauses: RetestPauses) {
    let snapshot = worker.snapshot();
    let now_ms = worker.now_ms();
    let keys = snapshot.channels.iter().flat_map(|channel| {
        let keys = channel.keys.keys().iter();
        keys.map(move |key| (channel, key))
    });
    let due = keys.filter(|(_, key)| key.state.retest_is_due(now_ms, pauses));
    let tries = due.take(SIDE_BY_SIDE).map(|(channel, key)| {
        key.state.retested(now_ms, pauses);
        try_one(worker, channel, key)
    });
    join_all(tries).await;
}

/// Asks the provider, and brings the key back where it takes it.
async fn try_one(worker: &Worker, channel: &Channel, key: &ProviderKey) -> Finding {
    let finding = ask(worker, channel, key).await;
    match &finding {
        Finding::Accepted if key.state.is_disabled() => restore(worker, channel, key).await,
        Finding::Accepted => {}
        Finding::Refused(reason) => {
            tracing::debug!(channel = &*channel.name, key = &*key.id, %reason, "a provider key is refused");
        }
        Finding::Unknown(reason) => {
            tracing::debug!(channel = &*channel.name, key = &*key.id, %reason, "a provider did not say whether a key is good");
        }
    }
    finding
}

/// First the record, then the key: else the next reload would find the record and take it out again.
async fn restore(worker: &Worker, channel: &Channel, key: &ProviderKey) {
    let id = DisabledKey::id_of(&channel.name, &key.fingerprint);
    match worker.shared.store.delete::<DisabledKey>(&id).await {
        Ok(()) | Err(StoreError::NotFound) => {
            key.state.enable();
            worker.shared.metrics.provider_key_restored(
                &channel.name,
                &key.id,
                "the provider takes it again",
                worker.now_ms(),
            );
        }
        Err(error) => {
            tracing::warn!(channel = &*channel.name, key = &*key.id, %error, "a provider key is good again, but its record stays");
        }
    }
}

async fn ask(worker: &Worker, channel: &Channel, key: &ProviderKey) -> Finding {
    let Target::Http { family, .. } = &channel.target else {
        // The built-in provider takes any key.
        return Finding::Accepted;
    };
    let mut timeouts = *channel.timeouts.of(Operation::Models);
    timeouts.first_byte_ms = timeouts.first_byte_ms.min(ANSWER_MS);
    timeouts.idle_stream_ms = timeouts.idle_stream_ms.min(ANSWER_MS);
    let question = Question::models(*family);
    let asked = exchange::ask(&worker.upstream, channel, Some(key), &question, &timeouts).await;
    let (status, body) = match &asked.came {
        Came::Reply { status, body, .. } => (*status, &body[..]),
        Came::Broken { status, .. } => (*status, &[][..]),
        Came::Nothing(error) => return Finding::Unknown(error.to_string()),
        Came::Unsent => {
            return Finding::Unknown("the channel's address has no list of models".to_owned());
        }
    };
    match (status, dead_key(status, body)) {
        (200..=299, _) => Finding::Accepted,
        (_, Some(reason)) => Finding::Refused(reason),
        (401..=403, None) => Finding::Refused(format!("the provider answers with status {status}")),
        _ => Finding::Unknown(format!("the provider answers with status {status}")),
    }
}
