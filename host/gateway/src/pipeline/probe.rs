//! Weir's own questions to channels with an open circuit, where the settings want them: a real call,
//! a few tokens long, whose answer closes the circuit before any caller's call has to try.
//!
//! Sent as calls are: same address, same connections, the channel's own headers, a key that may be
//! used. What is said about the key or its limits says nothing about the channel and changes nothing.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use weir_wire::dialect::Family;

use super::channel::{Channel, Target};
use super::exchange::{self, Came};
use super::health::{self, Change, ModelHealth, State};
use super::question::{self, Bound, INPUT_TOKENS, OUTPUT_TOKENS_MAX, Wanted, embeds};
use super::worker::Worker;
use crate::keys::Ask;
use crate::measure::FailureKind;

/// How often it is looked for circuits whose time has come, in milliseconds.
const LOOK_EVERY_MS: u64 = 50;
/// Longest time that a provider gets for an answer, in milliseconds.
const ANSWER_MS: u64 = 30_000;
/// Questions at one time.
const SIDE_BY_SIDE: usize = 16;

/// What an answer tells of a circuit.
enum Finding {
    Well,
    Bad(FailureKind),
    /// Nothing: about the key, or never asked.
    Unknown,
}

/// A circuit to be tried.
struct Due {
    channel: Arc<Channel>,
    /// The model whose circuit it is.
    of: Arc<str>,
    health: Arc<ModelHealth>,
    /// The model that is asked.
    model: Arc<str>,
}

/// Asks for as long as it is polled.
pub async fn run(worker: Rc<Worker>) {
    let places = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    loop {
        tokio::time::sleep(Duration::from_millis(LOOK_EVERY_MS)).await;
        for due in due(&worker, places.available_permits()) {
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                break;
            };
            let worker = Rc::clone(&worker);
            tokio::task::spawn_local(async move {
                probe(&worker, &due).await;
                due.health.probed(worker.now_ms());
                drop(place);
            });
        }
    }
}

/// The circuits that are not closed and were not tried for a while, `most` of them.
fn due(worker: &Worker, most: usize) -> Vec<Due> {
    let (snapshot, now_ms) = (worker.snapshot(), worker.now_ms());
    let mut all = Vec::new();
    let channels = snapshot.channels.iter();
    for channel in channels.filter(|channel| channel.breaker.probe_interval_ms > 0) {
        let interval_ms = channel.breaker.probe_interval_ms;
        for (of, health) in channel.health.models() {
            if all.len() == most {
                return all;
            }
            let state = health.breaker.state(now_ms);
            if !matches!(state, State::Open(_) | State::HalfOpen) {
                continue;
            }
            let own = channel.breaker.probe_model.as_deref();
            let model = own.map_or_else(|| Arc::clone(&of), Arc::from);
            // Calls without a model cannot be imitated.
            if !model.is_empty() && health.take_probe(now_ms, interval_ms) {
                all.push(Due {
                    channel: Arc::clone(channel),
                    of,
                    health,
                    model,
                });
            }
            if own.is_some() {
                // One question for all circuits of the channel.
                break;
            }
        }
    }
    all
}

/// Asks, and lets the circuit know. What a model answers that is asked for all of them closes all
/// circuits of the channel.
async fn probe(worker: &Worker, due: &Due) {
    let (channel, health, terms) = (&*due.channel, &due.health, &due.channel.breaker);
    let mut pass = health.breaker.enter(|| worker.now_ms());
    let began = Instant::now();
    let finding = ask(worker, channel, &due.model).await;
    let (took, now_ms) = (began.elapsed(), worker.now_ms());
    let tell = |model: &str, change: Option<Change>| {
        if let Some(change) = change {
            health::tell(&worker.shared.metrics, channel, model, change, now_ms);
        }
    };
    match finding {
        Finding::Well => {
            tell(&due.of, health.answered(pass, now_ms, Some(took), terms));
            if terms.probe_model.is_some() {
                for (name, other) in channel.health.models() {
                    let pass = other.breaker.enter(|| now_ms);
                    tell(&name, other.recovered(pass));
                }
            }
        }
        Finding::Bad(kind) => tell(&due.of, health.failed(Some(pass), now_ms, kind, terms)),
        Finding::Unknown => health.breaker.leave(&mut pass),
    }
}

async fn ask(worker: &Worker, channel: &Channel, model: &str) -> Finding {
    let family = match &channel.target {
        Target::Http { family, .. } => *family,
        Target::Fake(_) => Family::Openai,
    };
    let mut lease = None;
    if !channel.keys.keys().is_empty() {
        let ask = Ask {
            now_ms: worker.now_ms(),
            model,
            input_tokens: INPUT_TOKENS,
            output_tokens: OUTPUT_TOKENS_MAX,
            tried: &[],
        };
        lease = channel.keys.pick(&ask, || 0);
        if lease.is_none() {
            return Finding::Unknown;
        }
    }
    let question = question::minimal(
        family,
        Wanted {
            model,
            vector: embeds(model),
            stream: false,
            stream_usage: false,
            bound: Bound::MaxTokens,
        },
    );
    let mut timeouts = *channel.timeouts.of(question.operation);
    timeouts.first_byte_ms = timeouts.first_byte_ms.min(ANSWER_MS);
    timeouts.idle_stream_ms = timeouts.idle_stream_ms.min(ANSWER_MS);
    let pool = &worker.upstream;
    let asked = exchange::ask(pool, channel, lease.as_deref(), &question, &timeouts).await;
    if let Some(lease) = lease.as_mut().filter(|_| asked.came.status().is_some()) {
        lease.settle(INPUT_TOKENS + OUTPUT_TOKENS_MAX, worker.now_ms());
    }
    let finding = finding(&asked.came);
    if matches!(finding, Finding::Well) {
        let own = lease.as_ref().map(|lease| &lease.state.standing);
        own.unwrap_or(&channel.health.standing).went_well();
    }
    finding
}

fn finding(came: &Came) -> Finding {
    match came {
        Came::Unsent => Finding::Unknown,
        Came::Nothing(error) if error.is_timeout() => Finding::Bad(FailureKind::TimedOut),
        Came::Nothing(_) => Finding::Bad(FailureKind::Connect),
        Came::Reply { status, .. } | Came::Broken { status, .. } => match status {
            200..=299 if matches!(came, Came::Broken { .. }) => Finding::Bad(FailureKind::Broken),
            401..=403 | 429 => Finding::Unknown,
            408 | 409 | 500.. => Finding::Bad(FailureKind::Server),
            // Also where it finds fault with the question: whoever does that works.
            _ => Finding::Well,
        },
    }
}
