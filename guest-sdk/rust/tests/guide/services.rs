//! Asks another service about a key, and remembers what it said: `http`, `secrets`, `store`, `clock`.

use weir_sdk::http::{self, Request};
use weir_sdk::prelude::*;
use weir_sdk::{call, log, secrets, store};

/// How long an answer of the service is believed.
const KNOWN_FOR_MS: u32 = 300_000;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Billing {
    url: String,
}

impl Policy for Checked {
    fn configure(config: &str) -> Result<Self, Vec<String>> {
        let Billing { url } = weir_sdk::config::parse(config)?;
        if !url.starts_with("https://") {
            return Err(vec!["url: must begin with https://".to_owned()]);
        }
        Ok(Checked { url })
    }
}

struct Checked {
    url: String,
}

impl Access for Checked {
    fn authorize(&self, _: &Summary) -> Result<(), Denial> {
        let key = call::key();
        let is_paid = match store::get(&key) {
            Some(known) => known == b"paid",
            None => self.ask(&key)?,
        };
        if is_paid {
            return Ok(());
        }
        Err(Denial::new(
            402,
            "not_paid",
            "The invoice of this key is open: pay it, then try again.",
        ))
    }
}

impl Checked {
    fn ask(&self, key: &str) -> Result<bool, Denial> {
        let token = secrets::get("billing-token").unwrap_or_default();
        let answer = http::send(&Request {
            method: "GET".to_owned(),
            url: format!("{}/{key}", self.url),
            headers: vec![("authorization".to_owned(), format!("Bearer {token}"))],
            body: Vec::new(),
            timeout_ms: 500,
        });
        let answer = answer.map_err(|why| {
            log::warn!("billing does not answer: {why}");
            Denial::new(
                503,
                "billing_unknown",
                "Billing does not answer; try again soon.",
            )
        })?;
        let is_paid = answer.status == 200;
        let word: &[u8] = if is_paid { b"paid" } else { b"open" };
        if let Err(why) = store::set(key, word, Some(KNOWN_FOR_MS)) {
            log::warn!("not remembered: {why}");
        }
        Ok(is_paid)
    }
}

weir_sdk::export!(Checked: access);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::{Call, Host};

    #[test]
    fn the_service_is_asked_once_in_a_while() {
        let policy = Checked::configure(r#"{"url": "https://billing.test/keys"}"#).unwrap();
        let answer = |request: &Request| {
            assert_eq!(request.headers[0].1, "Bearer t0ken");
            let status = if request.url.ends_with("/good") {
                200
            } else {
                404
            };
            Ok(Response::json(status, &serde_json::Value::Null))
        };
        let mut host = Host::new().secret("billing-token", "t0ken").http(answer);
        let mut ask = |key, after_ms| {
            host.advance_ms(after_ms);
            host.set_call(Call::chat("gpt-4o").key(key));
            host.run(|call| policy.authorize(call))
        };
        assert!(ask("good", 0).0.is_ok());
        let (again, seen) = ask("good", 1_000);
        assert!(again.is_ok());
        assert_eq!(seen.imports, 2, "the key and the store, nobody else");
        assert_eq!(ask("other", 0).0.unwrap_err().status, 402);
        assert_eq!(ask("good", u64::from(KNOWN_FOR_MS)).1.imports, 5);
    }

    #[test]
    fn mistakes_in_the_configuration_name_the_setting() {
        let errors = Checked::configure(r#"{"url": "ftp://x"}"#).err().unwrap();
        assert_eq!(errors, ["url: must begin with https://"]);
    }
}
