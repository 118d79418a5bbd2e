//! Listening: sockets, worker threads, connections, and their orderly end.
//!
//! Never does: look into a request beyond telling callers' paths from the admin API's; what a call
//! means is the pipeline's business.
//! Read first: [`Server::start`], then `server/connection.rs`.

mod connection;
mod listen;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::sync::watch::{Receiver, Sender, channel};
use weir_policy::Engine;
use weir_upstream::{PoolSettings, Tls};

use crate::pipeline::{Shared, Worker};
use connection::Site;

/// What the server is made of.
pub struct ServerParts {
    /// Where to listen; port 0 for any that is free.
    pub listen: SocketAddr,
    /// Worker threads.
    pub workers: usize,
    /// What the workers share.
    pub shared: Arc<Shared>,
    /// The policy engine.
    pub engine: Arc<Engine>,
    /// TLS to providers.
    pub tls: Tls,
    /// Bounds of each worker's connections to providers.
    pub pool: PoolSettings,
    /// The admin API; paths that are only for its own listener are left out where it has one.
    pub admin: axum::Router,
    /// Whether this listener serves the whole admin API, or only the health checks.
    pub serves_admin: bool,
    /// The runtime that the admin API runs on.
    pub background: Handle,
}

/// The running workers.
pub struct Server {
    /// Where they listen.
    pub address: SocketAddr,
    stop: Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Starts a thread for each worker, each with a socket of its own on the same port, so that
    /// the kernel spreads connections and no lock is between them.
    pub fn start(parts: ServerParts) -> io::Result<Self> {
        let first = listen::bind(parts.listen)?;
        let address = first.local_addr()?;
        let mut sockets = vec![first];
        for _ in 1..parts.workers.max(1) {
            sockets.push(listen::bind(address)?);
        }
        let (stop, stopping) = channel(false);
        let connections = Arc::new(AtomicUsize::new(0));
        let parts = Arc::new(parts);
        let mut threads = Vec::new();
        for (index, socket) in sockets.into_iter().enumerate() {
            let (parts, stopping, connections) = (
                Arc::clone(&parts),
                stopping.clone(),
                Arc::clone(&connections),
            );
            let thread = std::thread::Builder::new().name(format!("weir-worker-{index}"));
            threads.push(thread.spawn(move || {
                if let Err(error) = run_worker(&parts, socket, stopping, connections) {
                    tracing::error!(%error, index, "a worker could not run");
                }
            })?);
        }
        Ok(Self {
            address,
            stop,
            threads,
            connections,
        })
    }

    /// Stops accepting and lets calls under way end, for as long as their snapshot's
    /// `drain_timeout_ms` allows. Blocks until all workers are gone. True where all calls ended.
    pub fn drain(self, timeout: Duration) -> bool {
        let _ = self.stop.send(true);
        let deadline = std::time::Instant::now() + timeout;
        while self.connections.load(Ordering::Acquire) > 0 && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let drained = self.connections.load(Ordering::Acquire) == 0;
        // Workers see that nobody waits any more.
        drop(self.stop);
        for thread in self.threads {
            let _ = thread.join();
        }
        drained
    }
}

fn run_worker(
    parts: &ServerParts,
    socket: std::net::TcpListener,
    stopping: Receiver<bool>,
    connections: Arc<AtomicUsize>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(socket)?;
        let shared = Arc::clone(&parts.shared);
        let worker = Rc::new(Worker::new(
            shared,
            Arc::clone(&parts.engine),
            parts.tls.clone(),
            parts.pool,
        ));
        let site = Rc::new(Site::new(worker, parts, connections));
        connection::accept(site, listener, stopping).await;
        Ok(())
    })
}
