//! Time-outs of a worker's connections, by one coarse clock instead of a timer for each.
//!
//! A connection that is idle, or slow with a head, is found by looking through all of them now and
//! then. A request costs two writes to a cell for it.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::sync::Notify;

/// Milliseconds between two looks.
pub const TICK_MS: u64 = 250;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// Waiting for a request.
    Idle,
    /// A head has begun to arrive.
    Head,
    /// Requests under way.
    Busy(u32),
}

/// Why a connection is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing was asked for too long, or the program stops: finish what is under way.
    Graceful,
    /// A head took too long.
    AtOnce,
}

/// One connection, as the watch sees it.
#[derive(Debug)]
pub struct Watched {
    clock: Rc<Cell<u64>>,
    doing: Cell<Doing>,
    since_ms: Cell<u64>,
    end: Cell<Option<End>>,
    told: Notify,
}

impl Watched {
    fn set(&self, doing: Doing) {
        self.doing.set(doing);
        self.since_ms.set(self.clock.get());
    }

    /// Bytes came.
    fn read(&self) {
        if self.doing.get() == Doing::Idle {
            self.set(Doing::Head);
        }
    }

    /// A request begins; it ends when what this returns is dropped.
    pub fn begin(self: &Rc<Self>) -> Request {
        let under_way = match self.doing.get() {
            Doing::Busy(count) => count,
            Doing::Idle | Doing::Head => 0,
        };
        self.set(Doing::Busy(under_way + 1));
        Request(Rc::clone(self))
    }

    /// Tells the connection to end.
    pub fn tell(&self, end: End) {
        self.end.set(Some(end));
        self.told.notify_one();
    }

    /// Waits to be told.
    pub async fn told(&self) -> End {
        loop {
            if let Some(end) = self.end.take() {
                return end;
            }
            self.told.notified().await;
        }
    }
}

/// A request under way.
pub struct Request(Rc<Watched>);

impl Drop for Request {
    fn drop(&mut self) {
        match self.0.doing.get() {
            Doing::Busy(count) if count > 1 => self.0.doing.set(Doing::Busy(count - 1)),
            _ => self.0.set(Doing::Idle),
        }
    }
}

/// All connections of one worker.
pub struct Watch {
    began: Instant,
    clock: Rc<Cell<u64>>,
    connections: RefCell<Vec<Weak<Watched>>>,
}

impl Watch {
    /// A watch over nothing yet.
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            clock: Rc::default(),
            connections: RefCell::default(),
        }
    }

    /// A new connection. Until its first request is there, it counts as slow with its head.
    pub fn add(&self) -> Rc<Watched> {
        let watched = Rc::new(Watched {
            clock: Rc::clone(&self.clock),
            doing: Cell::new(Doing::Head),
            since_ms: Cell::new(self.clock.get()),
            end: Cell::new(None),
            told: Notify::new(),
        });
        self.connections.borrow_mut().push(Rc::downgrade(&watched));
        watched
    }

    /// Looks through all connections and ends those that took too long.
    pub fn look(&self, header_timeout_ms: u64, idle_timeout_ms: u64) {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.clock.set(now_ms);
        self.connections.borrow_mut().retain(|connection| {
            let Some(connection) = connection.upgrade() else {
                return false;
            };
            let waited_ms = now_ms.saturating_sub(connection.since_ms.get());
            match connection.doing.get() {
                Doing::Idle if waited_ms > idle_timeout_ms => connection.tell(End::Graceful),
                Doing::Head if waited_ms > header_timeout_ms => connection.tell(End::AtOnce),
                _ => {}
            }
            true
        });
    }

    /// Tells all connections to end once what is under way is done.
    pub fn end_all(&self) {
        for connection in self.connections.borrow().iter().filter_map(Weak::upgrade) {
            connection.tell(End::Graceful);
        }
    }
}

/// A connection's bytes, with a look at when they come.
pub struct WatchedIo<T> {
    io: T,
    watched: Rc<Watched>,
}

impl<T> WatchedIo<T> {
    /// Watches `io`.
    pub fn new(io: T, watched: Rc<Watched>) -> Self {
        Self { io, watched }
    }
}

impl<T: Read + Unpin> Read for WatchedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        if result.is_ready() {
            self.watched.read();
        }
        result
    }
}

impl<T: Write + Unpin> Write for WatchedIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
