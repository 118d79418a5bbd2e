//! The gateway's side, for tests: a call whose edits are written down and services that live in
//! memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use weir_policy::{
    CallHost, Completion, HttpRequest, LogLevel, Message, Operation, Response, Services, Summary,
    Usage, Who,
};

/// The channels that there are; a channel's number is its place.
const CHANNELS: [&str; 3] = ["a", "b", "c"];

pub(crate) struct TestCall {
    pub(crate) tenant: Arc<str>,
    pub(crate) key: Arc<str>,
    pub(crate) body: Bytes,
    pub(crate) edits: Mutex<Vec<String>>,
}

impl Default for TestCall {
    fn default() -> Self {
        Self {
            tenant: "acme".into(),
            key: "key_1".into(),
            body: Bytes::new(),
            edits: Mutex::default(),
        }
    }
}

impl TestCall {
    fn edit(&self, edit: String) -> Result<(), String> {
        self.edits.lock().unwrap().push(edit);
        Ok(())
    }
}

impl CallHost for TestCall {
    fn id(&self) -> String {
        "req_1".into()
    }
    fn dialect(&self) -> String {
        "openai.chat".into()
    }
    fn method(&self) -> String {
        "POST".into()
    }
    fn path(&self) -> String {
        "/v1/chat/completions".into()
    }
    fn query(&self) -> Vec<(String, String)> {
        vec![("alt".into(), "sse".into())]
    }
    fn tenant(&self) -> Arc<str> {
        Arc::clone(&self.tenant)
    }
    fn key(&self) -> Arc<str> {
        Arc::clone(&self.key)
    }
    fn client_ip(&self) -> String {
        "192.0.2.7".into()
    }
    fn label(&self, name: &str) -> Option<String> {
        (name == "plan").then(|| "pro".into())
    }
    fn header(&self, name: &str) -> Option<String> {
        (name == "user-agent").then(|| "test".into())
    }
    fn headers(&self) -> Vec<(String, String)> {
        vec![("user-agent".into(), "test".into())]
    }
    fn json(&self, pointer: &str) -> Option<String> {
        (pointer == "/model").then(|| "\"gpt-4o\"".into())
    }
    fn messages(&self) -> Vec<Message> {
        vec![Message {
            role: "user".into(),
            text: "hi".into(),
        }]
    }
    fn body(&self) -> Bytes {
        self.body.clone()
    }
    fn channel_name(&self, channel: u32) -> Arc<str> {
        CHANNELS
            .get(channel as usize)
            .map_or_else(Arc::default, |name| Arc::from(*name))
    }
    fn channel_provider(&self, channel: u32) -> String {
        let known = CHANNELS.get(channel as usize).map_or("", |_| "openai");
        known.to_owned()
    }
    fn channel_model(&self, channel: u32) -> String {
        format!("{}/gpt-4o", self.channel_name(channel))
    }
    fn channel_label(&self, channel: u32, name: &str) -> Option<String> {
        (channel == 0 && name == "region").then(|| "eu".into())
    }
    fn set_model(&self, model: &str) -> Result<(), String> {
        self.edit(format!("model={model}"))
    }
    fn set_header(&self, name: &str, value: &str) -> Result<(), String> {
        self.edit(format!("{name}: {value}"))
    }
    fn remove_header(&self, name: &str) -> Result<(), String> {
        self.edit(format!("-{name}"))
    }
    fn set_json(&self, pointer: &str, json: &str) -> Result<(), String> {
        self.edit(format!("{pointer}={json}"))
    }
    fn remove_json(&self, pointer: &str) -> Result<(), String> {
        self.edit(format!("-{pointer}"))
    }
    fn prepend_system(&self, text: &str) -> Result<(), String> {
        self.edit(format!("system: {text}"))
    }
    fn set_message_text(&self, index: u32, text: &str) -> Result<(), String> {
        self.edit(format!("{index}: {text}"))
    }
    fn replace_body(&self, body: Vec<u8>) -> Result<(), String> {
        self.edit(String::from_utf8(body).unwrap())
    }
}

#[derive(Default)]
pub(crate) struct TestServices {
    pub(crate) store: Mutex<HashMap<String, Vec<u8>>>,
    pub(crate) lines: Mutex<Vec<String>>,
    pub(crate) counted: Mutex<HashMap<String, u32>>,
    pub(crate) sent: Mutex<Vec<HttpRequest>>,
    /// Milliseconds that `send` takes.
    pub(crate) send_ms: AtomicU64,
    /// How many times a `Services` method was reached by `send` and is under way.
    pub(crate) sending: AtomicU64,
}

impl Services for TestServices {
    fn store_get(&self, _: Who<'_>, key: &str) -> Option<Vec<u8>> {
        self.store.lock().unwrap().get(key).cloned()
    }
    fn store_set(
        &self,
        who: Who<'_>,
        key: &str,
        value: Vec<u8>,
        _: Option<u32>,
    ) -> Result<(), String> {
        assert_eq!(who.policy.name, "probe");
        self.store.lock().unwrap().insert(key.into(), value);
        Ok(())
    }
    fn store_remove(&self, _: Who<'_>, key: &str) {
        self.store.lock().unwrap().remove(key);
    }
    fn store_add(&self, _: Who<'_>, key: &str, by: i64, _: Option<u32>) -> Result<i64, String> {
        let mut store = self.store.lock().unwrap();
        let value = store.entry(key.into()).or_insert_with(|| b"0".to_vec());
        let sum = std::str::from_utf8(value).unwrap().parse::<i64>().unwrap() + by;
        *value = sum.to_string().into_bytes();
        Ok(sum)
    }
    fn log(&self, who: Who<'_>, _: LogLevel, message: &str) {
        let call = who.call.map(CallHost::id).unwrap_or_default();
        self.lines
            .lock()
            .unwrap()
            .push(format!("{}|{call}|{message}", who.policy.name));
    }
    fn count(&self, _: Who<'_>, name: &str, by: u32, _: &[(String, String)]) {
        *self.counted.lock().unwrap().entry(name.into()).or_default() += by;
    }
    fn observe(&self, _: Who<'_>, _: &str, _: f64, _: &[(String, String)]) {}
    fn now_ms(&self) -> u64 {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        u64::try_from(now.as_millis()).unwrap()
    }
    fn secret(&self, _: Who<'_>, name: &str) -> Option<String> {
        Some(format!("secret of {name}"))
    }
    fn ban(&self, _: Who<'_>, _: &str, _: u32, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn complete<'a>(
        &'a self,
        _: Who<'a>,
        _: String,
        _: Vec<Message>,
        _: u32,
    ) -> BoxFuture<'a, Result<Completion, String>> {
        async {
            Ok(Completion {
                text: "yes".into(),
                usage: no_usage(),
            })
        }
        .boxed()
    }
    fn count_tokens<'a>(&'a self, _: Who<'a>, _: String, text: String) -> BoxFuture<'a, u32> {
        async move { u32::try_from(text.len() / 4).unwrap() }.boxed()
    }
    fn send<'a>(
        &'a self,
        _: Who<'a>,
        request: HttpRequest,
    ) -> BoxFuture<'a, Result<Response, String>> {
        async move {
            self.sent.lock().unwrap().push(request);
            self.sending.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(self.send_ms.load(Ordering::SeqCst))).await;
            self.sending.fetch_sub(1, Ordering::SeqCst);
            Ok(Response {
                status: 200,
                headers: vec![],
                body: vec![],
            })
        }
        .boxed()
    }
}

pub(crate) fn no_usage() -> Usage {
    Usage {
        input_tokens: 0,
        output_tokens: 0,
        cached_tokens: 0,
        cache_write_tokens: 0,
        reasoning_tokens: 0,
        cost_micros: 0,
        estimated: false,
    }
}

pub(crate) fn summary(model: &str) -> Summary<'_> {
    Summary {
        operation: Operation::Chat,
        model,
        streaming: true,
        input_tokens: 12,
        max_output_tokens: 0,
    }
}
