//! What providers really say, and the cause that it becomes.

use http::HeaderValue;
use serde_json::json;

use super::*;

fn error(status: u16, body: &Value) -> Finding {
    of_error(
        status,
        &HeaderMap::new(),
        body.to_string().as_bytes(),
        "sk-secret",
    )
}

#[test]
fn errors_of_providers_are_told_apart() {
    let openai = |code: &str, message: &str| json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}});
    let cases = [
        (
            401,
            openai("invalid_api_key", "Incorrect API key provided: sk-secret."),
            Cause::KeyDead,
        ),
        (
            403,
            openai("", "You are not allowed to do this."),
            Cause::KeyRefused,
        ),
        (
            403,
            openai(
                "model_not_found",
                "Project `p` does not have access to model `m`",
            ),
            Cause::ModelUnknown,
        ),
        (
            404,
            openai("model_not_found", "The model `m` does not exist"),
            Cause::ModelUnknown,
        ),
        (
            404,
            openai("", "Invalid URL (POST /v1/v1/chat/completions)"),
            Cause::BaseUrlWrong,
        ),
        (404, json!({"detail": "Not Found"}), Cause::BaseUrlWrong),
        (
            404,
            json!({"type": "error", "error": {"type": "not_found_error", "message": "model: claude-9"}}),
            Cause::ModelUnknown,
        ),
        (
            404,
            json!({"error": {"code": 404, "message": "models/g is not found for API version v1beta", "status": "NOT_FOUND"}}),
            Cause::ModelUnknown,
        ),
        (
            400,
            json!({"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}),
            Cause::KeyDead,
        ),
        (
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the Anthropic API."}}),
            Cause::QuotaExhausted,
        ),
        (
            400,
            openai("invalid_request_error", "Model Not Exist"),
            Cause::ModelUnknown,
        ),
        (
            400,
            openai("", "messages: at least one is required"),
            Cause::RequestRefused,
        ),
        (
            402,
            json!({"error": {"message": "Insufficient Balance", "type": "unknown_error", "param": null, "code": "invalid_request_error"}}),
            Cause::QuotaExhausted,
        ),
        (
            429,
            openai("insufficient_quota", "You exceeded your current quota"),
            Cause::QuotaExhausted,
        ),
        (
            429,
            openai("rate_limit_exceeded", "Rate limit reached for requests"),
            Cause::RateLimited,
        ),
        (
            503,
            openai("model_not_found", "no channel for model m"),
            Cause::ModelUnknown,
        ),
        (
            529,
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
            Cause::ProviderError,
        ),
    ];
    for (status, body, cause) in cases {
        let finding = error(status, &body);
        assert_eq!(finding.cause, cause, "{status} {body}");
        assert!(
            !finding.message.contains("sk-secret"),
            "{}",
            finding.message
        );
    }
}

#[test]
fn a_page_is_a_wrong_address() {
    let mut headers = HeaderMap::new();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    for status in [301, 403, 404, 405, 418] {
        let finding = of_error(status, &headers, b"<!doctype html>", "");
        assert_eq!(finding.cause, Cause::BaseUrlWrong, "{status}");
    }
    let found = judge_whole(Dialect::OpenaiChat, &headers, b"hello", "").unwrap();
    assert_eq!(found.cause, Cause::BaseUrlWrong);
}

#[test]
fn replies_that_are_none_are_seen() {
    let bad = |body: &str| {
        judge_whole(Dialect::OpenaiChat, &HeaderMap::new(), body.as_bytes(), "k")
            .map(|finding| finding.cause)
    };
    assert_eq!(bad(r#"{"choices": []}"#), None);
    for body in ["", "{", "{}", "[1]", r#"{"error": {"message": "busy"}}"#] {
        assert_eq!(bad(body), Some(Cause::BadReply), "{body}");
    }
    assert_eq!(
        bad(r#"{"error": {"code": "model_not_found", "message": "no"}}"#),
        Some(Cause::ModelUnknown)
    );
}

#[test]
fn the_secret_is_cut_from_what_is_quoted() {
    assert_eq!(quoted("key k-1\nis odd", "k-1"), "key … is odd");
    assert_eq!(quoted(&"x".repeat(900), "").len(), MESSAGE_MAX_CHARS);
}

#[test]
fn codes_are_what_json_says() {
    for cause in [
        Cause::BaseUrlWrong,
        Cause::TlsUnknownCa,
        Cause::QuotaExhausted,
    ] {
        assert_eq!(serde_json::to_value(cause).unwrap(), json!(cause.as_str()));
    }
}
