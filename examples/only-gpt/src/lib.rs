//! Denies every call to a model whose name does not begin with a prefix.
//!
//! Configuration: `prefix`, a string, default `"gpt-"`.

use weir_sdk::prelude::*;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct OnlyGpt {
    #[serde(default = "gpt")]
    prefix: String,
}

fn gpt() -> String {
    "gpt-".to_owned()
}

impl Access for OnlyGpt {
    fn authorize(&self, call: &Summary) -> Result<(), Denial> {
        if call.model.starts_with(&self.prefix) {
            return Ok(());
        }
        let message = format!(
            "Only models whose name begins with `{}` may be used.",
            self.prefix
        );
        Err(Denial::forbidden("model_not_allowed", message))
    }
}

weir_sdk::export!(OnlyGpt: access);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::{Call, Host};

    #[test]
    fn another_family_is_denied() {
        let policy = OnlyGpt::configure("{}").unwrap();
        let ask = |model| {
            Host::new()
                .call(Call::chat(model))
                .run(|call| policy.authorize(call))
                .0
        };
        assert!(ask("gpt-4o").is_ok());
        assert_eq!(ask("claude-sonnet-4").unwrap_err().status, 403);
    }
}
