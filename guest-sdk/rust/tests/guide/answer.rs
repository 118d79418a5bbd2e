//! Answers `GET /v1/models` from a list, so that callers see the models that they may use.

use weir_sdk::call;
use weir_sdk::prelude::*;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    models: Vec<String>,
}

impl Answer for Catalogue {
    fn answer(&self, call: &Summary) -> Result<Option<Response>, Denial> {
        if call.operation != Operation::Models || call::method() != "GET" {
            return Ok(None);
        }
        let models = self.models.iter();
        let listed: Vec<_> = models
            .map(|id| serde_json::json!({"id": id, "object": "model", "owned_by": "weir"}))
            .collect();
        let body = serde_json::json!({"object": "list", "data": listed});
        Ok(Some(Response::json(200, &body)))
    }
}

weir_sdk::export!(Catalogue: answer);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::{Call, Host};

    #[test]
    fn only_the_list_of_models_is_answered() {
        let policy = Catalogue::configure(r#"{"models": ["small"]}"#).unwrap();
        let ask = |call| {
            Host::new()
                .call(call)
                .run(|call| policy.answer(call))
                .0
                .unwrap()
        };
        assert_eq!(ask(Call::chat("small")), None);
        let list = Call::new(Operation::Models, "").request("GET", "/v1/models");
        let answered = ask(list).unwrap();
        assert!(String::from_utf8_lossy(&answered.body).contains("\"id\":\"small\""));
    }
}
