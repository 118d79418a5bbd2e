//! The secret that a caller sends, wherever its dialect puts it.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use weir_base::Secret;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// Takes the virtual key out of the head: from `Authorization: Bearer`, `x-api-key` or
/// `x-goog-api-key`, in this order. All three headers are removed, so that nothing downstream
/// (a policy, a provider, a log) ever sees them.
pub fn take_credential(headers: &mut HeaderMap) -> Option<Secret> {
    let bearer = headers.remove(AUTHORIZATION);
    let plain = headers.remove(X_API_KEY);
    let google = headers.remove(X_GOOG_API_KEY);
    let bearer = bearer
        .as_ref()
        .and_then(|value| value.to_str().ok())
        .and_then(bearer_token);
    let given = |value: &Option<http::HeaderValue>| {
        value
            .as_ref()
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let secret = bearer
        .map(str::to_owned)
        .or_else(|| given(&plain))
        .or_else(|| given(&google))?;
    Some(Secret::new(secret.trim()))
}

/// The token after the scheme, whose case does not matter (RFC 9110, section 11.1).
fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// By what a virtual key is known: its SHA-256. The keys are long and random, so a slow hash
/// would protect nothing that this one does not.
pub fn hash(secret: &Secret) -> [u8; 32] {
    Sha256::digest(secret.expose().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(name: &'static str, value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        let secret = take_credential(&mut headers).map(|secret| secret.expose().to_owned());
        assert!(headers.is_empty());
        secret
    }

    #[test]
    fn every_dialects_header_is_read_and_removed() {
        assert_eq!(
            taken("authorization", "Bearer sk-1").as_deref(),
            Some("sk-1")
        );
        assert_eq!(
            taken("authorization", "bearer sk-1").as_deref(),
            Some("sk-1")
        );
        assert_eq!(taken("authorization", "Basic sk-1"), None);
        assert_eq!(taken("x-api-key", "sk-1").as_deref(), Some("sk-1"));
        assert_eq!(taken("x-goog-api-key", "sk-1").as_deref(), Some("sk-1"));
    }
}
