//! The imports of `wit/`, implemented: bounds first, then grants, then the gateway.
//!
//! `edit` goes to the call that the running hook is about, as do `call` and `channels` (in
//! `link.rs`), everything else to [`crate::Services`]. Where a guest breaks a bound it traps; where
//! it asks for what it may not have it gets an error that says so.

use std::sync::Arc;

use crate::bindings::weir::policy as wit;
use crate::bounds;
use crate::hook::Hook;
use crate::services::CallHost;
use crate::state::State;
use crate::types::{Completion, HttpRequest, LogLevel, Message, Response};

/// The call that a hook is about, as it stands in the store.
type Bound = dyn CallHost + 'static;

impl State {
    /// Runs an edit, if this is the time for edits.
    fn edit(
        &mut self,
        edit: impl FnOnce(&Bound) -> Result<(), String>,
    ) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        Ok(match (self.hook, &self.call) {
            (Hook::Rewrite, Some(call)) => edit(&**call),
            _ => Err("the request can only be changed while `rewrite` runs".to_owned()),
        })
    }
}

type Edited = wasmtime::Result<Result<(), String>>;

impl wit::edit::Host for State {
    fn set_model(&mut self, model: String) -> Edited {
        self.edit(|call| call.set_model(&model))
    }
    fn set_header(&mut self, name: String, value: String) -> Edited {
        self.edit(|call| call.set_header(&name, &value))
    }
    fn remove_header(&mut self, name: String) -> Edited {
        self.edit(|call| call.remove_header(&name))
    }
    fn set_json(&mut self, pointer: String, json: String) -> Edited {
        self.edit(|call| call.set_json(&pointer, &json))
    }
    fn remove_json(&mut self, pointer: String) -> Edited {
        self.edit(|call| call.remove_json(&pointer))
    }
    fn prepend_system(&mut self, text: String) -> Edited {
        self.edit(|call| call.prepend_system(&text))
    }
    fn set_message_text(&mut self, index: u32, text: String) -> Edited {
        self.edit(|call| call.set_message_text(index, &text))
    }
    fn replace_body(&mut self, body: Vec<u8>) -> Edited {
        self.edit(|call| call.replace_body(body))
    }
}

fn check_key(key: &str) -> Result<(), String> {
    if key.len() <= bounds::STORE_KEY_MAX_BYTES {
        Ok(())
    } else {
        Err(format!(
            "a key has at most {} bytes",
            bounds::STORE_KEY_MAX_BYTES
        ))
    }
}

impl wit::store::Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.charge_store()?;
        // No such key was ever set.
        if check_key(&key).is_err() {
            return Ok(None);
        }
        let value = self.services.store_get(self.who(), &key);
        self.charge_bytes(value.as_ref().map_or(0, Vec::len))?;
        Ok(value)
    }

    fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u32>,
    ) -> wasmtime::Result<Result<(), String>> {
        self.charge_store()?;
        if let Err(refusal) = check_key(&key) {
            return Ok(Err(refusal));
        }
        if value.len() > bounds::STORE_VALUE_MAX_BYTES {
            let max = bounds::STORE_VALUE_MAX_BYTES;
            return Ok(Err(format!("a value has at most {max} bytes")));
        }
        Ok(self.services.store_set(self.who(), &key, value, ttl_ms))
    }

    fn remove(&mut self, key: String) -> wasmtime::Result<()> {
        self.charge_store()?;
        if check_key(&key).is_ok() {
            self.services.store_remove(self.who(), &key);
        }
        Ok(())
    }

    fn add(
        &mut self,
        key: String,
        by: i64,
        ttl_ms: Option<u32>,
    ) -> wasmtime::Result<Result<i64, String>> {
        self.charge_store()?;
        if let Err(refusal) = check_key(&key) {
            return Ok(Err(refusal));
        }
        Ok(self.services.store_add(self.who(), &key, by, ttl_ms))
    }
}

impl wit::log::Host for State {
    fn write(&mut self, level: LogLevel, message: String) -> wasmtime::Result<()> {
        self.charge()?;
        let left = bounds::LOG_MAX_BYTES.saturating_sub(self.spent.log_bytes);
        self.spent.log_bytes = self.spent.log_bytes.saturating_add(message.len().max(1));
        if left == 0 {
            return Ok(());
        }
        if message.len() <= left {
            self.services.log(self.who(), level, &message);
        } else {
            let kept = message
                .get(..message.floor_char_boundary(left))
                .unwrap_or_default();
            self.services
                .log(self.who(), level, &format!("{kept} [cut by the host]"));
        }
        Ok(())
    }
}

impl State {
    /// One more measurement, with so many labels; false where the hook has had its share.
    pub(crate) fn may_measure(&mut self, labels: usize) -> wasmtime::Result<bool> {
        self.charge()?;
        self.spent.metrics += 1;
        Ok(self.spent.metrics <= bounds::METRICS_MAX && labels <= bounds::METRIC_LABELS_MAX)
    }
}

impl wit::clock::Host for State {
    fn now_ms(&mut self) -> wasmtime::Result<u64> {
        self.charge()?;
        Ok(self.services.now_ms())
    }
}

impl wit::secrets::Host for State {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.charge()?;
        if !self.grants.allows_secret(&name) {
            return Ok(None);
        }
        Ok(self.services.secret(self.who(), &name))
    }
}

const TOO_MANY: &str = "one hook may not reach out that often";

impl wit::firewall::Host for State {
    fn ban(
        &mut self,
        ip: String,
        for_ms: u32,
        reason: String,
    ) -> wasmtime::Result<Result<(), String>> {
        if !self.charge_outbound()? {
            return Ok(Err(TOO_MANY.to_owned()));
        }
        if !self.grants.firewall {
            return Ok(Err("`firewall` was not granted".to_owned()));
        }
        Ok(self.services.ban(self.who(), &ip, for_ms, &reason))
    }
}

impl wit::models::Host for State {
    async fn complete(
        &mut self,
        model: String,
        messages: Vec<Message>,
        max_output_tokens: u32,
    ) -> wasmtime::Result<Result<Completion, String>> {
        if !self.charge_outbound()? {
            return Ok(Err(TOO_MANY.to_owned()));
        }
        if !self.grants.allows_model(&model) {
            return Ok(Err(format!("the model `{model}` was not granted")));
        }
        let left = self.begin_wait();
        let services = Arc::clone(&self.services);
        let asked = services.complete(self.who(), model, messages, max_output_tokens);
        let answer = within(left, asked).await;
        self.end_wait();
        Ok(answer)
    }

    async fn count_tokens(&mut self, model: String, text: String) -> wasmtime::Result<u32> {
        if !self.charge_outbound()? || !self.grants.allows_model(&model) {
            return Ok(0);
        }
        let left = self.begin_wait();
        let services = Arc::clone(&self.services);
        let asked = services.count_tokens(self.who(), model, text);
        let tokens = tokio::time::timeout(left, asked).await.unwrap_or(0);
        self.end_wait();
        Ok(tokens)
    }
}

impl wit::http::Host for State {
    async fn send(
        &mut self,
        mut request: HttpRequest,
    ) -> wasmtime::Result<Result<Response, String>> {
        if !self.charge_outbound()? {
            return Ok(Err(TOO_MANY.to_owned()));
        }
        if let Err(refusal) = self.grants.check_url(&request.url) {
            return Ok(Err(refusal));
        }
        let left = self.begin_wait();
        let left_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
        request.timeout_ms = match request.timeout_ms {
            0 => left_ms,
            asked => asked.min(left_ms),
        };
        let services = Arc::clone(&self.services);
        let answer = within(left, services.send(self.who(), request)).await;
        self.end_wait();
        if let Ok(response) = &answer {
            self.charge_bytes(response.body.len())?;
        }
        Ok(answer)
    }
}

async fn within<T>(
    left: std::time::Duration,
    asked: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    tokio::time::timeout(left, asked)
        .await
        .unwrap_or_else(|_| Err("the hook's time is over".to_owned()))
}
