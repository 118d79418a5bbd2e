//! Takes a field that says too much out of whole replies.

use weir_sdk::prelude::*;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Discreet {}

impl Reply for Discreet {
    fn reply(&self, _: &Summary, mut response: Response) -> Result<Option<Response>, Denial> {
        let Ok(mut body) = serde_json::from_slice::<serde_json::Value>(&response.body) else {
            return Ok(None);
        };
        let fields = body.as_object_mut();
        if fields
            .and_then(|fields| fields.remove("system_fingerprint"))
            .is_none()
        {
            // Nothing to change: the caller gets the provider's own bytes.
            return Ok(None);
        }
        response.body = body.to_string().into_bytes();
        Ok(Some(response))
    }
}

weir_sdk::export!(Discreet: reply);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::Host;

    #[test]
    fn only_replies_with_the_field_are_changed() {
        let policy = Discreet::configure("{}").unwrap();
        let reply = |body| {
            let response = Response::json(200, &body);
            Host::new()
                .run(|call| policy.reply(call, response))
                .0
                .unwrap()
        };
        assert_eq!(reply(serde_json::json!({"id": 1})), None);
        let changed = reply(serde_json::json!({"id": 1, "system_fingerprint": "fp"})).unwrap();
        assert_eq!(changed.body, br#"{"id":1}"#);
    }
}
