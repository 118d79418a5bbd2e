//! The wire formats by name: what a call, an edit, a stream or an error is spoken in.

/// The maker whose conventions a dialect follows: error shapes, authentication, stream framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// OpenAI and the many providers that speak like it.
    Openai,
    /// Anthropic.
    Anthropic,
    /// Google's Gemini API, on its own and on Vertex AI.
    Gemini,
}

impl Family {
    /// The name in configuration, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Family::Openai => "openai",
            Family::Anthropic => "anthropic",
            Family::Gemini => "gemini",
        }
    }
}

/// One wire format. The `Other` of a family is what Weir passes on without a view of its prompt:
/// files, batches, images, audio and whatever the provider adds later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `POST /v1/chat/completions`.
    OpenaiChat,
    /// `POST /v1/responses`.
    OpenaiResponses,
    /// `POST /v1/completions`, the legacy one.
    OpenaiCompletions,
    /// `POST /v1/embeddings`.
    OpenaiEmbeddings,
    /// Every other OpenAI endpoint.
    OpenaiOther,
    /// `POST /v1/messages`, and its `count_tokens`.
    AnthropicMessages,
    /// Every other Anthropic endpoint.
    AnthropicOther,
    /// `generateContent`, `streamGenerateContent` and `countTokens`.
    GeminiGenerate,
    /// Every other Gemini endpoint.
    GeminiOther,
}

impl Dialect {
    /// Every dialect, for tables that must not miss one.
    pub const ALL: [Dialect; 9] = [
        Dialect::OpenaiChat,
        Dialect::OpenaiResponses,
        Dialect::OpenaiCompletions,
        Dialect::OpenaiEmbeddings,
        Dialect::OpenaiOther,
        Dialect::AnthropicMessages,
        Dialect::AnthropicOther,
        Dialect::GeminiGenerate,
        Dialect::GeminiOther,
    ];

    /// The name that policies see (`call.dialect` in `wit/policy.wit`), and that metrics use.
    pub fn as_str(self) -> &'static str {
        match self {
            Dialect::OpenaiChat => "openai.chat",
            Dialect::OpenaiResponses => "openai.responses",
            Dialect::OpenaiCompletions => "openai.completions",
            Dialect::OpenaiEmbeddings => "openai.embeddings",
            Dialect::OpenaiOther => "openai.other",
            Dialect::AnthropicMessages => "anthropic.messages",
            Dialect::AnthropicOther => "anthropic.other",
            Dialect::GeminiGenerate => "gemini.generate",
            Dialect::GeminiOther => "gemini.other",
        }
    }

    /// The maker whose conventions this dialect follows.
    pub fn family(self) -> Family {
        match self {
            Dialect::OpenaiChat
            | Dialect::OpenaiResponses
            | Dialect::OpenaiCompletions
            | Dialect::OpenaiEmbeddings
            | Dialect::OpenaiOther => Family::Openai,
            Dialect::AnthropicMessages | Dialect::AnthropicOther => Family::Anthropic,
            Dialect::GeminiGenerate | Dialect::GeminiOther => Family::Gemini,
        }
    }
}
