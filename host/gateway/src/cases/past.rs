//! Calls that were: from recorded exchanges, or from a gateway's ledger.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use weir_wire::endpoint::endpoint;
use weir_wire::usage::{StreamUsage, read_whole};

use super::call::{Recorded, text_of};
use super::written::{Caller, Clock, Given, Request};

/// A call that was.
#[derive(Debug, Clone)]
pub struct PastCall {
    /// Its id, or the recording's place.
    pub id: String,
    /// The key's id.
    pub key: String,
    /// The model that was asked for.
    pub model: String,
    /// Tokens in and out.
    pub tokens: u64,
    /// Millionths of the currency unit.
    pub cost_micros: u64,
    /// The code of the refusal that ended it; none where it was allowed.
    pub denied: Option<String>,
    /// What a policy can be shown of it.
    pub given: Given,
}

/// A call as the admin API tells it.
#[derive(Debug, Clone, Deserialize)]
pub struct LedgerCall {
    id: String,
    started_ms: u64,
    tenant: String,
    key: String,
    dialect: String,
    operation: String,
    model: String,
    denied: Option<String>,
    streaming: bool,
    client_ip: String,
    usage: LedgerUsage,
}

#[derive(Debug, Clone, Deserialize)]
struct LedgerUsage {
    input_tokens: u64,
    output_tokens: u64,
    cost_micros: u64,
}

impl PastCall {
    /// What the ledger knows: who asked when for which model, and what it took. Bodies and headers it
    /// does not keep. None where no request is known that would be such a call.
    pub fn of_ledger(call: LedgerCall) -> Option<Self> {
        let path = path_of(&call.dialect, &call.operation, &call.model)?;
        let request = Request {
            path: Some(path),
            model: Some(call.model.clone()),
            stream: call.streaming.then_some(true),
            input_tokens: u32::try_from(call.usage.input_tokens).ok(),
            ..Request::default()
        };
        let caller = Caller {
            tenant: Some(call.tenant.clone()),
            key: Some(call.key.clone()),
            ip: Some(call.client_ip),
            id: Some(call.id.clone()),
            ..Caller::default()
        };
        Some(Self {
            id: call.id,
            key: call.key,
            model: call.model,
            tokens: call.usage.input_tokens + call.usage.output_tokens,
            cost_micros: call.usage.cost_micros,
            denied: call.denied,
            given: Given {
                request: Some(request),
                caller: Some(caller),
                clock: Some(Clock::Ms(call.started_ms)),
                ..Given::default()
            },
        })
    }

    /// A recorded exchange. None where it is not one, or of an endpoint that Weir does not have.
    pub fn of_recording(path: &Path) -> Option<Self> {
        let recorded = Recorded::load(path).ok()?;
        let asked = &recorded.request;
        let target = asked.path.clone()?;
        let (plain, query) = target.split_once('?').unwrap_or((&target, ""));
        let method = asked.method.as_deref().unwrap_or("POST");
        let found = endpoint(method, plain, query, false)?;
        let in_body = asked
            .body
            .as_ref()
            .and_then(|body| body.get("model")?.as_str());
        let model = found.model.as_deref().or(in_body).unwrap_or_default();
        let usage = match (&recorded.stream, &recorded.reply) {
            (Some(text), _) => {
                let mut usage = StreamUsage::new(found.dialect);
                usage.push(text.as_bytes());
                usage.finish().usage
            }
            (None, Some(reply)) => read_whole(found.dialect, text_of(&reply.body).as_bytes()),
            (None, None) => None,
        };
        Some(Self {
            id: path.display().to_string(),
            key: "key_1".to_owned(),
            model: model.to_owned(),
            tokens: usage.map_or(0, |usage| usage.input_tokens + usage.output_tokens),
            cost_micros: 0,
            denied: None,
            given: Given {
                request: Some(recorded.request),
                reply: recorded.reply,
                stream: recorded.stream,
                ..Given::default()
            },
        })
    }
}

/// The path of such a call.
fn path_of(dialect: &str, operation: &str, model: &str) -> Option<String> {
    let path = match (dialect, operation) {
        ("openai.chat", _) => "/v1/chat/completions",
        ("openai.responses", "chat") => "/v1/responses",
        ("openai.completions", _) => "/v1/completions",
        ("openai.embeddings", _) => "/v1/embeddings",
        ("anthropic.messages", "chat") => "/v1/messages",
        ("anthropic.messages", "count-tokens") => "/v1/messages/count_tokens",
        ("gemini.generate", "chat") => {
            return Some(format!("/v1beta/models/{model}:generateContent"));
        }
        (_, "image") => "/v1/images/generations",
        (_, "moderation") => "/v1/moderations",
        (_, "speech") => "/v1/audio/speech",
        _ => return None,
    };
    Some(path.to_owned())
}

/// All recordings of a folder and its folders, in the order of their names.
///
/// # Errors
/// What the system says of a folder that cannot be read.
pub fn recordings(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut folders = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            // Not by what a link leads to: it may lead in a circle.
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}
