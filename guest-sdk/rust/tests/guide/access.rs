//! Keys with the label `env = "test"` may only ask for the models of a list.

use weir_sdk::call;
use weir_sdk::prelude::*;
use weir_sdk::select::Pattern;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TestKeys {
    models: Vec<String>,
}

impl Access for TestKeys {
    fn authorize(&self, call: &Summary) -> Result<(), Denial> {
        // Depends on the key and the model only, so the answer holds for a while.
        call::remember(10_000);
        if call::label("env").as_deref() != Some("test") {
            return Ok(());
        }
        let models = self.models.iter();
        if models
            .map(|one| Pattern::new(one))
            .any(|one| one.matches(&call.model))
        {
            return Ok(());
        }
        let message = format!(
            "Test keys may not use {}: ask for {}.",
            call.model,
            self.models.join(", ")
        );
        Err(Denial::forbidden("not_for_tests", message))
    }
}

weir_sdk::export!(TestKeys: access);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::{Call, Host};

    #[test]
    fn test_keys_get_the_models_of_the_list() {
        let policy = TestKeys::configure(r#"{"models": ["*-mini"]}"#).unwrap();
        let ask = |env, model| {
            let call = Call::chat(model).label("env", env);
            Host::new().call(call).run(|call| policy.authorize(call))
        };
        assert!(ask("prod", "gpt-4o").0.is_ok());
        assert!(ask("test", "gpt-4o-mini").0.is_ok());
        let (denied, seen) = ask("test", "gpt-4o");
        assert_eq!(denied.unwrap_err().code, "not_for_tests");
        assert_eq!(seen.remember_ms, 10_000);
    }
}
