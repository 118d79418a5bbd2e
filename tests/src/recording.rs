//! Recorded traffic of real providers (`tests/fixtures/traffic`).

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;

/// One recorded exchange.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Its place under `tests/fixtures/traffic`.
    pub name: String,
    /// The path with query that was asked for.
    pub path: String,
    /// The request's body; null where it was not JSON.
    pub request: Value,
    /// The reply's status.
    pub status: u16,
    /// The reply's headers, without those that belong to its connection.
    pub headers: Vec<(String, String)>,
    /// The reply's body.
    pub body: Bytes,
    /// Whether the reply is a stream.
    pub streams: bool,
    /// The extra facts about it.
    pub meta: Value,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/traffic")
}

/// All recordings of a provider's endpoint, for example `openai/responses`, in the order of their
/// names.
#[track_caller]
pub fn recordings(endpoint: &str) -> Vec<Recording> {
    let files = std::fs::read_dir(folder().join(endpoint)).expect("recordings");
    let mut names: Vec<String> = files
        .map(|file| {
            file.expect("a file")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with(".json"))
        .collect();
    names.sort();
    names
        .iter()
        .map(|name| Recording::load(&format!("{endpoint}/{name}")))
        .collect()
}

impl Recording {
    /// The recording whose file's name begins like this, for example `openai/chat_completions/ai-gateway__chat-mult`.
    #[track_caller]
    pub fn find(start: &str) -> Recording {
        let (endpoint, start_of_name) = start.rsplit_once('/').expect("an endpoint and a name");
        let found = recordings(endpoint)
            .into_iter()
            .find(|recording| recording.name[endpoint.len() + 1..].starts_with(start_of_name));
        found.unwrap_or_else(|| panic!("no recording begins like {start}"))
    }

    #[track_caller]
    fn load(name: &str) -> Recording {
        let text = std::fs::read_to_string(folder().join(name)).expect("a recording");
        let mut file: Value = serde_json::from_str(&text).expect("JSON");
        let response = &file["response"];
        let body = match (&response["body_text"], &response["body"]) {
            (Value::String(text), _) => text.clone(),
            (_, Value::Null) => String::new(),
            (_, Value::String(text)) => text.clone(),
            (_, body) => body.to_string(),
        };
        let kind = file["meta"]["kind"].as_str().unwrap_or_default();
        Recording {
            name: name.to_owned(),
            path: file["request"]["path"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            status: u16::try_from(response["status"].as_u64().unwrap_or(200)).expect("a status"),
            headers: headers(response, kind),
            streams: matches!(kind, "sse" | "ndjson" | "jsonarray"),
            body: body.into(),
            request: file["request"]["body"].take(),
            meta: file["meta"].take(),
        }
    }
}

/// What the connection adds itself is left out, and a content type is made up where none was kept.
fn headers(response: &Value, kind: &str) -> Vec<(String, String)> {
    const OF_THE_CONNECTION: [&str; 7] = [
        "connection",
        "content-encoding",
        "content-length",
        "date",
        "keep-alive",
        "transfer-encoding",
        "x-request-id",
    ];
    let mut headers = Vec::new();
    for (name, value) in response["headers"].as_object().into_iter().flatten() {
        let name = name.to_ascii_lowercase();
        let values = match value {
            Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
            value => value.as_str().into_iter().collect::<Vec<_>>(),
        };
        let lines = values
            .into_iter()
            .filter(|_| !OF_THE_CONNECTION.contains(&name.as_str()));
        headers.extend(lines.map(|value| (name.clone(), value.to_owned())));
    }
    if !headers.iter().any(|(name, _)| name == "content-type") {
        let made_up = if kind == "sse" {
            "text/event-stream"
        } else {
            "application/json"
        };
        headers.push(("content-type".to_owned(), made_up.to_owned()));
    }
    headers
}
