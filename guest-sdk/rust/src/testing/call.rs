//! The call of a test: a summary and everything that `call` shows of it.

use serde_json::Value;

use crate::types::{Message, Operation, Summary};

/// A call, built piece by piece. Whatever is not said has a plausible value.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub(in crate::testing) summary: Summary,
    pub(in crate::testing) tenant: String,
    pub(in crate::testing) key: String,
    pub(in crate::testing) client_ip: String,
    pub(in crate::testing) id: String,
    pub(in crate::testing) dialect: String,
    pub(in crate::testing) method: String,
    pub(in crate::testing) path: String,
    pub(in crate::testing) query: Vec<(String, String)>,
    pub(in crate::testing) labels: Vec<(String, String)>,
    pub(in crate::testing) headers: Vec<(String, String)>,
    pub(in crate::testing) body: Vec<u8>,
    pub(in crate::testing) messages: Option<Vec<Message>>,
}

impl Call {
    /// A chat completion of the OpenAI dialect, of tenant `acme` with the key `key_1`, from
    /// 192.0.2.1, not streamed, with ten input tokens and no bound on the output.
    pub fn chat(model: &str) -> Call {
        let body = serde_json::json!({
            "model": model,
            "messages": [{ "role": "user", "content": "Hello" }],
        });
        Call {
            summary: Summary {
                operation: Operation::Chat,
                model: model.to_owned(),
                streaming: false,
                input_tokens: 10,
                max_output_tokens: 0,
            },
            tenant: "acme".to_owned(),
            key: "key_1".to_owned(),
            client_ip: "192.0.2.1".to_owned(),
            id: "req_1".to_owned(),
            dialect: "openai.chat".to_owned(),
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            query: Vec::new(),
            labels: Vec::new(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_string().into_bytes(),
            messages: None,
        }
    }

    /// A call of any operation to a model, empty where the operation has none.
    pub fn new(operation: Operation, model: &str) -> Call {
        let mut call = Call::chat(model);
        call.summary.operation = operation;
        call
    }

    /// The facts that every hook gets.
    pub fn summary(&self) -> Summary {
        self.summary.clone()
    }

    /// The request id.
    pub fn id(mut self, id: &str) -> Call {
        id.clone_into(&mut self.id);
        self
    }

    /// The model, in the summary only.
    pub fn model(mut self, model: &str) -> Call {
        model.clone_into(&mut self.summary.model);
        self
    }

    /// The tenant.
    pub fn tenant(mut self, tenant: &str) -> Call {
        tenant.clone_into(&mut self.tenant);
        self
    }

    /// The id of the virtual key.
    pub fn key(mut self, key: &str) -> Call {
        key.clone_into(&mut self.key);
        self
    }

    /// The caller's address.
    pub fn client_ip(mut self, ip: &str) -> Call {
        ip.clone_into(&mut self.client_ip);
        self
    }

    /// Asks for a stream of events.
    pub fn streaming(mut self) -> Call {
        self.summary.streaming = true;
        self
    }

    /// The estimate of the input, and what the call asks for at most (0: no bound), in tokens.
    pub fn tokens(mut self, input: u32, max_output: u32) -> Call {
        self.summary.input_tokens = input;
        self.summary.max_output_tokens = max_output;
        self
    }

    /// The dialect, for example `anthropic.messages`.
    pub fn dialect(mut self, dialect: &str) -> Call {
        dialect.clone_into(&mut self.dialect);
        self
    }

    /// The method and the path.
    pub fn request(mut self, method: &str, path: &str) -> Call {
        method.clone_into(&mut self.method);
        path.clone_into(&mut self.path);
        self
    }

    /// One more parameter of the query, decoded.
    pub fn query(mut self, name: &str, value: &str) -> Call {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A label of the key or its tenant; the last value of a name counts.
    pub fn label(mut self, name: &str, value: &str) -> Call {
        self.labels.retain(|(known, _)| known != name);
        self.labels.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more header; the name is put in lower case.
    pub fn header(mut self, name: &str, value: &str) -> Call {
        self.headers
            .push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// The body as JSON.
    pub fn body(mut self, body: Value) -> Call {
        self.body = body.to_string().into_bytes();
        self
    }

    /// The body as bytes.
    pub fn bytes(mut self, body: &[u8]) -> Call {
        self.body = body.to_vec();
        self
    }

    /// What `call::messages` answers; without it they are read from the body.
    pub fn messages(mut self, messages: &[(&str, &str)]) -> Call {
        let message = |(role, text): &(&str, &str)| Message {
            role: (*role).to_owned(),
            text: (*text).to_owned(),
        };
        self.messages = Some(messages.iter().map(message).collect());
        self
    }

    /// The prompt as `call::messages` shows it.
    pub(in crate::testing) fn prompt(&self) -> Vec<Message> {
        if let Some(messages) = &self.messages {
            return messages.clone();
        }
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let system = body
            .get("system")
            .map(|system| ("system".to_owned(), text(system)));
        let listed = body
            .get("messages")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let listed = listed.map(|message| {
            let role = message
                .get("role")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            (role, text(message.get("content").unwrap_or(&Value::Null)))
        });
        system
            .into_iter()
            .chain(listed)
            .map(|(role, text)| Message { role, text })
            .collect()
    }
}

/// The text of a content: a string, or the text parts of a list joined by newlines.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}
