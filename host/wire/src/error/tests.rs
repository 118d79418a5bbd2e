//! Golden error bodies, and the verdict on every recorded error that could be about a key.

use serde_json::Value;
use weir_base::Blame;

use super::*;

fn fault(status: u16) -> Fault {
    Fault::new(
        Blame::Policy,
        status,
        "budget_spent",
        "The budget is spent; ask for more.",
    )
    .retry_after_ms(1500)
}

#[test]
fn bodies() {
    let mut all = String::new();
    for family in [Family::Openai, Family::Anthropic, Family::Gemini] {
        for status in [400, 401, 402, 403, 404, 413, 429, 500, 502, 503, 504] {
            let body = String::from_utf8(render(family, &fault(status), "req_1")).unwrap();
            all.push_str(&format!("{} {status} {body}\n", family.as_str()));
        }
    }
    insta::assert_snapshot!(all);
}

#[test]
fn events() {
    let mut all = String::new();
    for dialect in Dialect::ALL {
        let event = String::from_utf8(stream_error(dialect, &fault(503), "req_1")).unwrap();
        assert!(event.ends_with("\n\n"));
        all.push_str(&format!("{}\n{event}", dialect.as_str()));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn dead_keys_as_recorded() {
    let dead: &[(u16, &str)] = &[
        (
            401,
            r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#,
        ),
        (
            401,
            r#"{"error":{"message":"Incorrect API key provided: sk-.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
        ),
        (401, r#"{"detail":"Unauthorized"}"#),
        (401, r#"{"id":"a","message":"invalid api token"}"#),
        (
            401,
            r#"{"result":null,"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}"#,
        ),
        (
            401,
            "<html><title>401 Authorization Required</title></html>",
        ),
        (
            402,
            r#"{"error":"You have exceeded your monthly included credits for Inference Providers."}"#,
        ),
        (403, r#"{"error":"please check the api-key you provided"}"#),
        (
            403,
            r#"{"message":"The security token included in the request is invalid."}"#,
        ),
        (
            403,
            r#"{"error":{"code":403,"message":"Generative Language API has not been used","status":"PERMISSION_DENIED","details":[{"reason":"SERVICE_DISABLED"}]}}"#,
        ),
        (
            400,
            r#"{"code":"invalid-argument","error":"Incorrect API key provided. You can obtain an API key from https://console.x.ai."}"#,
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#,
        ),
        (
            400,
            r#"[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}]"#,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#,
        ),
        (
            429,
            r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
        ),
    ];
    for (status, body) in dead {
        assert!(
            dead_key(*status, body.as_bytes()).is_some(),
            "{status} {body}"
        );
    }
    let reason = dead_key(dead[1].0, dead[1].1.as_bytes()).unwrap();
    assert_eq!(reason, "the provider refused the key: 401 invalid_api_key");
}

#[test]
fn living_keys_as_recorded() {
    let living: &[(u16, &str)] = &[
        (
            403,
            r#"{"error":{"message":"You are not allowed to sample from this model","type":"invalid_request_error","param":null,"code":null}}"#,
        ),
        (
            403,
            r#"{"message":"Signature expired: 20250325T235114Z is now earlier than 20250521T030314Z"}"#,
        ),
        (
            403,
            r#"{"message":"Multimodal is not enabled for your organization and model","code":"multimodal_not_enabled"}"#,
        ),
        (
            403,
            r#"{"error":{"code":"forbidden","message":"Forbidden","param":null,"type":"invalid_request_error"}}"#,
        ),
        (
            403,
            r#"{"error":{"code":403,"message":"CachedContent not found (or permission denied)","status":"PERMISSION_DENIED"}}"#,
        ),
        (
            403,
            r#"{"error":{"code":403,"message":"Permission denied","status":"PERMISSION_DENIED","details":[{"reason":"IAM_PERMISSION_DENIED"}]}}"#,
        ),
        (
            401,
            r#"{"error":{"message":"You have insufficient permissions for this operation. Missing scopes: model.request","code":null}}"#,
        ),
        (
            402,
            r#"{"error":{"message":"This request requires more credits, or fewer max_tokens.","code":402}}"#,
        ),
        (
            429,
            r#"{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. Please retry in 48.9s.","status":"RESOURCE_EXHAUSTED"}}"#,
        ),
        (
            429,
            r#"{"error":{"message":"Rate limit exceeded","code":429}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"max_tokens is too large","type":"invalid_request_error"}}"#,
        ),
        (500, r#"{"error":{"code":"invalid_api_key"}}"#),
    ];
    for (status, body) in living {
        assert_eq!(dead_key(*status, body.as_bytes()), None, "{status} {body}");
    }
}

#[test]
fn a_reason_quotes_no_key() {
    let body =
        r#"{"error":{"message":"Incorrect API key provided: sk-abc123","code":"sk-abc123"}}"#;
    assert!(!dead_key(401, body.as_bytes()).unwrap().contains("abc123"));
    let value: Value = serde_json::from_slice(&render(Family::Gemini, &fault(429), "r")).unwrap();
    assert_eq!(
        value.pointer("/error/details/1/retryDelay").unwrap(),
        "1.500s"
    );
}
