//! What a policy may ask of its call, and change in it: the same rules as in the gateway, over the
//! same code for each dialect.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use weir_policy::{CallHost, Message};
use weir_wire::endpoint::BodyKind;
use weir_wire::json::{self, JsonError};
use weir_wire::prompt;

use super::call::{Call, or_usual, provider};

impl Call {
    fn count(&self) {
        self.imports.fetch_add(1, Ordering::Relaxed);
    }

    fn edit_json(
        &self,
        edit: impl FnOnce(&[u8]) -> Result<Vec<u8>, JsonError>,
    ) -> Result<(), String> {
        if self.body_kind != BodyKind::Json {
            return Err("the body of this call is not JSON".to_owned());
        }
        let mut asked = self.asked();
        asked.body = Bytes::from(edit(&asked.body).map_err(|error| error.to_string())?);
        Ok(())
    }
}

impl CallHost for Call {
    fn id(&self) -> String {
        self.count();
        or_usual(self.caller.id.as_ref(), "req_1").to_string()
    }
    fn dialect(&self) -> String {
        self.count();
        self.dialect.as_str().to_owned()
    }
    fn method(&self) -> String {
        self.count();
        self.method.clone()
    }
    fn path(&self) -> String {
        self.count();
        self.path.clone()
    }
    fn query(&self) -> Vec<(String, String)> {
        self.count();
        form_urlencoded::parse(self.query.as_bytes())
            .filter(|(name, _)| name != "key")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect()
    }
    fn tenant(&self) -> Arc<str> {
        self.count();
        or_usual(self.caller.tenant.as_ref(), "acme")
    }
    fn key(&self) -> Arc<str> {
        self.count();
        or_usual(self.caller.key.as_ref(), "key_1")
    }
    fn client_ip(&self) -> String {
        self.count();
        or_usual(self.caller.ip.as_ref(), "192.0.2.1").to_string()
    }
    fn label(&self, name: &str) -> Option<String> {
        self.count();
        self.caller.labels.get(name).cloned()
    }
    fn header(&self, name: &str) -> Option<String> {
        self.count();
        self.asked()
            .headers
            .get(&name.to_ascii_lowercase())
            .cloned()
    }
    fn headers(&self) -> Vec<(String, String)> {
        self.count();
        let asked = self.asked();
        let pairs = asked.headers.iter();
        pairs
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
    fn json(&self, pointer: &str) -> Option<String> {
        self.count();
        let asked = self.asked();
        json::get(&asked.body, pointer)
            .ok()
            .flatten()
            .map(str::to_owned)
    }
    fn messages(&self) -> Vec<Message> {
        self.count();
        let messages = prompt::messages(self.dialect, &self.asked().body).unwrap_or_default();
        let message = |message: prompt::Message| Message {
            role: message.role,
            text: message.text,
        };
        messages.into_iter().map(message).collect()
    }
    fn body(&self) -> Bytes {
        self.count();
        self.asked().body.clone()
    }

    fn channel_name(&self, channel: u32) -> Arc<str> {
        self.count();
        self.channel(channel)
            .map_or_else(Arc::default, |channel| Arc::from(channel.name.as_str()))
    }
    fn channel_provider(&self, channel: u32) -> String {
        self.count();
        let channel = self.channel(channel);
        let provider = channel.and_then(provider);
        provider.unwrap_or_default().to_owned()
    }
    fn channel_model(&self, channel: u32) -> String {
        self.count();
        let Some(channel) = self.channel(channel) else {
            return String::new();
        };
        channel
            .model
            .clone()
            .unwrap_or_else(|| self.asked().model.clone())
    }
    fn channel_label(&self, channel: u32, name: &str) -> Option<String> {
        self.count();
        self.channel(channel)?.labels.get(name).cloned()
    }

    fn set_model(&self, model: &str) -> Result<(), String> {
        self.count();
        let mut asked = self.asked();
        if !self.needs_model && asked.model.is_empty() {
            return Err("this call has no model".to_owned());
        }
        model.clone_into(&mut asked.model);
        Ok(())
    }
    fn set_header(&self, name: &str, value: &str) -> Result<(), String> {
        self.count();
        let name = header_name(name)?;
        http::HeaderValue::from_str(value)
            .map_err(|_| "a header value holds visible ASCII only".to_owned())?;
        self.asked().headers.insert(name, value.to_owned());
        Ok(())
    }
    fn remove_header(&self, name: &str) -> Result<(), String> {
        self.count();
        let name = header_name(name)?;
        self.asked().headers.remove(&name);
        Ok(())
    }
    fn set_json(&self, pointer: &str, json: &str) -> Result<(), String> {
        self.count();
        self.edit_json(|body| json::set(body, pointer, json))
    }
    fn remove_json(&self, pointer: &str) -> Result<(), String> {
        self.count();
        self.edit_json(|body| json::remove(body, pointer))
    }
    fn prepend_system(&self, text: &str) -> Result<(), String> {
        self.count();
        self.edit_json(|body| prompt::prepend_system(self.dialect, body, text))
    }
    fn set_message_text(&self, index: u32, text: &str) -> Result<(), String> {
        self.count();
        let index = usize::try_from(index).map_err(|_| "no such message".to_owned())?;
        self.edit_json(|body| prompt::set_message_text(self.dialect, body, index, text))
    }
    fn replace_body(&self, body: Vec<u8>) -> Result<(), String> {
        self.count();
        self.asked().body = Bytes::from(body);
        Ok(())
    }
}

fn header_name(name: &str) -> Result<String, String> {
    const OWN: [&str; 6] = [
        "authorization",
        "x-api-key",
        "x-goog-api-key",
        "x-request-id",
        "content-type",
        "content-length",
    ];
    let name = http::HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("`{name}` is no header name"))?;
    if OWN.contains(&name.as_str()) {
        return Err(format!("`{name}` is set by the gateway itself"));
    }
    Ok(name.as_str().to_owned())
}
