//! Bounds what a call may cost, and tells the model whom it works for.

use weir_sdk::prelude::*;
use weir_sdk::{call, edit, log};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct House {
    max_output_tokens: u32,
    instruction: String,
}

impl Rewrite for House {
    fn rewrite(&self, call: &Summary) -> Result<(), Denial> {
        if call.operation != Operation::Chat {
            return Ok(());
        }
        edit::prepend_system(&self.instruction).map_err(refused)?;
        let asked = call.max_output_tokens;
        if call::dialect() == "openai.chat" && (asked == 0 || asked > self.max_output_tokens) {
            edit::set_value("/max_completion_tokens", &self.max_output_tokens).map_err(refused)?;
            edit::remove_json("/max_tokens").map_err(refused)?;
        }
        Ok(())
    }
}

/// What the gateway did not change is not sent as it is: the instruction is not optional.
fn refused(why: String) -> Denial {
    log::warn!("not changed: {why}");
    Denial::bad_request(
        "not_changed",
        "The request has another form than its API describes.",
    )
}

weir_sdk::export!(House: rewrite);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::{Call, Host};

    #[test]
    fn the_request_is_bounded_and_instructed() {
        let policy = House::configure(r#"{"max_output_tokens": 500, "instruction": "Be brief."}"#);
        let policy = policy.unwrap();
        let call = Call::chat("gpt-4o")
            .messages(&[("user", "Hi")])
            .tokens(5, 9_000);
        let (result, seen) = Host::new().call(call).run(|call| policy.rewrite(call));
        assert!(result.is_ok());
        let body = seen.json();
        assert_eq!(body["max_completion_tokens"], 500);
        assert_eq!(body["messages"][0]["content"], "Be brief.");
    }
}
