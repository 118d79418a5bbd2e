//! The policy weir-template; README.md says what it does.

// weir:if events
use std::collections::BTreeMap;

// weir:end
use weir_sdk::prelude::*;
// weir:if access
use weir_sdk::select::Pattern;
// weir:end
// weir:if limit
use weir_sdk::call;
// weir:end
// weir:if route
use weir_sdk::channels;
// weir:end
// weir:if rewrite
use weir_sdk::edit;
// weir:end
// weir:if audit
use weir_sdk::metrics;
// weir:end

/// The settings: what may stand under `[policy.config]`. Errors name the setting.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WeirTemplate {
    // weir:if access
    /// Models that nobody may use; a `*` stands for anything.
    denied_models: Vec<String>,
    // weir:end
    // weir:if rewrite
    /// Put ahead of every prompt.
    instruction: String,
    // weir:end
    // weir:if limit
    /// For each key; 0 for no limit.
    requests_per_minute: u64,
    // weir:end
    // weir:if answer
    /// The answer to every call, while it is set.
    notice: String,
    // weir:end
    // weir:if route
    /// Only channels with this label `region`.
    region: String,
    // weir:end
    // weir:if reply
    /// What the header `x-stamp` of every reply says.
    stamp: String,
    // weir:end
    // weir:if events
    /// Words of streamed answers, and what stands in their place.
    replace: BTreeMap<String, String>,
    // weir:end
}

// weir:if access
impl Access for WeirTemplate {
    fn authorize(&self, call: &Summary) -> Result<(), Denial> {
        let denied = |pattern: &String| Pattern::new(pattern).matches(&call.model);
        if self.denied_models.iter().any(denied) {
            let message = format!("The model `{}` may not be used here.", call.model);
            return Err(Denial::forbidden("model_denied", message));
        }
        Ok(())
    }
}

// weir:end
// weir:if rewrite
impl Rewrite for WeirTemplate {
    fn rewrite(&self, _: &Summary) -> Result<(), Denial> {
        if self.instruction.is_empty() {
            return Ok(());
        }
        edit::prepend_system(&self.instruction).map_err(|error| {
            let message = format!("The instruction could not be added: {error}");
            Denial::bad_request("not_changed", message)
        })
    }
}

// weir:end
// weir:if limit
impl Limit for WeirTemplate {
    fn limits(&self, _: &Summary) -> Result<Vec<Rule>, Denial> {
        if self.requests_per_minute == 0 {
            return Ok(Vec::new());
        }
        Ok(vec![Rule {
            key: format!("key:{}", call::key()),
            unit: Unit::Requests,
            window: Window::Sliding(60),
            limit: self.requests_per_minute,
        }])
    }
}

// weir:end
// weir:if answer
impl Answer for WeirTemplate {
    fn answer(&self, _: &Summary) -> Result<Option<Response>, Denial> {
        if self.notice.is_empty() {
            return Ok(None);
        }
        Ok(Some(Response {
            status: 503,
            headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
            body: self.notice.clone().into_bytes(),
        }))
    }
}

// weir:end
// weir:if route
impl Route for WeirTemplate {
    fn route(&self, _: &Summary, mut candidates: Vec<Candidate>) -> Result<Vec<Attempt>, Denial> {
        let region = &self.region;
        candidates.retain(|one| {
            region.is_empty() || channels::label(one.channel, "region").as_ref() == Some(region)
        });
        if candidates.is_empty() {
            let message = format!("No channel of the region `{region}` serves this model.");
            return Err(Denial::new(503, "no_channel", message));
        }
        // Channels that cannot be used now come last; within each group the highest priority first.
        candidates.sort_by_key(|one| (!one.is_usable(), std::cmp::Reverse(one.priority)));
        Ok(candidates.iter().map(|one| Attempt::at(one.channel)).collect())
    }
}

// weir:end
// weir:if reply
impl Reply for WeirTemplate {
    fn reply(&self, _: &Summary, mut response: Response) -> Result<Option<Response>, Denial> {
        if self.stamp.is_empty() {
            return Ok(None);
        }
        response.headers.push(("x-stamp".to_owned(), self.stamp.clone()));
        Ok(Some(response))
    }
}

// weir:end
// weir:if events
impl Events for WeirTemplate {
    /// What is remembered between the events of one stream: nothing.
    type Stream = ();

    fn open(&self, _: &Summary) -> Option<()> {
        (!self.replace.is_empty()).then_some(())
    }

    fn push(&self, (): &mut (), event: Event) -> Result<Action, Denial> {
        let Event::Text(mut delta) = event else {
            return Ok(Action::Pass);
        };
        let mut text = delta.text.clone();
        for (word, instead) in &self.replace {
            text = text.replace(word, instead);
        }
        if text == delta.text {
            return Ok(Action::Pass);
        }
        delta.text = text;
        Ok(Action::Replace(vec![Event::Text(delta)]))
    }
}

// weir:end
// weir:if audit
impl Audit for WeirTemplate {
    fn finished(&self, outcome: &Outcome) {
        metrics::count("calls_finished", 1, &[("status", &outcome.status.to_string())]);
    }
}

// weir:end
weir_sdk::export!(WeirTemplate: weir-hooks-bare);

#[cfg(test)]
mod tests {
    use weir_sdk::testing::{Call, Host};

    use super::*;

    fn configured(config: &str) -> WeirTemplate {
        weir_sdk::config::parse(config).unwrap()
    }

    // weir:if access
    #[test]
    fn a_denied_model() {
        let policy = configured(r#"{"denied_models": ["o1*"]}"#);
        let asked = |model: &str| {
            Host::new().call(Call::chat(model)).run(|call| policy.authorize(call)).0
        };
        assert!(asked("gpt-4o").is_ok());
        assert_eq!(asked("o1-pro").unwrap_err().code, "model_denied");
    }

    // weir:end
    // weir:if rewrite
    #[test]
    fn the_instruction_comes_first() {
        let policy = configured(r#"{"instruction": "Be brief."}"#);
        let (result, seen) = Host::new().run(|call| policy.rewrite(call));
        assert!(result.is_ok());
        assert_eq!(seen.json()["messages"][0]["content"], "Be brief.");
    }

    // weir:end
    // weir:if limit
    #[test]
    fn a_bucket_for_each_key() {
        let policy = configured(r#"{"requests_per_minute": 60}"#);
        let call = Call::chat("gpt-4o").key("key_7");
        let (rules, _) = Host::new().call(call).run(|call| policy.limits(call));
        assert_eq!(rules.unwrap()[0].key, "key:key_7");
    }

    // weir:end
    // weir:if answer
    #[test]
    fn the_notice_is_the_answer() {
        let policy = configured(r#"{"notice": "Back at nine."}"#);
        let (answer, _) = Host::new().run(|call| policy.answer(call));
        assert_eq!(answer.unwrap().unwrap().body, b"Back at nine.");
    }

    // weir:end
    // weir:if route
    #[test]
    fn without_a_channel_of_the_region_the_call_is_denied() {
        let policy = configured(r#"{"region": "eu"}"#);
        let (attempts, _) = Host::new().run(|call| policy.route(call, Vec::new()));
        assert_eq!(attempts.unwrap_err().code, "no_channel");
    }

    // weir:end
    // weir:if reply
    #[test]
    fn replies_are_stamped() {
        let policy = configured(r#"{"stamp": "checked"}"#);
        let response = Response { status: 200, headers: Vec::new(), body: Vec::new() };
        let (reply, _) = Host::new().run(|call| policy.reply(call, response));
        assert_eq!(reply.unwrap().unwrap().headers[0].1, "checked");
    }

    // weir:end
    // weir:if events
    #[test]
    fn words_of_a_stream() {
        let policy = configured(r#"{"replace": {"secret": "[redacted]"}}"#);
        let call = Call::chat("gpt-4o").streaming();
        let (action, _) = Host::new().call(call).run(|call| {
            policy.open(call).unwrap();
            policy.push(&mut (), Event::text("a secret"))
        });
        let Action::Replace(events) = action.unwrap() else {
            panic!("it passes");
        };
        assert!(matches!(&events[..], [Event::Text(delta)] if delta.text == "a [redacted]"));
    }

    // weir:end
    // weir:if audit
    #[test]
    fn finished_calls_are_counted() {
        let policy = configured("{}");
        let ((), seen) = Host::new().run(|call| {
            policy.finished(&Outcome {
                call: call.clone(),
                channel: None,
                status: 200,
                denied: None,
                attempts: 1,
                first_byte_ms: 0,
                total_ms: 0,
                usage: weir_sdk::Usage {
                    input_tokens: 0,
                    output_tokens: 0,
                    cached_tokens: 0,
                    cache_write_tokens: 0,
                    reasoning_tokens: 0,
                    cost_micros: 0,
                    estimated: false,
                },
            });
        });
        assert_eq!(seen.metrics[0].name, "calls_finished");
    }

    // weir:end
    #[test]
    fn a_setting_that_there_is_not() {
        assert!(weir_sdk::config::parse::<WeirTemplate>(r#"{"regoin": "eu"}"#).is_err());
    }
}
