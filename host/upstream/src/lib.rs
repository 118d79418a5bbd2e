//! Connections to providers: bytes to a host and back, over HTTP/1.1 and HTTP/2, with TLS, straight
//! or through a proxy.
//!
//! Never does: know a dialect, a channel, a provider key or a retry across hosts; decide what a
//! failure means for a caller; log. Everything here belongs to one worker thread ([`Pool`] is not
//! `Send`) and must run inside a `tokio::runtime::LocalRuntime` or a `LocalSet`: a shared HTTP/2
//! connection has one task, an HTTP/1.1 connection none, and no request ever gets one of its own.
//! Read first: [`pool`], where a request finds its connection; then [`body`], where the connection
//! finds its way back.

pub mod body;
mod connect;
pub mod error;
mod lane;
mod multiplex;
pub mod origin;
pub mod pool;
pub mod proxy;
pub mod request_body;
mod resolve;
pub mod settings;
pub mod stats;
pub mod tls;
mod watch;

pub use body::{Body, BodyError};
pub use error::{SendError, SendErrorKind};
pub use origin::{Http2, Origin, OriginError, Scheme};
pub use pool::Pool;
pub use proxy::{Proxy, ProxyError};
pub use request_body::RequestBody;
pub use settings::{PoolSettings, Timeouts};
pub use stats::Stats;
pub use tls::{ClientFiles, Tls, TlsError, TlsSettings};
