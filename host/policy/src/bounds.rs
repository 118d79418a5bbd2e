//! What a policy may cost the host, in one place. Where a bound is a setting, it is in
//! [`crate::EngineSettings`] or [`crate::VersionSpec`] instead.
//!
//! Every bound is per hook call unless it says otherwise. "Ends the hook" means
//! [`crate::FailureKind::Trap`] with a sentence that names the bound.

/// Imports called in one hook. One more ends the hook.
pub const HOST_CALLS_MAX: u32 = 4096;

/// Calls of `store` in one hook; each may one day be a round trip. One more ends the hook.
pub const STORE_CALLS_MAX: u32 = 256;

/// Bytes of a key of `store`. A longer one is an error to the policy.
pub const STORE_KEY_MAX_BYTES: usize = 512;

/// Bytes of a value of `store`. A larger one is an error to the policy.
pub const STORE_VALUE_MAX_BYTES: usize = 64 << 10;

/// Bytes of log text in one hook, standard output and error included. The line that crosses it
/// is cut and marked, the rest is dropped.
pub const LOG_MAX_BYTES: usize = 8 << 10;

/// Values given to `metrics` in one hook. The rest is dropped.
pub const METRICS_MAX: u32 = 64;

/// Labels of one value given to `metrics`. A value with more is dropped.
pub const METRIC_LABELS_MAX: usize = 8;

/// Calls of `http.send` and of `wasi:http`'s `handle`, `models.complete`, `models.count-tokens` and `firewall.ban` in one hook.
/// One more is an error to the policy (0 from `count-tokens`).
pub const OUTBOUND_MAX: u32 = 16;

/// Bytes that the host copies into the guest in answer to imports. More ends the hook.
pub const ANSWERED_MAX_BYTES: usize = 256 << 20;

/// Bytes that a guest hands to the host in one import or answer, unless it may hand over a body.
pub const HANDED_MAX_BYTES: usize = 2 << 20;

/// Headers of a response from `answer` or `reply`. More is a bad answer.
pub const RESPONSE_HEADERS_MAX: usize = 256;

/// Bytes of all names and values of those headers. More is a bad answer.
pub const RESPONSE_HEADERS_MAX_BYTES: usize = 64 << 10;

/// A stream's events may all together take so many times the deadline of one hook, in epochs that began
/// while they ran. More ends the hook.
pub const STREAM_DEADLINES: u32 = 50;

/// Events that one event of a stream is replaced by, or that `close` gives back. More is a bad
/// answer.
pub const EVENTS_MAX: usize = 8192;

/// Rules from one `limits` hook. More is a bad answer.
pub const RULES_MAX: usize = 64;

/// Bytes of the key of one limit rule. More is a bad answer.
pub const RULE_KEY_MAX_BYTES: usize = 512;

/// Attempts from one `route` hook. More is a bad answer.
pub const ATTEMPTS_MAX: usize = 64;

/// Streams that share one instance, and end together should it trap.
pub const STREAMS_PER_INSTANCE_MAX: u32 = 256;

/// Component-model handles alive in one instance.
pub const HANDLES_MAX: usize = 1000;

/// Elements of all tables of one instance (the largest guest seen has 7,694).
pub const TABLE_ELEMENTS_MAX: usize = 60_000;

/// Bytes of a request's body by way of `wasi:http`. A larger one is an error to the policy.
pub const WASI_HTTP_BODY_MAX_BYTES: usize = 1 << 20;

/// Bytes that a guest writes to such a body at once.
pub const WASI_HTTP_CHUNK_BYTES: usize = 64 << 10;

/// Bytes, by and large, of the header fields of one `wasi:http` message.
pub const WASI_HTTP_FIELDS_MAX_BYTES: usize = 64 << 10;

/// Characters of a reason for which a version is refused; the rest is cut.
pub const REASON_MAX_BYTES: usize = 1000;

/// Mistakes in its configuration that a policy may name. The rest is dropped.
pub const CONFIG_ERRORS_MAX: usize = 16;

/// Bytes of machine code for each byte that a policy's file may have at most.
pub const COMPILED_FACTOR_MAX: usize = 8;

/// Policies that are compiled at the same time, each in a process of its own.
pub const COMPILING_MAX: usize = 4;

/// Bytes of random data that a guest may ask WASI for at once.
pub const RANDOM_MAX_BYTES: u64 = 64 << 10;
