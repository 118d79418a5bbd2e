//! Does a channel work? A minimal real call for each model and key, and the account's balance.
//!
//! Runs beside the workers, with connections of its own, so that name, address and certificate are
//! looked at as a first call would. Each call has a ledger row under an account of its own.
//! Never does: pass a policy, count towards anybody's limit, or change what is known of the health
//! of a channel or key: an operator who looks changes nothing.
//! Read first: [`serve`], then `channel_test/run.rs`; what a failure means is in
//! `channel_test/cause.rs`.

mod balance;
mod cause;
mod exchange;
mod models;
mod question;
mod run;

use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, oneshot};
use utoipa::ToSchema;
use weir_base::Usage;
use weir_policy::Engine;
use weir_upstream::{PoolSettings, Tls};

pub use balance::{Amount, KeyBalance, NoBalance};
pub use cause::Cause;

use super::channel::Channel;
use super::worker::{Shared, Worker};
use crate::keys::ProviderKey;

/// The account that tests are booked under.
pub const ACCOUNT: &str = "channel-tests";
/// Orders that may wait.
pub const ORDERS_MAX: usize = 16;
/// Tests that run side by side; each makes a few calls at a time.
const RUNNING_MAX: usize = 8;

/// What an operator wants to know.
pub enum Order {
    /// Whether models answer.
    Test(TestOrder),
    /// What is left on the account, by key.
    Balance {
        /// The channel.
        channel: Arc<Channel>,
        /// The keys to ask with; never empty, but for a channel without keys.
        keys: Vec<Arc<ProviderKey>>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Vec<KeyBalance>, NoBalance>>,
    },
}

/// A test of one channel.
pub struct TestOrder {
    /// The channel.
    pub channel: Arc<Channel>,
    /// The models to ask; where there are none, those that the channel names or its provider lists.
    pub models: Vec<String>,
    /// The keys to ask with, each every model; none for a channel that needs none.
    pub keys: Vec<Arc<ProviderKey>>,
    /// Whether to ask for streams.
    pub stream: bool,
    /// Milliseconds until a reply must have begun, where less than the channel allows.
    pub first_byte_timeout_ms: Option<u32>,
    /// Where results go as they come. Closed when nobody listens any more; the test ends then.
    pub progress: mpsc::Sender<Line>,
}

/// One line of a test's progress.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// One call is over.
    Result(TestResult),
    /// All are; the last line.
    Summary(Summary),
}

/// How one call went.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TestResult {
    /// The model, as callers name it; null where the provider was asked which models it has.
    pub model: Option<String>,
    /// The provider's name for it.
    pub upstream_model: Option<String>,
    /// The id of the provider key; null for a channel without keys.
    pub key: Option<String>,
    /// Whether a usable reply came.
    pub ok: bool,
    /// The provider's HTTP status; null where no reply came.
    pub status: Option<u16>,
    /// Milliseconds until the reply began: connecting is part of it.
    pub first_byte_ms: Option<u32>,
    /// Milliseconds until it ended.
    pub total_ms: u32,
    /// What the provider says was used.
    #[schema(value_type = Option<Object>)]
    pub usage: Option<Usage>,
    /// Why it failed; null where it did not.
    pub cause: Option<Cause>,
    /// The same in a sentence, with what to do about it.
    pub message: Option<String>,
    /// The call in the ledger.
    pub call: String,
}

/// How all calls went.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Summary {
    /// The channel.
    pub channel: String,
    /// Whether every call went well, and there was one.
    pub ok: bool,
    /// Calls that went well.
    pub passed: usize,
    /// Calls that did not.
    pub failed: usize,
    /// Milliseconds for all.
    pub total_ms: u32,
}

/// Carries out orders until nobody can give one any more. Needs a local runtime.
pub async fn serve(
    shared: Arc<Shared>,
    engine: Arc<Engine>,
    tls: Tls,
    pool: PoolSettings,
    mut orders: mpsc::Receiver<Order>,
) {
    let running = Arc::new(Semaphore::new(RUNNING_MAX));
    while let Ok(permit) = Arc::clone(&running).acquire_owned().await
        && let Some(order) = orders.recv().await
    {
        // New for each order: a connection that is open already says nothing about the next one.
        let worker = Worker::new(Arc::clone(&shared), Arc::clone(&engine), tls.clone(), pool);
        let worker = Rc::new(worker);
        tokio::task::spawn_local(async move {
            match order {
                Order::Test(order) => {
                    let progress = order.progress.clone();
                    tokio::select! {
                        () = run::run(&worker, &order) => {}
                        // Nobody listens: the calls are dropped, and settled as they stand.
                        () = progress.closed() => {}
                    }
                }
                Order::Balance {
                    channel,
                    keys,
                    mut reply,
                } => {
                    let answer = tokio::select! {
                        answer = balance::read(&worker, &channel, &keys) => answer,
                        () = reply.closed() => return,
                    };
                    let _ = reply.send(answer);
                }
            }
            drop(permit);
        });
    }
}
