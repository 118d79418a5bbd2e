//! What an operator can set about connections. Plain values; checked where they are used.

/// How long the steps of one exchange may take. All in milliseconds, all held to within
/// [`Timeouts::PRECISION_MS`]; `u64::MAX` means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Name lookup and TCP together, and the tunnel where there is a proxy.
    pub connect_ms: u64,
    /// The TLS handshake.
    pub tls_ms: u64,
    /// From the call of [`crate::Pool::send`] to the head of the reply, waiting for a connection
    /// and connecting included.
    pub first_byte_ms: u64,
    /// Between two pieces of a reply's body.
    pub idle_stream_ms: u64,
    /// From the call of [`crate::Pool::send`] to the end of the reply.
    pub total_ms: u64,
}

impl Timeouts {
    /// A timeout may come this much late: one coarse clock serves all exchanges of a worker.
    pub const PRECISION_MS: u64 = crate::watch::TICK_MS;
}

impl Default for Timeouts {
    fn default() -> Self {
        // A model that reasons can be silent for minutes before its first byte.
        Self {
            connect_ms: 5_000,
            tls_ms: 5_000,
            first_byte_ms: 300_000,
            idle_stream_ms: 120_000,
            total_ms: 3_600_000,
        }
    }
}

/// The bounds of one worker's pool. Every worker has its own, so a whole gateway may use the
/// number of its workers times as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSettings {
    /// HTTP/1.1 connections that are kept open for an origin while nobody uses them.
    pub idle_per_origin_max: usize,
    /// Milliseconds after which an unused connection is closed. Providers close theirs after some
    /// minutes; closing first avoids the race of a request with their goodbye.
    pub idle_ms: u64,
    /// HTTP/1.1 connections to one origin, busy or not. A request beyond it waits for one of them
    /// until its first-byte timeout.
    pub connections_per_origin_max: usize,
    /// Bytes of a reply's head (status line and header lines). At most 100 header lines.
    pub head_max_bytes: usize,
    /// Milliseconds of silence on a busy HTTP/2 connection before a PING asks whether the other
    /// side is still there; it has half as long again to answer. Without it a connection that the
    /// network dropped would stall every call that shares it.
    pub http2_ping_ms: u64,
    /// Milliseconds for which the addresses of a name are remembered; 0: every new connection asks.
    pub dns_cache_ms: u64,
    /// Milliseconds after which a connection takes no further request. The next one is a new
    /// connection, which finds out where the name leads by then.
    pub connection_max_age_ms: u64,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            idle_per_origin_max: 256,
            idle_ms: 60_000,
            connections_per_origin_max: 4_096,
            head_max_bytes: 64 * 1024,
            http2_ping_ms: 20_000,
            dns_cache_ms: 5_000,
            connection_max_age_ms: 300_000,
        }
    }
}
