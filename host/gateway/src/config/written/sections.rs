//! The sections of numbers and words.

use std::path::PathBuf;

use crate::config::schema::{settings, words};
use crate::config::types::{Globs, LogLevel};

words! {
    /// How log lines look.
    pub enum LogFormat {
        /// For people on a terminal, JSON otherwise.
        Auto = "auto",
        /// One line for people.
        Human = "human",
        /// One JSON object a line.
        Json = "json",
    }
}

settings! {
    /// What is logged, and how.
    pub struct Log {
        /// `human` lines, `json` objects, or `auto`: human on a terminal, else JSON.
        format: LogFormat = LogFormat::Auto;
        /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels by module
        /// like `info,weir_gateway=debug`.
        level: LogLevel = LogLevel::info();
    }
}

settings! {
    /// Bounds on what callers may send and how long they may take.
    pub struct Limits {
        /// Largest body of a request. Larger ones are refused with 413.
        body_max_bytes: usize = 33_554_432, within 1_024..=4_294_967_296;
        /// Largest head of a request: request line and headers together.
        header_max_bytes: usize = 65_536, within 8_192..=16_777_216;
        /// Most headers of a request. Another number than 100 costs each request an allocation.
        header_max_count: usize = 100, within 16..=4_096;
        /// Time for the head of a request to arrive whole.
        header_timeout_ms: u64 = 10_000, within 1..=3_600_000;
        /// Longest pause between two pieces of a request's body.
        body_timeout_ms: u64 = 60_000, within 1..=3_600_000;
        /// Time after which a caller's connection without a call is closed.
        idle_timeout_ms: u64 = 75_000, within 1..=86_400_000;
        /// Most connections of callers at one time. Further ones are turned away with
        /// status 503.
        connections_max: usize = 20_000, within 1..=10_000_000;
        /// Most attempts that one call may make, whatever policies order.
        attempts_max: usize = 8, within 1..=64;
        /// Most gateways that a call may have passed before this one (`x-weir-hops`). Calls that have
        /// passed more are refused with status 508, as are those that have been here before
        /// (`x-weir-via`). Both headers are believed from anybody: they can only bring the refusal
        /// nearer, and whoever sends none begins at 0 as every client does.
        hops_max: u32 = 8, within 0..=64;
        /// Largest reply that is held in memory for a policy that looks into whole replies.
        reply_buffer_max_bytes: usize = 33_554_432, within 1_024..=4_294_967_296;
        /// Output tokens that are reserved from limits for a call that sets no bound of its own.
        output_tokens_assumed: u32 = 1_024, within 0..=10_000_000;
    }
}

settings! {
    /// Connections to providers.
    pub struct Upstream {
        /// Time for name lookup and TCP together, and for the tunnel where there is a proxy.
        connect_timeout_ms: u64 = 5_000, within 1..=600_000;
        /// Time for the TLS handshake.
        tls_timeout_ms: u64 = 5_000, within 1..=600_000;
        /// Longest time until a reply begins. A channel can set its own, as for all these times.
        first_byte_timeout_ms: u64 = 120_000, within 1..=86_400_000;
        /// Longest pause within a reply.
        idle_stream_timeout_ms: u64 = 60_000, within 1..=86_400_000;
        /// Longest time for one attempt, from its begin to the end of the reply.
        attempt_timeout_ms: u64 = 3_600_000, within 1..=86_400_000;
        /// Most connections that are kept open while nobody uses them.
        idle_connections_max: usize = 64, within 0..=100_000;
        /// Time after which an unused connection is closed.
        idle_connection_ms: u64 = 60_000, within 1..=86_400_000;
        /// Most HTTP/1.1 connections, busy or not. Further calls wait for one.
        connections_max: usize = 1_024, within 1..=1_000_000;
        /// Largest head of a reply.
        header_max_bytes: usize = 65_536, within 8_192..=16_777_216;
        /// Silence on a busy HTTP/2 connection after which a PING asks whether the other side lives.
        http2_ping_ms: u64 = 20_000, within 1_000..=3_600_000;
        /// Longest time that the addresses of a name are remembered. 0: each new connection asks. A
        /// name none of whose addresses can be connected to is asked for again at once.
        dns_cache_ms: u64 = 5_000, within 0..=3_600_000;
        /// Age from which a connection takes no further call, so that a provider's new address is
        /// taken up. Calls under way end as they would have.
        connection_max_age_ms: u64 = 300_000, within 100..=86_400_000;
        /// Files with certificates (PEM) of authorities to trust besides the public ones.
        ca_files: Vec<PathBuf>;
    }
}

settings! {
    /// The durable record of every call's usage and cost.
    pub struct Ledger {
        /// Most finished calls that wait to be written. When so many wait, new calls are refused.
        queue_max_rows: usize = 100_000, within 100..=100_000_000;
        /// Longest time that a finished call waits to be written.
        flush_ms: u64 = 200, within 1..=60_000;
        /// Days that calls are kept. 0: for ever.
        retention_days: u32 = 0, within 0..=36_500;
    }
}

settings! {
    /// What policies may use of the machine.
    pub struct Runtime {
        /// Most instances of policies at one time. Each worker has its own of each policy: where policies in
        /// use times workers are more than this, calls wait for new ones to be made, 20 µs and more each.
        instances_max: usize = 512, within 1..=100_000;
        /// Most memory of one instance; a policy's own `memory_max_bytes` can only be lower.
        memory_max_bytes: usize = 67_108_864, within 65_536..=4_294_967_296;
        /// Time for compiling one policy.
        compile_timeout_ms: u64 = 60_000, within 100..=3_600_000;
        /// Memory for compiling one policy.
        compile_memory_max_bytes: usize = 2_147_483_648, within 67_108_864..=1_099_511_627_776;
        /// Longest time for which an answer of `access` or `limit` is used again without asking the
        /// policy, where the policy says that it holds (`call.remember`). 0: policies are asked every
        /// time.
        remember_max_ms: u64 = 60_000, within 0..=3_600_000;
        /// How often policies' questions to models may lead to each other: such a question passes the
        /// same policies as callers' calls, and one of them may ask a model in turn.
        models_depth_max: u32 = 2, within 1..=8;
        /// Largest file of a policy.
        policy_size_max_bytes: usize = 33_554_432, within 1_024..=1_073_741_824;
        /// Stored versions of one policy of the operator's. Beyond that the oldest go with each upload,
        /// but never the one in force, the one before it, or one that is tried.
        versions_max: usize = 50, within 3..=1_000;
        /// Failures of a new version within `rollback_window_ms` that bring back the version before.
        /// 0: never.
        failures_before_rollback: u32 = 5, within 0..=1_000_000;
        /// Time after a swap during which failures count towards the way back.
        rollback_window_ms: u64 = 60_000, within 1..=86_400_000;
        /// Failures of any version within a minute that take it out and bring back the version before.
        /// 0: never.
        failures_per_minute_max: u32 = 60, within 0..=1_000_000_000;
    }
}

settings! {
    /// Journals of policies (`journal_per_thousand` of a `[[policy]]`), in `journals` under the data folder.
    pub struct Journals {
        /// Calls of one policy that are kept within a minute.
        calls_per_minute_max: u32 = 60, within 1..=1_000_000;
        /// What is kept of one call; what comes after is left out.
        call_max_bytes: usize = 1_048_576, within 1_024..=67_108_864;
        /// The journal of one policy. When half of that is full, the other half is written anew.
        max_bytes: usize = 16_777_216, within 65_536..=17_179_869_184;
    }
}

settings! {
    /// How long a channel or provider key rests after it failed.
    pub struct Cooldown {
        /// The first rest; each further one in a row is twice as long.
        first_ms: u64 = 1_000, within 1..=86_400_000;
        /// The longest rest.
        max_ms: u64 = 300_000, within 1..=86_400_000;
        /// Time after which a provider key that was found dead is tried again, by asking the provider
        /// for its list of models; each further try waits twice as long. 0: never.
        key_retest_first_ms: u64 = 60_000, within 0..=86_400_000;
        /// The longest time between two such tries.
        key_retest_max_ms: u64 = 3_600_000, within 100..=604_800_000;
    }
}

settings! {
    /// What is tried again when a provider fails, and for how long.
    pub struct Retry {
        /// Retries and hedges over all calls of the last ten seconds, in percent: for the whole gateway
        /// and again for each channel, so that an outage is not multiplied. A key that has not failed
        /// lately is tried all the same, and counted.
        budget_percent: u32 = 20, within 0..=1_000;
        /// Retries within ten seconds that are allowed however few calls there are.
        budget_floor: u32 = 10, within 0..=1_000_000;
        /// Times that one call may try a channel with the same key again, after a pause, where
        /// there is nothing else to try.
        same_target_max: u32 = 1, within 0..=16;
        /// The pause before that, on average; it is doubled each time, and varied by half.
        backoff_ms: u64 = 100, within 0..=60_000;
        /// Times that a reply which broke off after its first words is gone on with, where channels let
        /// that be done (`prefill` of the channel). 0: never.
        continuations_max: u32 = 1, within 0..=8;
        /// Longest time from the arrival of a call until its reply begins, over all attempts. Callers
        /// can ask for less with `x-weir-timeout-ms`.
        call_deadline_ms: u64 = 600_000, within 1..=86_400_000;
        /// Longest time that the beginning of a reply is held back until there is something in it:
        /// the first words of a stream, the end of a whole reply. Until then another attempt can take
        /// over unseen. 0: nothing is held back, nor looked at.
        hold_ms: u64 = 2_000, within 0..=600_000;
        /// Most bytes of a reply that are held back.
        hold_max_bytes: usize = 262_144, within 0..=67_108_864;
    }
}

settings! {
    /// How long it is remembered which channel and key made what a provider keeps, so that calls
    /// that name it go there.
    pub struct Pins {
        /// For stored responses and containers.
        answer_ttl_ms: u64 = 86_400_000, within 0..=31_536_000_000;
        /// For files, batches and whatever else is made to stay.
        object_ttl_ms: u64 = 2_592_000_000, within 0..=31_536_000_000;
    }
}

words! {
    /// What leads to another model.
    pub enum FallbackCause {
        /// No channel brought an answer.
        Error = "error",
        /// The prompt does not fit into the model's window.
        ContextLength = "context_length",
        /// The provider's filter does not let the request through.
        ContentRefusal = "content_refusal",
        /// The call would probably cost more than the operator wants it to.
        Cost = "cost",
    }
}

settings! {
    /// Other models for calls that a model does not serve.
    pub struct Fallback {
        /// Models, as callers name them.
        model: Globs;
        /// What leads to another model: `error` (no channel brought an answer), `context_length` (the
        /// prompt is too long for it), `content_refusal` (the provider's filter does not let the request
        /// through) or `cost` (see `cost_max_micros`). Default: `error` alone.
        on: Vec<FallbackCause>;
        /// The models that are asked instead, in order. They must be served by a channel that the
        /// caller's dialect can go to.
        to: Vec<String>;
        /// With `cost`: the most that a call should cost, in millionths of the currency unit. Where the
        /// model that was asked would cost more, the first model of `to` that would not is asked in its
        /// place, before anything is sent; where none is as cheap, the cheapest of all of them. So no
        /// call is refused for its price. What a call would cost is estimated from the length of its
        /// prompt and its bound on the output (`limits.output_tokens_assumed` where it has none), at the
        /// highest price of the channels that serve the model; a model without a price costs nothing.
        cost_max_micros: Option<u64>, within 0..=1_000_000_000_000;
    }
}
