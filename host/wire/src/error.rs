//! Faults in the caller's dialect, whole or in mid-stream, and what a provider's own error says
//! about the key it was asked with.
//!
//! Never does: decide which fault or status a failure becomes; that is one file of the gateway.
//! Read first: [`render`]. [`dead_key`] is apart from it: it reads other people's errors.

mod dead_key;
mod refusal;

use serde_json::{Value, json};
use weir_base::Fault;

use crate::{Dialect, Family};

pub use dead_key::dead_key;
pub use refusal::{Refusal, refusal};

/// The JSON body of an error response, shaped as the family's own API shapes it, so that its SDKs
/// raise their typed exception with our message. The status and the headers (`retry-after`,
/// `x-request-id`, `content-type: application/json`) are the caller's business.
pub fn render(family: Family, fault: &Fault, request_id: &str) -> Vec<u8> {
    value(family, fault, request_id).to_string().into_bytes()
}

/// One error event as `dialect` sends it in the middle of a stream, blank line included. Nothing
/// may follow it. The official SDKs raise it as an exception where they stand in their loop.
pub fn stream_error(dialect: Dialect, fault: &Fault, request_id: &str) -> Vec<u8> {
    let body = value(dialect.family(), fault, request_id);
    match dialect {
        Dialect::OpenaiResponses => {
            // The documented event has code and message at its top; the service itself nests them
            // under `error`, and that is what the SDKs raise on. So the event carries both. It has
            // no sequence number: no reader needs one after the last event.
            let event = json!({
                "type": "error",
                "code": fault.code,
                "message": fault.message,
                "param": null,
                "error": body.get("error"),
            });
            format!("event: error\ndata: {event}\n\n").into_bytes()
        }
        Dialect::AnthropicMessages | Dialect::AnthropicOther => {
            format!("event: error\ndata: {body}\n\n").into_bytes()
        }
        Dialect::OpenaiChat
        | Dialect::OpenaiCompletions
        | Dialect::OpenaiEmbeddings
        | Dialect::OpenaiOther
        | Dialect::GeminiGenerate
        | Dialect::GeminiOther => format!("data: {body}\n\n").into_bytes(),
    }
}

fn value(family: Family, fault: &Fault, request_id: &str) -> Value {
    let status = fault.status;
    match family {
        Family::Openai => json!({"error": {
            "message": fault.message,
            "type": openai_type(status),
            "param": null,
            "code": fault.code,
            "request_id": request_id,
        }}),
        Family::Anthropic => json!({
            "type": "error",
            "error": {
                "type": anthropic_type(status),
                "message": fault.message,
                "code": fault.code,
            },
            "request_id": request_id,
        }),
        Family::Gemini => json!({"error": {
            "code": status,
            "message": fault.message,
            "status": gemini_status(status),
            "details": gemini_details(fault, request_id),
        }}),
    }
}

/// OpenAI's SDKs choose the exception by status; the type is for people and for older clients.
fn openai_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        // A model or path that does not exist is an invalid request here, with 404 as its status.
        _ => "invalid_request_error",
    }
}

fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// The canonical code of google.rpc.Code that Google's HTTP mapping gives for a status.
fn gemini_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        402 | 403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        502 | 503 | 529 => "UNAVAILABLE",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

fn gemini_details(fault: &Fault, request_id: &str) -> Vec<Value> {
    let mut details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": fault.code.to_ascii_uppercase(),
        "domain": "weir",
        "metadata": {"code": fault.code, "request_id": request_id},
    })];
    // Google's own clients read the pause from here and not from the header.
    if let Some(after_ms) = fault.retry_after_ms {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{}.{:03}s", after_ms / 1000, after_ms % 1000),
        }));
    }
    details
}

#[cfg(test)]
mod tests;
