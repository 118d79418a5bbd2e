//! `[[channel]]`: a way to a provider.

use std::collections::BTreeMap;

use http::Uri;

use crate::config::schema::{settings, words};
use crate::config::setting::At;
use crate::config::types::{Globs, HeaderText, Name, SecretRef};

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
        OpenaiBilling = "openai-billing",
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
        /// The provider's keys. Calls take turns with them.
        keys: Vec<At<SecretRef>>;
        /// Models that the channel serves, as callers name them.
        models: Globs = Globs::everything();
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
        /// How a channel of the `fake` dialect answers. A request can override each setting with a
        /// header: `x-fake-status`, `x-fake-delay-ms` and so on.
        fake: Option<At<Fake>>;
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
