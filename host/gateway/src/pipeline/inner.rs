//! A policy's own question to a model: a call like any other, on the account of whoever owns the policy.
//!
//! It passes the same policies as their callers' calls, the asking one among them; how often one question
//! may lead to another was bounded before (`services.rs`), as was which models the policy may ask.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use weir_base::{CallId, Fault, Operation};
use weir_policy::{Completion, Message, PolicyIdentity};
use weir_store::Ended;
use weir_wire::dialect::{Dialect, Family};
use weir_wire::endpoint::BodyKind;
use weir_wire::scan::{Head, scan};

use super::call::{Call, Request};
use super::hook::{self, Facts};
use super::open::Open;
use super::worker::Worker;
use super::{decide, look};
use crate::identify::{Tenant, VirtualKey};

/// The tenant that calls of the operator's policies are booked under; those of a tenant's are its own.
const ACCOUNT: &str = "policies";

/// Asks `model` and waits for the whole answer.
pub async fn complete(
    worker: &Rc<Worker>,
    policy: &PolicyIdentity,
    model: &str,
    messages: &[Message],
    max_output_tokens: u32,
    depth: u32,
) -> Result<Completion, String> {
    let snapshot = worker.snapshot();
    let account = policy.tenant.as_deref().unwrap_or(ACCOUNT);
    let families = [Family::Openai, Family::Anthropic, Family::Gemini];
    let family = families
        .into_iter()
        .find(|family| !worker.offers(&snapshot, *family, account, model).is_empty());
    let Some(family) = family else {
        return Err(format!("no channel serves the model `{model}`"));
    };
    let mut open = begin(
        worker,
        policy,
        model,
        &question(family, model, messages, max_output_tokens),
        depth,
    );
    match ask(worker, &mut open).await {
        Ok(body) => {
            open.outcome.ended = Ended::Complete;
            let usage = hook::usage(&open.outcome.usage.unwrap_or_default());
            let reply: Value = serde_json::from_slice(&body).unwrap_or_default();
            if open.outcome.status >= 300 {
                return Err(format!(
                    "the provider answered with status {}",
                    open.outcome.status
                ));
            }
            Ok(Completion {
                text: text_of(family, &reply),
                usage,
            })
        }
        Err(fault) => {
            open.outcome.status = fault.status;
            open.outcome.ended = Ended::Failed;
            open.outcome.denied = Some(fault.code.clone());
            Err(fault.message.into_owned())
        }
    }
}

async fn ask(worker: &Rc<Worker>, open: &mut Open) -> Result<Bytes, Fault> {
    let reply = decide(worker, open).await?;
    if reply.status >= 300 {
        open.outcome.status = reply.status;
        let max_bytes = open.call.snapshot.config.limits.reply_buffer_max_bytes;
        return look::collect(reply.source, max_bytes).await;
    }
    let (status, _, body) = look::shown_whole(worker, open, reply).await?;
    open.outcome.status = status;
    Ok(body)
}

struct Question {
    dialect: Dialect,
    uri: Uri,
    body: Bytes,
}

/// The question in the family's own words.
fn question(family: Family, model: &str, messages: &[Message], max_output_tokens: u32) -> Question {
    let max = (max_output_tokens > 0).then_some(max_output_tokens);
    let said = |role: &str| {
        messages
            .iter()
            .filter(|message| message.role == role)
            .map(|message| message.text.as_str())
            .collect::<Vec<_>>()
            .join("\n")
    };
    let turns = |assistant: &'static str, part: fn(&str) -> Value| -> Vec<Value> {
        let others = messages.iter().filter(|message| message.role != "system");
        let role = |message: &Message| {
            if message.role == "assistant" {
                assistant
            } else {
                "user"
            }
        };
        others.map(|message| json!({ "role": role(message), (if assistant == "model" { "parts" } else { "content" }): part(&message.text) })).collect()
    };
    let (dialect, path, mut body) = match family {
        Family::Openai => {
            let all: Vec<Value> = messages
                .iter()
                .map(|message| json!({ "role": message.role, "content": message.text }))
                .collect();
            (
                Dialect::OpenaiChat,
                "/v1/chat/completions".to_owned(),
                json!({ "model": model, "messages": all, "max_completion_tokens": max }),
            )
        }
        Family::Anthropic => {
            let body = json!({ "model": model, "system": said("system"), "messages": turns("assistant", |text| json!(text)), "max_tokens": max.unwrap_or(1_024) });
            (Dialect::AnthropicMessages, "/v1/messages".to_owned(), body)
        }
        Family::Gemini => {
            let body = json!({
                "systemInstruction": { "parts": [{ "text": said("system") }] },
                "contents": turns("model", |text| json!([{ "text": text }])),
                "generationConfig": { "maxOutputTokens": max },
            });
            (
                Dialect::GeminiGenerate,
                format!("/v1beta/models/{model}:generateContent"),
                body,
            )
        }
    };
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|_, value| !value.is_null() && *value != json!(""));
    }
    let uri = path
        .parse()
        .unwrap_or_else(|_| Uri::from_static("/v1/chat/completions"));
    Question {
        dialect,
        uri,
        body: Bytes::from(body.to_string()),
    }
}

fn begin(
    worker: &Rc<Worker>,
    policy: &PolicyIdentity,
    model: &str,
    question: &Question,
    depth: u32,
) -> Open {
    let id = CallId::new();
    let tenant = Arc::new(Tenant {
        id: Arc::from(policy.tenant.as_deref().unwrap_or(ACCOUNT)),
        labels: BTreeMap::new(),
        time_zone: TimeZone::UTC,
        disabled: false,
    });
    let key = Arc::new(VirtualKey {
        id: Arc::from(format!("policy:{}", policy.full_name())),
        tenant,
        labels: BTreeMap::new(),
        disabled: false,
        author: false,
        expires_ms: None,
    });
    let head = scan(question.dialect, &question.body).unwrap_or_else(|_| Head::default());
    let mut headers = HeaderMap::new();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if question.dialect == Dialect::AnthropicMessages {
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    }
    let request = Request {
        model: model.to_owned(),
        head,
        body: question.body.clone(),
        headers,
        body_changed: false,
    };
    let call = Call {
        id,
        id_header: HeaderValue::from_str(&id.to_string())
            .unwrap_or(HeaderValue::from_static("unknown")),
        started: Instant::now(),
        started_ms: worker.now_ms(),
        snapshot: worker.snapshot(),
        key,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        dialect: question.dialect,
        operation: Operation::Chat,
        body_kind: BodyKind::Json,
        model_in_path: question.dialect == Dialect::GeminiGenerate,
        needs_model: true,
        method: Method::POST,
        uri: question.uri.clone(),
        hops: 0,
        depth,
        request: Mutex::new(request),
    };
    let facts = Facts::of(&call, &call.request());
    Open::new(worker, Arc::new(call), facts)
}

/// The text of a whole reply.
fn text_of(family: Family, reply: &Value) -> String {
    let (list, key) = match family {
        Family::Openai => {
            let text = reply
                .pointer("/choices/0/message/content")
                .and_then(Value::as_str);
            return text.unwrap_or_default().to_owned();
        }
        Family::Anthropic => ("/content", "text"),
        Family::Gemini => ("/candidates/0/content/parts", "text"),
    };
    let parts = reply.pointer(list).and_then(Value::as_array);
    parts
        .into_iter()
        .flatten()
        .filter_map(|part| part.get(key)?.as_str())
        .collect()
}
