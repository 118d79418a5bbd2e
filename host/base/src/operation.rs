//! What a caller asks for, whatever dialect it asks in.

use serde::{Deserialize, Serialize};

/// The kinds of call that policies, prices and metrics tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "each variant is its own name; wit/0.2/policy.wit documents them"
)]
pub enum Operation {
    Chat,
    Completion,
    Embedding,
    Image,
    Speech,
    Transcription,
    Moderation,
    Rerank,
    Video,
    Realtime,
    File,
    Batch,
    Models,
    CountTokens,
    ToolCall,
    Other,
}

impl Operation {
    /// The name in configuration, metrics, the ledger and WIT.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Chat => "chat",
            Operation::Completion => "completion",
            Operation::Embedding => "embedding",
            Operation::Image => "image",
            Operation::Speech => "speech",
            Operation::Transcription => "transcription",
            Operation::Moderation => "moderation",
            Operation::Rerank => "rerank",
            Operation::Video => "video",
            Operation::Realtime => "realtime",
            Operation::File => "file",
            Operation::Batch => "batch",
            Operation::Models => "models",
            Operation::CountTokens => "count-tokens",
            Operation::ToolCall => "tool-call",
            Operation::Other => "other",
        }
    }
}
