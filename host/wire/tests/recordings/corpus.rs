//! The recordings, read from disk.

use std::path::{Path, PathBuf};

use serde_json::Value;
use weir_wire::Dialect;

/// One recorded exchange.
pub(crate) struct Recording {
    /// `<provider>/<endpoint>/<name>`.
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) request: Option<Value>,
    pub(crate) status: u64,
    pub(crate) reply: Reply,
}

pub(crate) enum Reply {
    /// A stream or other text, as recorded.
    Text(String),
    Json(Value),
    /// Binary or empty.
    Other,
}

/// Every recording in a dialect that Weir reads.
pub(crate) fn recordings() -> Vec<Recording> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/traffic");
    let mut files = Vec::new();
    collect(&fixtures, &mut files);
    assert!(files.len() > 100, "the fixtures are gone");
    let mut all: Vec<_> = files
        .iter()
        .filter_map(|file| read(&fixtures, file))
        .collect();
    if let Some(more) = std::env::var_os("WEIR_TRAFFIC").map(PathBuf::from) {
        let mut files = Vec::new();
        collect(&more, &mut files);
        all.extend(files.iter().filter_map(|file| read(&more, file)));
    }
    all
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, files);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
}

fn read(root: &Path, file: &Path) -> Option<Recording> {
    let name = file
        .strip_prefix(root)
        .unwrap()
        .with_extension("")
        .to_string_lossy()
        .into_owned();
    let mut parts = name.split('/');
    let dialect = dialect(parts.next()?, parts.next()?)?;
    let mut recording: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let response = recording["response"].as_object_mut()?;
    let reply = match (response.remove("body_text"), response.remove("body")) {
        (Some(Value::String(text)), _) => Reply::Text(text),
        (_, Some(body @ (Value::Object(_) | Value::Array(_)))) => Reply::Json(body),
        _ => Reply::Other,
    };
    let status = response
        .get("status")
        .and_then(Value::as_u64)
        .unwrap_or(200);
    let request = Some(recording["request"]["body"].take()).filter(Value::is_object);
    Some(Recording {
        name,
        dialect,
        request,
        status,
        reply,
    })
}

/// The dialect of a folder; None for those that Weir does not speak.
fn dialect(provider: &str, endpoint: &str) -> Option<Dialect> {
    match (provider, endpoint) {
        ("bedrock" | "cohere" | "voyage" | "writer" | "response_only", _)
        | (_, "api_chat" | "api_generate" | "api_embed" | "ai_run") => None,
        (_, "chat_completions") => Some(Dialect::OpenaiChat),
        (_, "responses" | "responses_compact" | "responses_input_tokens") => {
            Some(Dialect::OpenaiResponses)
        }
        (_, "completions") => Some(Dialect::OpenaiCompletions),
        (_, "embeddings") => Some(Dialect::OpenaiEmbeddings),
        ("anthropic", "messages" | "messages_count_tokens")
        | ("vertex", "rawPredict" | "streamRawPredict") => Some(Dialect::AnthropicMessages),
        ("anthropic", _) => Some(Dialect::AnthropicOther),
        ("gemini" | "vertex", "generateContent" | "streamGenerateContent" | "countTokens") => {
            Some(Dialect::GeminiGenerate)
        }
        ("gemini" | "vertex", _) => Some(Dialect::GeminiOther),
        _ => Some(Dialect::OpenaiOther),
    }
}
