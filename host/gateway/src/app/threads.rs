//! Threads beside the workers, with policy instances of their own: audit, and policies' questions
//! to models, with the gateway's own: tests of keys and channels.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use weir_policy::Engine;
use weir_upstream::{PoolSettings, Tls};

use crate::pipeline::audit::{self, Queued};
use crate::pipeline::channel_test::{self, Order, Tester};
use crate::pipeline::retest::{self, Asked};
use crate::pipeline::{Shared, Worker, inner, probe};
use crate::services::InnerCall;

/// What the threads wait for.
pub struct SideWork {
    /// Policies' questions to models.
    pub questions: mpsc::Receiver<InnerCall>,
    /// Provider keys to be tried.
    pub asked: mpsc::Receiver<Asked>,
    /// Channels to be tested.
    pub orders: mpsc::Receiver<Order>,
    /// Calls to be audited.
    pub finished: mpsc::Receiver<Queued>,
}

/// The threads, until they are stopped.
pub struct SideThreads {
    stop: watch::Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

impl SideThreads {
    /// Starts them.
    pub fn start(
        shared: &Arc<Shared>,
        engine: &Arc<Engine>,
        tls: &Tls,
        pool: PoolSettings,
        work: SideWork,
    ) -> io::Result<Self> {
        let SideWork {
            questions,
            asked,
            orders,
            finished,
        } = work;
        let (stop, stopping) = watch::channel(());
        let audit = {
            let (engine, metrics) = (Arc::clone(engine), Arc::clone(&shared.metrics));
            spawn("weir-audit", stopping.clone(), move || {
                audit::run(engine, metrics, finished)
            })?
        };
        let inner = {
            let (shared, engine, tls) = (Arc::clone(shared), Arc::clone(engine), tls.clone());
            spawn("weir-inner", stopping, move || {
                let tester = Tester {
                    shared: Arc::clone(&shared),
                    tls: tls.clone(),
                    pool,
                };
                tokio::task::spawn_local(channel_test::serve(tester, orders));
                answer(shared, engine, tls, pool, questions, asked)
            })?
        };
        Ok(Self {
            stop,
            threads: vec![audit, inner],
        })
    }

    /// Stops them and waits.
    pub fn stop(self) {
        drop(self.stop);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// A thread with a local runtime that runs until its work is done or nobody holds `stopping`'s end.
fn spawn<F>(
    name: &str,
    mut stopping: watch::Receiver<()>,
    work: impl FnOnce() -> F + Send + 'static,
) -> io::Result<JoinHandle<()>>
where
    F: Future<Output = ()> + 'static,
{
    let runtime = move || -> io::Result<()> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())?;
        runtime.block_on(async move {
            tokio::select! {
                () = work() => {}
                _ = stopping.changed() => {}
            }
        });
        Ok(())
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            if let Err(error) = runtime() {
                tracing::error!(%error, "a side thread could not run");
            }
        })
}

/// Puts policies' questions through the pipeline, side by side, and tries dead provider keys again.
async fn answer(
    shared: Arc<Shared>,
    engine: Arc<Engine>,
    tls: Tls,
    pool: PoolSettings,
    mut questions: mpsc::Receiver<InnerCall>,
    asked: mpsc::Receiver<Asked>,
) {
    let worker = Rc::new(Worker::new(shared, engine, tls, pool));
    tokio::task::spawn_local(retest::run(Rc::clone(&worker), asked));
    tokio::task::spawn_local(probe::run(Rc::clone(&worker)));
    while let Some(question) = questions.recv().await {
        let worker = Rc::clone(&worker);
        tokio::task::spawn_local(async move {
            let InnerCall {
                policy,
                model,
                messages,
                max_output_tokens,
                depth,
                mut reply,
            } = question;
            let answer = tokio::select! {
                answer = inner::complete(&worker, &policy, &model, &messages, max_output_tokens, depth) => answer,
                // The policy waits no longer: the call is dropped, and settled as it stands.
                () = reply.closed() => return,
            };
            let _ = reply.send(answer);
        });
    }
}
