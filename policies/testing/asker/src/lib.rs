//! A policy for tests: it asks a model about each call, and denies what the model says `no` to.
//!
//! Configuration: `model`, which it asks; `spared`, calls for a model that begins so are not asked about
//! (default: none is spared, so that its own questions are asked about too).

use weir_sdk::prelude::*;
use weir_sdk::{Message, models};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Asker {
    model: String,
    spared: Option<String>,
}

impl Access for Asker {
    fn authorize(&self, call: &Summary) -> Result<(), Denial> {
        let spared = self.spared.as_deref();
        if spared.is_some_and(|spared| call.model.starts_with(spared)) {
            return Ok(());
        }
        let question = Message {
            role: "user".to_owned(),
            text: format!("May {} be asked?", call.model),
        };
        let answer = models::complete(&self.model, &[question], 10);
        let answer = answer.map_err(|error| Denial::forbidden("not_asked", error))?;
        if answer.text.contains("no") {
            return Err(Denial::forbidden("said_no", answer.text));
        }
        Ok(())
    }
}

weir_sdk::export!(Asker: access);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::Host;

    #[test]
    fn what_cannot_be_asked_is_denied() {
        let asker = Asker::configure(r#"{ "model": "judge" }"#).unwrap();
        let (result, _) = Host::new().run(|call| asker.authorize(call));
        assert_eq!(result.unwrap_err().code, "not_asked");
    }
}
