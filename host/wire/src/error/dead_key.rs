//! Does a provider's error say that the key is of no more use?
//!
//! A wrong yes takes a good key out of service; a wrong no costs one failed attempt a call. So what
//! is about a model, a request, a region or a rate is a no, and a yes needs the body to say so,
//! except for a bare 401 or 402, whose status says it.

use serde_json::Value;

/// The words of an error, from whichever of the known shapes it has.
#[derive(Default)]
struct Said {
    /// `code`, `type`, `status` and `details[].reason`, as they stand.
    codes: Vec<String>,
    /// The message in lower case.
    message: String,
}

/// Codes that say of a key, or of the account behind it, that it is dead. Compared in lower case.
const DEAD_CODES: &[&str] = &[
    "invalid_api_key",
    "api_key_invalid",
    "api_key_expired",
    "api_key_service_blocked",
    "api_key_http_referrer_blocked",
    "api_key_ip_address_blocked",
    "incorrect_api_key",
    "expired_api_key",
    "account_deactivated",
    "account_disabled",
    "account_suspended",
    "organization_deactivated",
    "access_terminated",
    "consumer_suspended",
    "consumer_invalid",
    "service_disabled",
    "billing_disabled",
    "billing_error",
    "billing_hard_limit_reached",
    "billing_not_active",
    "insufficient_quota",
    "insufficient_balance",
    "insufficient_credits",
    "exceeded_current_quota_error",
    "invalid_authentication_error",
    "unrecognizedclientexception",
    "invalidclienttokenid",
];

/// Sentences that say the same where a provider has no code for it.
const DEAD_PHRASES: &[&str] = &[
    "incorrect api key",
    "invalid api key",
    "invalid x-api-key",
    "invalid api token",
    "invalid token",
    "api key is invalid",
    "api key not valid",
    "api key not found",
    "api key expired",
    "api key has expired",
    "api key has been",
    "api key was reported as leaked",
    "api-key you provided",
    "key is disabled",
    "key has been disabled",
    "key has been revoked",
    "security token included in the request is invalid",
    "account has been",
    "account is not active",
    "account is deactivated",
    "account is suspended",
    "organization has been disabled",
    "credit balance is too low",
    "insufficient balance",
    "insufficient credits",
    "exceeded your monthly included credits",
];

/// What makes a 401 or 402 about the request and not about the key.
const NOT_THE_KEY: &[&str] = &[
    // A restricted key that may do other things.
    "missing scopes",
    "insufficient permissions",
    // Our own bug: no key was sent at all.
    "missing authentication",
    "no cookie auth",
    "missing bearer",
    "no api key provided",
    "didn't provide an api key",
    // A clock that is off, not a key.
    "signature expired",
    // Credits are left, but not for a reply of this length.
    "fewer max_tokens",
    "can only afford",
];

/// Whether the error that a provider answered with `status` says that the key itself is dead:
/// unknown, revoked, expired, its account closed or out of money. A model, an endpoint or a
/// rate that the key is not allowed is no dead key.
///
/// Looks at 400 too, where Gemini and xAI report a wrong key and Anthropic an empty account, and
/// at 429, where OpenAI reports one. The answer is one line for people. It holds the provider's
/// code but not its message, because some messages quote the key.
pub fn dead_key(status: u16, body: &[u8]) -> Option<String> {
    if !matches!(status, 400..=403 | 429) {
        return None;
    }
    let said = read(body);
    let code = said
        .codes
        .iter()
        .find(|code| DEAD_CODES.contains(&code.as_str()));
    let dead = match status {
        401 | 402 => code.is_some() || !NOT_THE_KEY.iter().any(|no| said.message.contains(no)),
        // Gemini words an exhausted minute like an exhausted account, so only the code counts.
        429 => code.is_some(),
        _ => code.is_some() || DEAD_PHRASES.iter().any(|yes| said.message.contains(yes)),
    };
    dead.then(|| match code.or(said.codes.first()) {
        Some(code) => format!("the provider refused the key: {status} {code}"),
        None => format!("the provider refused the key: {status}"),
    })
}

fn read(body: &[u8]) -> Said {
    let mut said = Said::default();
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return said;
    };
    // Gemini's streamGenerateContent without `alt=sse` wraps even its errors in an array.
    let top = value.get(0).unwrap_or(&value);
    // Every shape seen: {error:{…}}, {error:"…"}, {errors:[{…}]}, {detail:"…"}, or the fields bare.
    let inner = top
        .get("error")
        .or_else(|| top.get("errors").and_then(|errors| errors.get(0)));
    for object in [inner, Some(top)].into_iter().flatten() {
        for field in ["code", "type", "status", "__type"] {
            note_code(&mut said, object.get(field));
        }
        for detail in object
            .get("details")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            note_code(&mut said, detail.get("reason"));
        }
        for text in [Some(object), object.get("message"), object.get("detail")] {
            if let Some(text) = text.and_then(Value::as_str) {
                said.message.push_str(&text.to_ascii_lowercase());
                said.message.push('\n');
            }
        }
    }
    said
}

/// Takes `value` as a code if it looks like one: a short word that can hold no key.
fn note_code(said: &mut Said, value: Option<&Value>) {
    if let Some(text) = value.and_then(Value::as_str)
        && (2..=48).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || b"_-.".contains(&byte))
    {
        said.codes.push(text.to_ascii_lowercase());
    }
}
