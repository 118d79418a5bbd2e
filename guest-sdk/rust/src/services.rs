//! The smaller imports, one module each. Those that reach out of the gateway need a grant.

/// The policy's own metrics, exported under the policy's name.
pub mod metrics {
    use crate::raw::metrics as raw;

    /// Adds to a counter.
    pub fn count(name: &str, by: u32, labels: &[(&str, &str)]) {
        raw::count(name, by, &owned(labels));
    }

    /// Puts a value into a histogram; the name says its unit.
    pub fn observe(name: &str, value: f64, labels: &[(&str, &str)]) {
        raw::observe(name, value, &owned(labels));
    }

    fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
        labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }
}

/// The host's clock.
pub mod clock {
    /// Milliseconds since the Unix epoch.
    pub fn now_ms() -> u64 {
        crate::raw::clock::now_ms()
    }
}

/// Values the operator granted to this policy by name.
pub mod secrets {
    /// The value; none where the name was not granted or has no value.
    pub fn get(name: &str) -> Option<String> {
        crate::raw::secrets::get(name)
    }
}

/// Keep an address out for a while.
pub mod firewall {
    /// Bans an address for that many milliseconds; the reason goes to the log.
    pub fn ban(ip: &str, for_ms: u32, reason: &str) -> Result<(), String> {
        crate::raw::firewall::ban(ip, for_ms, reason)
    }
}

/// Ask a model through the gateway itself, on the policy's own account. Needs a grant.
pub mod models {
    pub use crate::bindings::imports::weir::policy::models::Completion;
    use crate::raw::models as raw;
    use crate::types::Message;

    /// Asks a model and waits for the whole answer, of at most so many tokens.
    pub fn complete(
        model: &str,
        messages: &[Message],
        max_output_tokens: u32,
    ) -> Result<Completion, String> {
        raw::complete(model, messages, max_output_tokens)
    }

    /// How many tokens the text is for that model, by the host's tokenizer.
    pub fn count_tokens(model: &str, text: &str) -> u32 {
        raw::count_tokens(model, text)
    }
}

/// Outgoing HTTP to the hosts that the operator granted, and to no other.
pub mod http {
    pub use crate::bindings::imports::weir::policy::http::Request;
    use crate::types::Response;

    /// Sends it and waits for the whole response. Redirects are not followed.
    pub fn send(request: &Request) -> Result<Response, String> {
        crate::raw::http::send(request)
    }

    /// A GET with no headers and a time-out in milliseconds for the whole exchange.
    pub fn get(url: &str, timeout_ms: u32) -> Result<Response, String> {
        send(&Request {
            method: "GET".to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms,
        })
    }
}
