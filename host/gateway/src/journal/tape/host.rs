//! Every import of a policy, by way of the tape.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use weir_policy::{
    CallHost, Completion, Fixed, HttpRequest, LogLevel, Message, Response, Services, Who,
};

use super::{Tape, WITHHELD, Way};
use crate::journal::told::{self, Told};

impl CallHost for Tape {
    fn id(&self) -> String {
        self.call("call.id", Value::Null, |call| call.id())
    }
    fn dialect(&self) -> String {
        self.call("call.dialect", Value::Null, |call| call.dialect())
    }
    fn method(&self) -> String {
        self.call("call.method", Value::Null, |call| call.method())
    }
    fn path(&self) -> String {
        self.call("call.path", Value::Null, |call| call.path())
    }
    fn query(&self) -> Vec<(String, String)> {
        self.call("call.query", Value::Null, |call| call.query())
    }
    fn tenant(&self) -> Arc<str> {
        self.call("call.tenant", Value::Null, |call| call.tenant())
    }
    fn key(&self) -> Arc<str> {
        self.call("call.key", Value::Null, |call| call.key())
    }
    fn client_ip(&self) -> String {
        self.call("call.client-ip", Value::Null, |call| call.client_ip())
    }
    fn label(&self, name: &str) -> Option<String> {
        self.call("call.label", json!([name]), |call| call.label(name))
    }
    fn header(&self, name: &str) -> Option<String> {
        self.call("call.header", json!([name]), |call| call.header(name))
    }
    fn headers(&self) -> Vec<(String, String)> {
        self.call("call.headers", Value::Null, |call| call.headers())
    }
    fn json(&self, pointer: &str) -> Option<String> {
        self.call("call.json", json!([pointer]), |call| call.json(pointer))
    }
    fn messages(&self) -> Vec<Message> {
        self.call("call.messages", Value::Null, |call| call.messages())
    }
    fn depth(&self) -> u32 {
        match &self.way {
            Way::Record { call, .. } => call.depth(),
            Way::Play { .. } => 0,
        }
    }
    fn body(&self) -> Bytes {
        self.call("call.body", Value::Null, |call| call.body())
    }
    fn channel_name(&self, channel: u32) -> Arc<str> {
        self.call("channels.name", json!([channel]), |call| {
            call.channel_name(channel)
        })
    }
    fn channel_provider(&self, channel: u32) -> String {
        self.call("channels.provider", json!([channel]), |call| {
            call.channel_provider(channel)
        })
    }
    fn channel_model(&self, channel: u32) -> String {
        self.call("channels.model", json!([channel]), |call| {
            call.channel_model(channel)
        })
    }
    fn channel_label(&self, channel: u32, name: &str) -> Option<String> {
        self.call("channels.label", json!([channel, name]), |call| {
            call.channel_label(channel, name)
        })
    }
    fn set_model(&self, model: &str) -> Result<(), String> {
        self.call("edit.set-model", json!([model]), |call| {
            call.set_model(model)
        })
    }
    fn set_header(&self, name: &str, value: &str) -> Result<(), String> {
        self.call("edit.set-header", json!([name, value]), |call| {
            call.set_header(name, value)
        })
    }
    fn remove_header(&self, name: &str) -> Result<(), String> {
        self.call("edit.remove-header", json!([name]), |call| {
            call.remove_header(name)
        })
    }
    fn set_json(&self, pointer: &str, json: &str) -> Result<(), String> {
        self.call("edit.set-json", json!([pointer, json]), |call| {
            call.set_json(pointer, json)
        })
    }
    fn remove_json(&self, pointer: &str) -> Result<(), String> {
        self.call("edit.remove-json", json!([pointer]), |call| {
            call.remove_json(pointer)
        })
    }
    fn prepend_system(&self, text: &str) -> Result<(), String> {
        self.call("edit.prepend-system", json!([text]), |call| {
            call.prepend_system(text)
        })
    }
    fn set_message_text(&self, index: u32, text: &str) -> Result<(), String> {
        self.call("edit.set-message-text", json!([index, text]), |call| {
            call.set_message_text(index, text)
        })
    }
    fn replace_body(&self, body: Vec<u8>) -> Result<(), String> {
        self.call("edit.replace-body", told::bytes(&body), |call| {
            call.replace_body(body)
        })
    }
}

/// Who asks, with the call as it is and not as it is taken down.
fn who<'a>(who: Who<'a>, call: &'a dyn CallHost) -> Who<'a> {
    Who {
        policy: who.policy,
        call: who.call.map(|_| call),
    }
}

impl Services for Tape {
    fn fixed(&self) -> Option<Fixed> {
        let seed = self.kept().record.seed;
        Some(Fixed { seed })
    }
    fn store_get(&self, asks: Who<'_>, key: &str) -> Option<Vec<u8>> {
        self.ask("store.get", json!([key]), |call, services| {
            services.store_get(who(asks, call), key)
        })
    }
    fn store_set(
        &self,
        asks: Who<'_>,
        key: &str,
        value: Vec<u8>,
        ttl_ms: Option<u32>,
    ) -> Result<(), String> {
        let with = json!([key, told::bytes(&value), ttl_ms]);
        self.ask("store.set", with, |call, services| {
            services.store_set(who(asks, call), key, value, ttl_ms)
        })
    }
    fn store_remove(&self, asks: Who<'_>, key: &str) {
        self.ask("store.remove", json!([key]), |call, services| {
            services.store_remove(who(asks, call), key);
        });
    }
    fn store_add(
        &self,
        asks: Who<'_>,
        key: &str,
        by: i64,
        ttl_ms: Option<u32>,
    ) -> Result<i64, String> {
        self.ask("store.add", json!([key, by, ttl_ms]), |call, services| {
            services.store_add(who(asks, call), key, by, ttl_ms)
        })
    }
    fn log(&self, asks: Who<'_>, level: LogLevel, message: &str) {
        let with = json!([format!("{level:?}"), message]);
        self.ask("log.write", with, |call, services| {
            services.log(who(asks, call), level, message);
        });
    }
    fn count(&self, asks: Who<'_>, name: &str, by: u32, labels: &[(String, String)]) {
        let with = json!([name, by, labels]);
        self.ask("metrics.count", with, |call, services| {
            services.count(who(asks, call), name, by, labels);
        });
    }
    fn observe(&self, asks: Who<'_>, name: &str, value: f64, labels: &[(String, String)]) {
        // As bits: not every number is one in JSON.
        let with = json!([name, value.to_bits(), labels]);
        self.ask("metrics.observe", with, |call, services| {
            services.observe(who(asks, call), name, value, labels);
        });
    }
    fn now_ms(&self) -> u64 {
        self.ask("clock.now-ms", Value::Null, |_, services| services.now_ms())
    }
    fn secret(&self, asks: Who<'_>, name: &str) -> Option<String> {
        match &self.way {
            Way::Record { call, services, .. } => {
                let secret = services.secret(who(asks, &**call), name);
                let withheld = secret.as_ref().map(|_| WITHHELD.to_owned());
                let mut kept = self.kept();
                let at = kept.asked("secrets.get", json!([name]));
                kept.got(at, withheld.tell());
                kept.secrets.extend(secret.clone());
                secret
            }
            Way::Play { secrets } => {
                let mut kept = self.kept();
                let there: Option<String> = kept.find("secrets.get", json!([name]));
                let secret = there.map(|there| secrets.get(name).cloned().unwrap_or(there));
                kept.secrets.extend(secret.clone());
                secret
            }
        }
    }
    fn ban(&self, asks: Who<'_>, ip: &str, for_ms: u32, reason: &str) -> Result<(), String> {
        let with = json!([ip, for_ms, reason]);
        self.ask("firewall.ban", with, |call, services| {
            services.ban(who(asks, call), ip, for_ms, reason)
        })
    }
    fn complete<'a>(
        &'a self,
        asks: Who<'a>,
        model: String,
        messages: Vec<Message>,
        max_output_tokens: u32,
    ) -> BoxFuture<'a, Result<Completion, String>> {
        let with = json!([model, messages.tell(), max_output_tokens]);
        self.wait("models.complete", with, move |call, services| {
            services.complete(who(asks, call), model, messages, max_output_tokens)
        })
    }
    fn count_tokens<'a>(
        &'a self,
        asks: Who<'a>,
        model: String,
        text: String,
    ) -> BoxFuture<'a, u32> {
        let with = json!([model, text]);
        self.wait("models.count-tokens", with, move |call, services| {
            services.count_tokens(who(asks, call), model, text)
        })
    }
    fn send<'a>(
        &'a self,
        asks: Who<'a>,
        request: HttpRequest,
    ) -> BoxFuture<'a, Result<Response, String>> {
        // Without its time-out, which is what is left of the hook's own time.
        let with = json!([
            request.method,
            request.url,
            request.headers,
            told::bytes(&request.body),
        ]);
        self.wait("http.send", with, move |call, services| {
            services.send(who(asks, call), request)
        })
    }
}
