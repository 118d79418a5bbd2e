//! The imports of a policy, answered by the `Host` whose `run` is under way on this thread.
//!
//! The signatures are wit-bindgen's, so that the wrappers compile against either.

use std::cell::RefCell;

use super::{Edit, Entry, State};

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// Runs with a state in the host's place and gives the state back.
pub(super) fn with<R>(state: State, run: impl FnOnce() -> R) -> (R, State) {
    STATE.with(|slot| *slot.borrow_mut() = Some(state));
    let result = run();
    let state = STATE.with(|slot| slot.borrow_mut().take());
    #[expect(
        clippy::expect_used,
        reason = "a test that runs a host inside a host is a mistake"
    )]
    (result, state.expect("Host::run inside Host::run"))
}

/// One call into the host.
fn host<R>(answer: impl FnOnce(&mut State) -> R) -> R {
    STATE.with(|slot| {
        #[expect(
            clippy::expect_used,
            reason = "the test forgot the host; there is no answer"
        )]
        let mut slot = slot
            .try_borrow_mut()
            .expect("an import was called while another answers");
        #[expect(
            clippy::expect_used,
            reason = "the test forgot the host; there is no answer"
        )]
        let state = slot
            .as_mut()
            .expect("an import was called outside testing::Host::run");
        state.seen.imports += 1;
        answer(state)
    })
}

pub(crate) mod call {
    use super::host;
    use crate::types::Message;

    pub(crate) fn id() -> String {
        host(|state| state.call.id.clone())
    }
    pub(crate) fn dialect() -> String {
        host(|state| state.call.dialect.clone())
    }
    pub(crate) fn method() -> String {
        host(|state| state.call.method.clone())
    }
    pub(crate) fn path() -> String {
        host(|state| state.call.path.clone())
    }
    pub(crate) fn query() -> Vec<(String, String)> {
        host(|state| state.call.query.clone())
    }
    pub(crate) fn tenant() -> String {
        host(|state| state.call.tenant.clone())
    }
    pub(crate) fn key() -> String {
        host(|state| state.call.key.clone())
    }
    pub(crate) fn client_ip() -> String {
        host(|state| state.call.client_ip.clone())
    }
    /// Not counted: it is one call into the host in a minute.
    pub(crate) fn remember(for_ms: u32) {
        host(|state| {
            state.seen.imports -= 1;
            state.seen.remember_ms = for_ms;
        });
    }
    pub(crate) fn label(name: &str) -> Option<String> {
        host(|state| find(&state.call.labels, name))
    }
    pub(crate) fn header(name: &str) -> Option<String> {
        host(|state| find(&state.call.headers, &name.to_ascii_lowercase()))
    }
    pub(crate) fn headers() -> Vec<(String, String)> {
        host(|state| state.call.headers.clone())
    }
    pub(crate) fn json(pointer: &str) -> Option<String> {
        host(|state| {
            let body: serde_json::Value = serde_json::from_slice(&state.call.body).ok()?;
            body.pointer(pointer).map(ToString::to_string)
        })
    }
    pub(crate) fn messages() -> Vec<Message> {
        host(|state| state.call.prompt())
    }
    pub(crate) fn body() -> Vec<u8> {
        host(|state| state.call.body.clone())
    }

    fn find(list: &[(String, String)], name: &str) -> Option<String> {
        list.iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    }
}

pub(crate) mod channels {
    use super::{State, host};
    use crate::testing::channel::Channel;

    fn of<T: Default>(channel: u32, find: impl FnOnce(&State, &Channel) -> T) -> T {
        host(|state| {
            let known = state.channel(channel);
            known.map_or_else(T::default, |known| find(state, known))
        })
    }

    pub(crate) fn name(channel: u32) -> String {
        of(channel, |_, known| known.channel.clone())
    }
    pub(crate) fn provider(channel: u32) -> String {
        of(channel, |_, known| known.provider.clone())
    }
    pub(crate) fn model(channel: u32) -> String {
        of(channel, |state, known| {
            let own = known.model.as_ref();
            own.unwrap_or(&state.call.summary.model).clone()
        })
    }
    pub(crate) fn label(channel: u32, name: &str) -> Option<String> {
        of(channel, |_, known| known.labels.get(name).cloned())
    }
}

pub(crate) mod edit {
    use serde_json::Value;

    use super::super::json;
    use super::{Edit, State, host};

    /// Changes the body as JSON and notes the edit.
    fn body(
        edit: Edit,
        change: impl FnOnce(&mut Value, &State) -> Result<(), String>,
    ) -> Result<(), String> {
        host(|state| {
            state.seen.edits.push(edit);
            let read = serde_json::from_slice(&state.call.body);
            let mut body: Value = read.map_err(|_| "the body is not JSON".to_owned())?;
            change(&mut body, state)?;
            state.call.body = body.to_string().into_bytes();
            Ok(())
        })
    }

    pub(crate) fn set_model(model: &str) -> Result<(), String> {
        host(|state| {
            model.clone_into(&mut state.call.summary.model);
            state.seen.edits.push(Edit::SetModel(model.to_owned()));
            // Where the dialect keeps it in the path instead, there is nothing to change.
            if let Ok(mut body) = serde_json::from_slice::<Value>(&state.call.body)
                && let Some(slot) = body.get_mut("model")
            {
                *slot = model.into();
                state.call.body = body.to_string().into_bytes();
            }
            Ok(())
        })
    }
    pub(crate) fn set_header(name: &str, value: &str) -> Result<(), String> {
        host(|state| {
            let name = name.to_ascii_lowercase();
            state
                .seen
                .edits
                .push(Edit::SetHeader(name.clone(), value.to_owned()));
            if ["authorization", "x-api-key", "host", "connection"].contains(&name.as_str()) {
                return Err(format!("{name} is the gateway's"));
            }
            state.call.headers.retain(|(known, _)| *known != name);
            state.call.headers.push((name, value.to_owned()));
            Ok(())
        })
    }
    pub(crate) fn remove_header(name: &str) -> Result<(), String> {
        host(|state| {
            let name = name.to_ascii_lowercase();
            state.call.headers.retain(|(known, _)| *known != name);
            state.seen.edits.push(Edit::RemoveHeader(name));
            Ok(())
        })
    }
    pub(crate) fn set_json(pointer: &str, text: &str) -> Result<(), String> {
        body(
            Edit::SetJson(pointer.to_owned(), text.to_owned()),
            |body, _| {
                let value = serde_json::from_str(text).map_err(|error| error.to_string())?;
                json::set(body, pointer, value)
            },
        )
    }
    pub(crate) fn remove_json(pointer: &str) -> Result<(), String> {
        body(Edit::RemoveJson(pointer.to_owned()), |body, _| {
            json::remove(body, pointer)
        })
    }
    pub(crate) fn prepend_system(text: &str) -> Result<(), String> {
        body(Edit::PrependSystem(text.to_owned()), |body, state| {
            json::prepend_system(body, &state.call.dialect, text)
        })
    }
    pub(crate) fn set_message_text(index: u32, text: &str) -> Result<(), String> {
        body(Edit::SetMessageText(index, text.to_owned()), |body, _| {
            json::set_message_text(body, index, text)
        })
    }
    pub(crate) fn replace_body(bytes: &[u8]) -> Result<(), String> {
        host(|state| {
            state.call.body = bytes.to_vec();
            state.seen.edits.push(Edit::ReplaceBody(bytes.to_vec()));
            Ok(())
        })
    }
}

pub(crate) mod store {
    use super::{Entry, State, host};

    fn alive<'a>(state: &'a State, key: &str) -> Option<&'a Entry> {
        state
            .store
            .get(key)
            .filter(|entry| entry.is_alive(state.now_ms))
    }
    fn expiry(state: &State, ttl_ms: Option<u32>) -> Option<u64> {
        ttl_ms.map(|ttl_ms| state.now_ms + u64::from(ttl_ms))
    }

    pub(crate) fn get(key: &str) -> Option<Vec<u8>> {
        host(|state| alive(state, key).map(|entry| entry.value.clone()))
    }
    pub(crate) fn set(key: &str, value: &[u8], ttl_ms: Option<u32>) -> Result<(), String> {
        // As the gateway has it (host/policy/src/bounds.rs).
        const VALUE_MAX_BYTES: usize = 64 << 10;
        if value.len() > VALUE_MAX_BYTES {
            return Err(format!("a value has at most {VALUE_MAX_BYTES} bytes"));
        }
        host(|state| {
            let expires_ms = expiry(state, ttl_ms);
            state.store.insert(
                key.to_owned(),
                Entry {
                    value: value.to_vec(),
                    expires_ms,
                },
            );
            Ok(())
        })
    }
    pub(crate) fn remove(key: &str) {
        host(|state| {
            state.store.remove(key);
        });
    }
    pub(crate) fn add(key: &str, by: i64, ttl_ms: Option<u32>) -> Result<i64, String> {
        host(|state| {
            let (old, expires_ms) = match alive(state, key) {
                None => (0, expiry(state, ttl_ms)),
                Some(entry) => {
                    let text = std::str::from_utf8(&entry.value).ok();
                    let old: Option<i64> = text.and_then(|text| text.parse().ok());
                    (old.ok_or("the value is not an integer")?, entry.expires_ms)
                }
            };
            let sum = old.checked_add(by).ok_or("the sum does not fit")?;
            let value = sum.to_string().into_bytes();
            state
                .store
                .insert(key.to_owned(), Entry { value, expires_ms });
            Ok(sum)
        })
    }
}

pub(crate) mod log {
    use crate::log::Level;

    pub(crate) fn write(level: Level, message: &str) {
        super::host(|state| state.seen.logs.push((level, message.to_owned())));
    }
}

pub(crate) mod metrics {
    use super::super::Metric;

    pub(crate) fn count(name: &str, by: u32, labels: &[(String, String)]) {
        observe(name, f64::from(by), labels);
    }
    pub(crate) fn observe(name: &str, value: f64, labels: &[(String, String)]) {
        let metric = Metric {
            name: name.to_owned(),
            value,
            labels: labels.to_vec(),
        };
        super::host(|state| state.seen.metrics.push(metric));
    }
}

pub(crate) mod clock {
    pub(crate) fn now_ms() -> u64 {
        super::host(|state| state.now_ms)
    }
}

pub(crate) mod secrets {
    pub(crate) fn get(name: &str) -> Option<String> {
        super::host(|state| state.secrets.get(name).cloned())
    }
}

pub(crate) mod firewall {
    pub(crate) fn ban(ip: &str, for_ms: u32, reason: &str) -> Result<(), String> {
        super::host(|state| {
            state
                .seen
                .bans
                .push((ip.to_owned(), for_ms, reason.to_owned()));
            Ok(())
        })
    }
}

pub(crate) mod models {
    use crate::models::Completion;
    use crate::types::Message;

    pub(crate) fn complete(
        model: &str,
        messages: &[Message],
        _max_output_tokens: u32,
    ) -> Result<Completion, String> {
        super::host(|state| (state.models)(model, messages))
    }
    pub(crate) fn count_tokens(_model: &str, text: &str) -> u32 {
        // The rule of thumb for English: a token is four characters.
        super::host(|_| u32::try_from(text.chars().count().div_ceil(4)).unwrap_or(u32::MAX))
    }
}

pub(crate) mod http {
    use crate::http::Request;
    use crate::types::Response;

    pub(crate) fn send(request: &Request) -> Result<Response, String> {
        super::host(|state| (state.http)(request))
    }
}
