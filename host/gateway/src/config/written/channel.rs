//! `[[channel]]`: a way to a provider.

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::Uri;

use super::breaker::Breaker;
use crate::config::schema::{settings, words};
use crate::config::setting::At;
use crate::config::types::{Globs, HeaderText, Name, ProxyText, SecretRef, StickyBy};

words! {
    /// Which provider's API a channel speaks.
    pub enum ChannelDialect {
        /// OpenAI, and the many that speak like it.
        Openai = "openai",
        /// Anthropic.
        Anthropic = "anthropic",
        /// Google's Gemini.
        Gemini = "gemini",
        /// Built in: answers in every dialect, without a network.
        Fake = "fake",
    }
}

words! {
    /// When a channel speaks HTTP/2.
    pub enum Http2 {
        /// Where TLS negotiates it.
        Auto = "auto",
        /// Never.
        Never = "never",
        /// Always, without asking, also without TLS.
        PriorKnowledge = "prior-knowledge",
    }
}

words! {
    /// Where a channel's provider tells what is left on the account.
    pub enum BalanceSource {
        /// Found by the host of the base URL.
        Auto = "auto",
        /// Nowhere: it is never asked.
        None = "none",
        /// As DeepSeek does.
        Deepseek = "deepseek",
        /// As OpenRouter does.
        Openrouter = "openrouter",
        /// As SiliconFlow does.
        Siliconflow = "siliconflow",
        /// As Moonshot does.
        Moonshot = "moonshot",
        /// At OpenAI's old billing endpoints, which many resellers have.
        OpenaiBilling = "openai_billing",
    }
}

words! {
    /// Which of a channel's keys a call takes.
    pub enum KeyStrategy {
        /// Each in turn.
        RoundRobin = "round_robin",
        /// The one with the fewest calls under way, relative to its limits.
        LeastLoaded = "least_loaded",
        /// Each as often as its weight says.
        Weighted = "weighted",
        /// The same one for the same caller, see `sticky_by`.
        Sticky = "sticky",
    }
}

words! {
    /// How a channel's provider is told the beginning of its own answer.
    pub enum Prefill {
        /// By a last message of its own.
        Plain = "plain",
        /// By `prefix: true` in it.
        Prefix = "prefix",
        /// The same, of a provider that says the beginning again.
        PrefixEchoed = "prefix_echoed",
        /// By `partial: true` in it.
        Partial = "partial",
        /// By `continue_final_message: true` in the request.
        ContinueFinalMessage = "continue_final_message",
    }
}

settings! {
    /// A way to a provider: an address, a pool of keys and the models that it serves.
    pub(in crate::config) struct Channel {
        /// Name in logs, metrics and policies.
        name: At<Name>;
        /// The provider's API.
        dialect: ChannelDialect;
        /// Where the provider is. Default: `https://api.openai.com/v1`, `https://api.anthropic.com` or
        /// `https://generativelanguage.googleapis.com`, by dialect.
        base_url: Option<At<Uri>>;
        /// The provider's keys, where nothing more is to be said of them. Calls take turns with them.
        keys: Vec<At<SecretRef>>;
        /// A key of the provider with limits, a weight or a level of its own.
        key: Vec<At<ChannelKey>>;
        /// Which of the keys a call takes: `round_robin` takes turns, `least_loaded` takes the one with
        /// the fewest calls under way relative to its limits, `weighted` follows the weights of the
        /// keys, `sticky` keeps to one key as long as it can be used (see `sticky_by`).
        key_strategy: KeyStrategy = KeyStrategy::RoundRobin;
        /// What `sticky` goes by: `key` (the virtual key), `tenant`, `label:NAME` (a label of the virtual
        /// key or its tenant), `prompt_cache_key` (of the request's body) or `header:NAME` (of the
        /// request). Where a call has no such thing, its virtual key counts.
        sticky_by: StickyBy = StickyBy::Key;
        /// Models that the channel serves, as callers name them.
        models: Globs = Globs::everything();
        /// Tenants whose calls it serves; nothing leads the calls of others here.
        tenants: Globs = Globs::everything();
        /// The provider's names for models that callers name otherwise: `{ "fast" = "gpt-4o-mini" }`.
        model_map: BTreeMap<String, At<String>>;
        /// Facts for policies: `{ region = "eu" }`.
        labels: BTreeMap<String, String>;
        /// Channels of higher priority are tried first.
        priority: u32 = 0, within 0..=1_000_000;
        /// Share of the calls among channels of the same priority.
        weight: u32 = 100, within 0..=1_000_000;
        /// Keeps the channel in the file and out of use.
        disabled: bool = false;
        /// Headers that are added to every request to the provider.
        headers: BTreeMap<String, At<HeaderText>>;
        /// Ask providers of the OpenAI dialect to report usage at the end of a stream when the caller
        /// did not.
        stream_usage: bool = true;
        /// HTTP/2 to the provider.
        http2: Http2 = Http2::Auto;
        /// Longest time until a reply begins. Default: `upstream.first_byte_timeout_ms`.
        first_byte_timeout_ms: Option<u64>, within 1..=86_400_000;
        /// Where the provider tells what is left on the account, for `weir channel balance`.
        balance: BalanceSource = BalanceSource::Auto;
        /// Times of this channel, for all calls or for calls of some kinds.
        timeout: Vec<ChannelTimeout>;
        /// The proxy on the way to the provider: `http://[user:password@]host:port` (CONNECT, for
        /// plain providers too) or `socks5://[user:password@]host:port` (`socks5h://` is the same).
        /// The proxy resolves the provider's name. Special characters of a password are written as
        /// `%40`. With `env:NAME` or `file:PATH` the URL is taken from there, which is the only way
        /// that the API takes one with a password.
        proxy: Option<At<ProxyText>>;
        /// Certificates (PEM) of the authorities that the provider must be certified by, in place of
        /// the public ones and of `upstream.ca_files`. Read again by every reload.
        ca_file: Option<At<PathBuf>>;
        /// Certificate (PEM, with the chain behind it) that is shown to the provider (mTLS).
        client_cert_file: Option<At<PathBuf>>;
        /// Private key (PEM) of the certificate in `client_cert_file`.
        client_key_file: Option<At<PathBuf>>;
        /// The provider is another Weir. It is told the id of the call (`x-request-id`), how many
        /// gateways the call has passed (`x-weir-hops`) and which (`x-weir-via`), so that a loop is
        /// refused with status 508. Providers are told none of this.
        cascade: bool = false;
        /// Lets this channel go on with a reply that broke off in the middle, at another channel or at
        /// itself: the request is sent again with the words so far as the beginning of the answer, and what
        /// comes is put behind them (see `retry.continuations_max`). Both attempts are paid for. Not where a
        /// tool was called, the model thought aloud, JSON was asked for, the call is bound to one channel or
        /// an `events` policy looks into the reply. How the provider is told: `plain`, by an assistant's
        /// message at the end (Anthropic up to Claude 4.5, Gemini, Groq); `prefix`, by `prefix: true` in it
        /// (DeepSeek's beta API); `prefix_echoed`, the same where the answer may repeat it (Mistral); `partial`,
        /// by `partial: true` in it (Moonshot, Alibaba); `continue_final_message`, by that and
        /// `add_generation_prompt: false` in the request (vLLM, SGLang). A provider that refuses changes
        /// nothing: the reply ends with the error that it would have ended with.
        /// Default: it is never asked to go on.
        prefill: Option<At<Prefill>>;
        /// When the channel is left alone for a while, for each model apart.
        breaker: At<Breaker>;
        /// How a channel of the `fake` dialect answers. A request can override each setting with a
        /// header: `x-fake-status`, `x-fake-delay-ms` and so on.
        fake: Option<At<Fake>>;
    }
}

words! {
    /// A kind of call.
    pub enum CallKind {
        /// A conversation.
        Chat = "chat",
        /// A text to be gone on with.
        Completion = "completion",
        /// Vectors.
        Embedding = "embedding",
        /// Pictures.
        Image = "image",
        /// Speech from text.
        Speech = "speech",
        /// Text from speech.
        Transcription = "transcription",
        /// A judgement on a text.
        Moderation = "moderation",
        /// An order of texts.
        Rerank = "rerank",
        /// Films.
        Video = "video",
        /// A conversation over a connection that stays open.
        Realtime = "realtime",
        /// Files.
        File = "file",
        /// Many calls at once.
        Batch = "batch",
        /// Lists of models.
        Models = "models",
        /// The length of a prompt.
        CountTokens = "count-tokens",
        /// A call of a tool.
        ToolCall = "tool-call",
        /// Everything else.
        Other = "other",
    }
}

settings! {
    /// Times of a channel. What is not written here is as an earlier entry for the same calls has it,
    /// or as `[upstream]` does.
    pub(in crate::config) struct ChannelTimeout {
        /// Kinds of calls for which this holds. Empty: all.
        operations: Vec<CallKind>;
        /// As `upstream.connect_timeout_ms`. A connection is made in the time of the call that needs it.
        connect_ms: Option<u64>, within 1..=600_000;
        /// As `upstream.tls_timeout_ms`.
        tls_ms: Option<u64>, within 1..=600_000;
        /// As `upstream.first_byte_timeout_ms`.
        first_byte_ms: Option<u64>, within 1..=86_400_000;
        /// As `upstream.idle_stream_timeout_ms`.
        idle_stream_ms: Option<u64>, within 1..=86_400_000;
        /// As `upstream.attempt_timeout_ms`.
        total_ms: Option<u64>, within 1..=86_400_000;
    }
}

settings! {
    /// A key of a provider.
    pub(in crate::config) struct ChannelKey {
        /// The key itself.
        secret: At<SecretRef>;
        /// For people.
        name: Option<At<Name>>;
        /// Share of the calls with the strategies `weighted` and `sticky`, and of the load with
        /// `least_loaded` where the keys have no limits.
        weight: u32 = 1, within 1..=1_000_000;
        /// Keys of level 1 are tried first; those of the next level only when no key of the level can
        /// be used or has room.
        level: u32 = 1, within 1..=1_000;
        /// Most requests in a minute, as the provider allows. Default: no limit.
        rpm: Option<u64>, within 1..=1_000_000_000;
        /// Most tokens in a minute, input and output together, as the provider allows. A call counts
        /// with an estimate until its usage is known. Default: no limit.
        tpm: Option<u64>, within 1..=1_000_000_000_000;
        /// Most calls under way at one time. Default: no limit.
        in_flight_max: Option<u32>, within 1..=1_000_000;
    }
}

settings! {
    /// How a channel of the `fake` dialect answers.
    #[derive(Default, PartialEq)]
    pub struct Fake {
        /// Time before the reply begins.
        delay_ms: u64 = 0, within 0..=60_000;
        /// Time between the pieces of a stream.
        event_delay_ms: u64 = 0, within 0..=60_000;
        /// Cuts the reply into pieces of this size, wherever events begin and end.
        chunk_bytes: Option<usize>, within 1..=1_048_576;
        /// Pieces of text in a stream. Default: one for each word.
        events: Option<u32>, within 1..=10_000;
        /// Status of the reply; from 400 the reply is an error.
        status: Option<u16>, within 200..=599;
        /// `retry-after` of errors.
        retry_after_s: Option<u32>, within 0..=86_400;
        /// Message of errors.
        error_message: Option<String>;
        /// Breaks the connection after this many pieces.
        cut_after_events: Option<u32>, within 0..=10_000;
        /// Text of the reply. Default: a text that depends on the prompt.
        text: Option<String>;
        /// Input tokens to report instead of those counted.
        input_tokens: Option<u64>, within 0..=9_007_199_254_740_991;
        /// Output tokens to report instead of those counted.
        output_tokens: Option<u64>, within 0..=9_007_199_254_740_991;
    }
}
