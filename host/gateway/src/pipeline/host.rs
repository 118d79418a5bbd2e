//! The call as its policies see and edit it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use weir_policy::{CallHost, Message};
use weir_wire::endpoint::BodyKind;
use weir_wire::json::{self, JsonError};
use weir_wire::prompt;

use super::call::{Call, Request};

/// Bytes of a model's name that a policy sets.
const MODEL_MAX_BYTES: usize = 512;
/// Bytes of a header that a policy sets.
const HEADER_MAX_BYTES: usize = 16 << 10;
/// Headers of a request to which a policy may still add one.
const HEADERS_MAX: usize = 256;

/// Headers that belong to the connection or to the gateway: no policy may set them.
fn is_reserved(name: &HeaderName) -> bool {
    super::target::is_own(name)
        || super::cascade::is_ours(name.as_str())
        || matches!(
            name.as_str(),
            "authorization" | "x-api-key" | "x-goog-api-key" | "x-request-id" | "content-type"
        )
}

impl Call {
    /// Lets `edit` make a new body of the JSON body.
    fn edit_json(
        &self,
        edit: impl FnOnce(&[u8]) -> Result<Vec<u8>, JsonError>,
    ) -> Result<(), String> {
        if self.body_kind != BodyKind::Json {
            return Err("the body of this call is not JSON".to_owned());
        }
        let mut request = self.request();
        let edited = edit(&request.body).map_err(|error| error.to_string())?;
        self.replace(&mut request, edited)
    }

    fn replace(&self, request: &mut Request, body: Vec<u8>) -> Result<(), String> {
        let max_bytes = self.snapshot.config.limits.body_max_bytes;
        if body.len() > max_bytes {
            return Err(format!("the body would be larger than {max_bytes} bytes"));
        }
        request.body = Bytes::from(body);
        request.body_changed = true;
        // What was found in the old body is not where it was.
        request.head.model_span = None;
        Ok(())
    }
}

fn parse_name(name: &str) -> Result<HeaderName, String> {
    let name =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| "that is no header name".to_owned())?;
    if is_reserved(&name) {
        Err(format!("`{name}` is set by the gateway itself"))
    } else {
        Ok(name)
    }
}

impl CallHost for Call {
    fn id(&self) -> String {
        self.id_text().to_owned()
    }

    fn dialect(&self) -> String {
        self.dialect.as_str().to_owned()
    }

    fn method(&self) -> String {
        self.method.as_str().to_owned()
    }

    fn path(&self) -> String {
        self.uri.path().to_owned()
    }

    fn query(&self) -> Vec<(String, String)> {
        let query = self.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes())
            // The one that was a credential is gone already; no other spelling of it either.
            .filter(|(name, _)| name != "key")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect()
    }

    fn tenant(&self) -> Arc<str> {
        Arc::clone(&self.key.tenant.id)
    }

    fn key(&self) -> Arc<str> {
        Arc::clone(&self.key.id)
    }

    fn client_ip(&self) -> String {
        self.client.to_string()
    }

    fn label(&self, name: &str) -> Option<String> {
        self.key.label(name).map(str::to_owned)
    }

    fn header(&self, name: &str) -> Option<String> {
        let request = self.request();
        request
            .headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    fn headers(&self) -> Vec<(String, String)> {
        let request = self.request();
        let pair = |(name, value): (&HeaderName, &HeaderValue)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        };
        request.headers.iter().map(pair).collect()
    }

    fn json(&self, pointer: &str) -> Option<String> {
        let request = self.request();
        json::get(&request.body, pointer)
            .ok()
            .flatten()
            .map(str::to_owned)
    }

    fn messages(&self) -> Vec<Message> {
        let request = self.request();
        let messages = prompt::messages(self.dialect, &request.body).unwrap_or_default();
        messages
            .into_iter()
            .map(|message| Message {
                role: message.role,
                text: message.text,
            })
            .collect()
    }

    fn depth(&self) -> u32 {
        self.depth
    }

    fn body(&self) -> Bytes {
        self.request().body.clone()
    }

    fn channel_name(&self, channel: u32) -> Arc<str> {
        let channel = self.snapshot.numbered(channel);
        channel.map_or_else(Arc::default, |channel| Arc::clone(&channel.name))
    }

    fn channel_provider(&self, channel: u32) -> String {
        let channel = self.snapshot.numbered(channel);
        channel.map_or("", |channel| channel.provider).to_owned()
    }

    fn channel_model(&self, channel: u32) -> String {
        let channel = self.snapshot.numbered(channel);
        channel.map_or_else(String::new, |channel| {
            channel.upstream_model(&self.request().model).to_owned()
        })
    }

    fn channel_label(&self, channel: u32, name: &str) -> Option<String> {
        self.snapshot.numbered(channel)?.labels.get(name).cloned()
    }

    fn set_model(&self, model: &str) -> Result<(), String> {
        if !self.needs_model && self.request().model.is_empty() {
            return Err("this call has no model".to_owned());
        }
        if model.len() > MODEL_MAX_BYTES {
            return Err(format!(
                "a model's name has at most {MODEL_MAX_BYTES} bytes"
            ));
        }
        model.clone_into(&mut self.request().model);
        Ok(())
    }

    fn set_header(&self, name: &str, value: &str) -> Result<(), String> {
        let name = parse_name(name)?;
        if name.as_str().len() + value.len() > HEADER_MAX_BYTES {
            return Err(format!("a header has at most {HEADER_MAX_BYTES} bytes"));
        }
        let value = HeaderValue::from_str(value)
            .map_err(|_| "a header value holds visible ASCII only".to_owned())?;
        let mut request = self.request();
        if request.headers.len() >= HEADERS_MAX && !request.headers.contains_key(&name) {
            return Err("too many headers".to_owned());
        }
        request
            .headers
            .try_insert(name, value)
            .map_err(|_| "too many headers".to_owned())?;
        Ok(())
    }

    fn remove_header(&self, name: &str) -> Result<(), String> {
        let name = parse_name(name)?;
        self.request().headers.remove(name);
        Ok(())
    }

    fn set_json(&self, pointer: &str, json: &str) -> Result<(), String> {
        self.edit_json(|body| json::set(body, pointer, json))
    }

    fn remove_json(&self, pointer: &str) -> Result<(), String> {
        self.edit_json(|body| json::remove(body, pointer))
    }

    fn prepend_system(&self, text: &str) -> Result<(), String> {
        self.edit_json(|body| prompt::prepend_system(self.dialect, body, text))
    }

    fn set_message_text(&self, index: u32, text: &str) -> Result<(), String> {
        let index = usize::try_from(index).map_err(|_| "no such message".to_owned())?;
        self.edit_json(|body| prompt::set_message_text(self.dialect, body, index, text))
    }

    fn replace_body(&self, body: Vec<u8>) -> Result<(), String> {
        self.replace(&mut self.request(), body)
    }
}
