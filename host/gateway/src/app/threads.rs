//! Threads beside the workers, with policy instances of their own: audit, and policies' questions
//! to models, with the tests of channels.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use weir_policy::Engine;
use weir_upstream::{PoolSettings, Tls};

use crate::pipeline::audit::{self, Finished};
use crate::pipeline::channel_test::{self, Order};
use crate::pipeline::{Shared, Worker, inner};
use crate::services::InnerCall;

/// What comes to the threads.
pub struct Work {
    /// Policies' questions to models.
    pub questions: mpsc::Receiver<InnerCall>,
    /// Tests of channels.
    pub orders: mpsc::Receiver<Order>,
    /// Calls that are over, for `audit` policies.
    pub finished: mpsc::Receiver<Finished>,
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
        work: Work,
    ) -> io::Result<Self> {
        let Work {
            questions,
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
            spawn("weir-inner", stopping, move || async move {
                let (others, parts) = (Arc::clone(&shared), (Arc::clone(&engine), tls.clone()));
                let tests = channel_test::serve(others, parts.0, parts.1, pool, orders);
                tokio::join!(answer(shared, engine, tls, pool, questions), tests);
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

/// Puts policies' questions through the pipeline, side by side.
async fn answer(
    shared: Arc<Shared>,
    engine: Arc<Engine>,
    tls: Tls,
    pool: PoolSettings,
    mut questions: mpsc::Receiver<InnerCall>,
) {
    let worker = Rc::new(Worker::new(shared, engine, tls, pool));
    while let Some(question) = questions.recv().await {
        let worker = Rc::clone(&worker);
        tokio::task::spawn_local(async move {
            let InnerCall {
                policy,
                model,
                messages,
                max_output_tokens,
                mut reply,
            } = question;
            let answer = tokio::select! {
                answer = inner::complete(&worker, &policy, &model, &messages, max_output_tokens) => answer,
                // The policy waits no longer: the call is dropped, and settled as it stands.
                () = reply.closed() => return,
            };
            let _ = reply.send(answer);
        });
    }
}
