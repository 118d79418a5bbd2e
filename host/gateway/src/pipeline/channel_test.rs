//! Does a channel work? A minimal real call for each model and key, and the account's balance.
//!
//! Each test has connections of its own, so that proxy, name, address and certificate are looked at
//! as a first call would. Each call has a ledger row under an account of its own, and counts towards
//! the limits of its provider key as any call does.
//! Never does: pass a policy, count towards anybody's limit or in the metrics, or look at or change
//! what is known of the health of a channel or key: an operator who looks changes nothing.
//! Read first: [`serve`], then `channel_test/run.rs`; what a failure means is in
//! `channel_test/judge.rs`.

mod balance;
mod book;
mod cause;
mod judge;
mod models;
mod run;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, oneshot};
use utoipa::ToSchema;
use weir_base::Usage;
use weir_upstream::{Pool, PoolSettings, Tls};

pub use balance::{Amount, KeyBalance, NoBalance};
pub use cause::Cause;

use super::channel::Channel;
use super::worker::Shared;
use crate::keys::ProviderKey;

/// Calls that one test makes at most; each costs the operator a little.
pub const CALLS_MAX: usize = 500;
/// How long one test may take. What is not tested then is counted in its summary.
const TEST_MAX: Duration = Duration::from_secs(900);
/// How much longer its last lines may take to be read, and its list of models to come.
const TEST_GRACE: Duration = Duration::from_secs(60);
/// Orders that may wait.
const ORDERS_MAX: usize = 16;
/// Orders that are carried out side by side; each makes a few calls at a time.
const RUNNING_MAX: usize = 8;

/// What an operator wants to know.
pub enum Order {
    /// Whether models answer.
    Test(TestOrder),
    /// What is left on the account, by key.
    Balance {
        /// Whose.
        order: BalanceOrder,
        /// Where the answer goes. Closed when nobody waits for it any more.
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
    /// Milliseconds for each call, where the channel's own times are not shorter.
    pub timeout_ms: u64,
    /// Where results go as they come. Closed when nobody listens any more; the test ends then.
    pub progress: mpsc::Sender<Line>,
}

/// A question for a balance.
pub struct BalanceOrder {
    /// The channel.
    pub channel: Arc<Channel>,
    /// The keys to ask with; none for a channel that needs none.
    pub keys: Vec<Arc<ProviderKey>>,
    /// Milliseconds for each request, where the channel's own times are not shorter.
    pub timeout_ms: u64,
}

/// Takes orders. Clones lead to the same thread.
#[derive(Debug, Clone)]
pub struct Tests(mpsc::Sender<Order>);

/// Why an order was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// Too many are waiting.
    Busy,
    /// The program stops.
    Stopping,
}

impl Tests {
    /// Where orders are given, and where they arrive.
    pub fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, given) = mpsc::channel(ORDERS_MAX);
        (Self(orders), given)
    }

    /// Gives an order.
    ///
    /// # Errors
    /// It is not taken.
    pub fn give(&self, order: Order) -> Result<(), NotTaken> {
        self.0.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotTaken::Busy,
            mpsc::error::TrySendError::Closed(_) => NotTaken::Stopping,
        })
    }
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
    /// Milliseconds until the reply's first byte, where there was one: connecting is part of it.
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
    /// Whether every call was made and went well, and there was one.
    pub ok: bool,
    /// Calls that went well.
    pub passed: usize,
    /// Calls that did not.
    pub failed: usize,
    /// Calls that were not made, or not to their end, because there are too many.
    pub untested: usize,
    /// Milliseconds for all.
    pub total_ms: u32,
}

/// Who carries orders out.
pub struct Tester {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// The certificates of channels that have none of their own.
    pub tls: Tls,
    /// How connections are made.
    pub pool: PoolSettings,
}

/// Carries out orders until nobody can give one any more. Needs a local runtime.
pub async fn serve(tester: Tester, mut orders: mpsc::Receiver<Order>) {
    let (tester, running) = (Arc::new(tester), Arc::new(Semaphore::new(RUNNING_MAX)));
    while let Ok(permit) = Arc::clone(&running).acquire_owned().await
        && let Some(order) = orders.recv().await
    {
        let tester = Arc::clone(&tester);
        tokio::task::spawn_local(async move {
            // New for each order: a connection that is open already says nothing about the next one.
            let pool = Pool::new(tester.pool, tester.tls.clone());
            // Nobody listens any more, or not fast enough: what is under way is dropped.
            match order {
                Order::Test(order) => {
                    let run = run::Run {
                        tester: &tester,
                        pool,
                        order: &order,
                    };
                    tokio::select! {
                        () = run.run() => {}
                        () = order.progress.closed() => {}
                        () = tokio::time::sleep(TEST_MAX + TEST_GRACE) => {}
                    }
                }
                Order::Balance { order, mut reply } => {
                    tokio::select! {
                        answer = balance::read(&pool, &order) => drop(reply.send(answer)),
                        () = reply.closed() => {}
                        () = tokio::time::sleep(TEST_MAX) => {}
                    }
                }
            }
            drop(permit);
        });
    }
}
