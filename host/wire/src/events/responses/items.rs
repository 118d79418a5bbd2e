//! The output items of a Responses stream, as the client knows them.

use serde_json::{Value, json};

use super::super::Frame;
use super::Place;

/// All items, in the order in which the provider announced or a policy made them.
#[derive(Debug, Default)]
pub(super) struct Items {
    all: Vec<Item>,
}

/// One item: the provider's, or one of a policy's making.
#[derive(Debug)]
pub(super) struct Item {
    /// The provider's `output_index`; None for a made one.
    provider: Option<u64>,
    /// The client's `output_index`; None before it begins there, and where it was dropped.
    pub(super) client: Option<u64>,
    pub(super) dropped: bool,
    pub(super) kind: Kind,
    id: String,
    /// Id and name of a call, as the client was told.
    pub(super) call: Option<(Option<String>, Option<String>)>,
    /// What the client was told of each part.
    parts: Vec<(PartKey, String)>,
    /// True where that differs from what the provider told.
    pub(super) altered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Reasoning,
    /// The number that policies know the call by.
    Call(u32),
    Other,
}

impl Kind {
    /// The only part that a made item has.
    pub(super) fn first_part(self) -> PartKey {
        match self {
            Kind::Message | Kind::Other => PartKey::Content(0),
            Kind::Reasoning => PartKey::Summary(0),
            Kind::Call(_) => PartKey::Arguments,
        }
    }
}

/// A text that comes in deltas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartKey {
    Content(u64),
    Summary(u64),
    Arguments,
}

impl Items {
    /// Adds an item; answers its position.
    pub(super) fn push(&mut self, item: Item) -> usize {
        self.all.push(item);
        self.all.len() - 1
    }

    /// Adds an item of our own and begins it; answers its position.
    pub(super) fn push_made(&mut self, mut item: Item) -> usize {
        let prefix = match item.kind {
            Kind::Message | Kind::Other => "msg",
            Kind::Reasoning => "rs",
            Kind::Call(_) => "fc",
        };
        item.id = format!("{prefix}_weir_{}", self.all.len());
        let at = self.push(item);
        self.begin(at);
        at
    }

    /// Numbers an item at the client, once, when its first event is sent there.
    pub(super) fn begin(&mut self, at: usize) {
        let next = self
            .all
            .iter()
            .filter_map(|item| item.client)
            .max()
            .map_or(0, |last| last + 1);
        if let Some(item) = self.all.get_mut(at)
            && !item.dropped
        {
            item.client.get_or_insert(next);
        }
    }

    /// The position of the provider's item with this number.
    pub(super) fn position(&self, provider: Option<u64>) -> Option<usize> {
        let provider = provider?;
        self.all
            .iter()
            .rposition(|item| item.provider == Some(provider))
    }

    /// The provider's item that an event is about.
    pub(super) fn of_provider(&self, place: &Place) -> Option<&Item> {
        self.get(self.position(place.output_index)?)
    }

    pub(super) fn last_where(&self, is: impl Fn(&Item) -> bool) -> Option<usize> {
        self.all.iter().rposition(is)
    }

    pub(super) fn is(&self, at: usize, kind: Kind) -> bool {
        self.get(at).is_some_and(|item| item.kind == kind)
    }

    pub(super) fn is_providers(&self, at: usize) -> bool {
        self.get(at).is_some_and(|item| item.provider.is_some())
    }

    pub(super) fn get(&self, at: usize) -> Option<&Item> {
        self.all.get(at)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Item> {
        self.all.get_mut(at)
    }

    /// Tool calls that the provider has begun.
    pub(super) fn calls(&self) -> u32 {
        let is_call = |item: &&Item| item.provider.is_some() && matches!(item.kind, Kind::Call(_));
        u32::try_from(self.all.iter().filter(is_call).count()).unwrap_or(u32::MAX)
    }

    /// Keeps an item from the client.
    pub(super) fn drop_item(&mut self, at: usize) {
        if let Some(item) = self.all.get_mut(at) {
            item.dropped = true;
        }
    }

    /// Brings the output of the final response in step with what the client was told.
    pub(super) fn repair_response(&self, frame: &mut Frame) -> bool {
        // Some providers leave the output of the final response empty.
        if frame.get("/response/output/0").is_none() {
            return false;
        }
        let mut items: Vec<&Item> = self
            .all
            .iter()
            .filter(|item| item.client.is_some())
            .collect();
        items.sort_by_key(|item| item.client);
        let mut output = Vec::new();
        for item in &items {
            let Some(provider) = item.provider else {
                output.push(item.value(true).to_string());
                continue;
            };
            let at = format!("/response/output/{provider}");
            if item.altered {
                item.repair(&at, frame);
            }
            output.extend(frame.get(&at).map(str::to_owned));
        }
        frame.set("/response/output", &format!("[{}]", output.join(",")));
        // Some providers repeat all text once more beside the output.
        if frame
            .get("/response/output_text")
            .is_some_and(|text| text.len() > "\"\"".len())
        {
            let messages = items.iter().filter(|item| item.kind == Kind::Message);
            let texts = messages.flat_map(|item| item.parts.iter().map(|(_, text)| text.as_str()));
            frame.set_text("/response/output_text", &texts.collect::<String>());
        }
        true
    }
}

impl Item {
    pub(super) fn of_provider(provider: u64, kind: Kind, id: Option<String>) -> Item {
        let id = id.unwrap_or_default();
        Item {
            provider: Some(provider),
            id,
            ..Item::made(kind)
        }
    }

    /// An item of our own, which gets its number and id when it is added.
    pub(super) fn made(kind: Kind) -> Item {
        Item {
            provider: None,
            client: None,
            dropped: false,
            kind,
            id: String::new(),
            call: None,
            parts: Vec::new(),
            altered: false,
        }
    }

    /// Notes what the client is told.
    pub(super) fn told(&mut self, part: PartKey, text: &str) {
        match self.parts.iter_mut().find(|(key, _)| *key == part) {
            Some((_, so_far)) => so_far.push_str(text),
            None => self.parts.push((part, text.to_owned())),
        }
    }

    /// What the client was told of a part, if there were deltas of it at all.
    fn known(&self, part: PartKey) -> Option<&str> {
        self.parts
            .iter()
            .find(|(key, _)| *key == part)
            .map(|(_, text)| text.as_str())
    }

    /// What the client was told of the only part of a made item.
    pub(super) fn text(&self) -> &str {
        self.known(self.kind.first_part()).unwrap_or_default()
    }

    /// Puts what the client was told into an event that ends a part.
    pub(super) fn repair_part_event(&self, part: PartKey, frame: &mut Frame) {
        for (holder, field) in [
            ("", "text"),
            ("/part", "text"),
            ("", "arguments"),
            ("", "input"),
        ] {
            self.repair_text(part, holder, field, frame);
        }
        self.repair_call("", frame);
    }

    /// Puts what the client was told into the whole item at `place`.
    pub(super) fn repair(&self, place: &str, frame: &mut Frame) {
        for (part, _) in &self.parts {
            match part {
                PartKey::Content(at) => {
                    self.repair_text(*part, &format!("{place}/content/{at}"), "text", frame);
                }
                PartKey::Summary(at) => {
                    self.repair_text(*part, &format!("{place}/summary/{at}"), "text", frame);
                }
                PartKey::Arguments => {
                    self.repair_text(*part, place, "arguments", frame);
                    self.repair_text(*part, place, "input", frame);
                }
            }
        }
        self.repair_call(place, frame);
    }

    /// Puts what was told of a part into a field, if it is there, without its log probabilities.
    fn repair_text(&self, part: PartKey, holder: &str, field: &str, frame: &mut Frame) {
        let place = format!("{holder}/{field}");
        let Some(text) = self.known(part).filter(|_| frame.has(&place)) else {
            return;
        };
        frame.set_text(&place, text);
        let logprobs = format!("{holder}/logprobs");
        if frame.has(&logprobs) {
            frame.set(&logprobs, "[]");
        }
    }

    fn repair_call(&self, place: &str, frame: &mut Frame) {
        let Some((id, name)) = &self.call else { return };
        for (field, value) in [("call_id", id), ("name", name)] {
            let pointer = format!("{place}/{field}");
            if let Some(value) = value
                && frame.has(&pointer)
            {
                frame.set_text(&pointer, value);
            }
        }
    }

    /// A made item as a whole, begun or done.
    pub(super) fn value(&self, done: bool) -> Value {
        let (id, text) = (&self.id, self.text());
        let status = if done { "completed" } else { "in_progress" };
        let parts = if done {
            vec![self.part_value(text)]
        } else {
            Vec::new()
        };
        match self.kind {
            Kind::Message | Kind::Other => json!({
                "id": id, "type": "message", "role": "assistant", "status": status,
                "content": parts,
            }),
            Kind::Reasoning => json!({"id": id, "type": "reasoning", "summary": parts}),
            Kind::Call(_) => {
                let (call_id, name) = self.call.clone().unwrap_or_default();
                json!({
                    "id": id, "type": "function_call", "status": status, "arguments": text,
                    "call_id": call_id.unwrap_or_else(|| format!("call_{id}")),
                    "name": name.unwrap_or_default(),
                })
            }
        }
    }

    /// The only part of a made item.
    pub(super) fn part_value(&self, text: &str) -> Value {
        match self.kind {
            Kind::Reasoning => json!({"type": "summary_text", "text": text}),
            _ => json!({
                "type": "output_text", "text": text, "annotations": [], "logprobs": [],
            }),
        }
    }

    /// The names of the events that begin and end a made item's part, if it has one.
    pub(super) fn part_events(&self) -> Option<(&'static str, &'static str)> {
        match self.kind {
            Kind::Message | Kind::Other => {
                Some(("response.content_part.added", "response.content_part.done"))
            }
            Kind::Reasoning => Some((
                "response.reasoning_summary_part.added",
                "response.reasoning_summary_part.done",
            )),
            Kind::Call(_) => None,
        }
    }

    /// Name and fields of a delta.
    pub(super) fn delta_event(&self, part: PartKey, text: &str) -> (&'static str, Value) {
        let mut fields = self.place(part);
        let name = match (part, self.kind) {
            (PartKey::Arguments, _) => "response.function_call_arguments.delta",
            (PartKey::Summary(_), _) => "response.reasoning_summary_text.delta",
            (PartKey::Content(_), Kind::Reasoning) => "response.reasoning_text.delta",
            (PartKey::Content(_), _) => {
                insert(&mut fields, "logprobs", json!([]));
                "response.output_text.delta"
            }
        };
        insert(&mut fields, "delta", text.into());
        (name, fields)
    }

    /// Name and fields of the event that ends the text of a made item.
    pub(super) fn text_done(&self) -> (&'static str, Value) {
        let mut fields = self.place(self.kind.first_part());
        let (name, field) = match self.kind {
            Kind::Call(_) => {
                let name = self.call.as_ref().and_then(|(_, name)| name.clone());
                insert(&mut fields, "name", name.unwrap_or_default().into());
                ("response.function_call_arguments.done", "arguments")
            }
            Kind::Reasoning => ("response.reasoning_summary_text.done", "text"),
            Kind::Message | Kind::Other => {
                insert(&mut fields, "logprobs", json!([]));
                ("response.output_text.done", "text")
            }
        };
        insert(&mut fields, field, self.text().into());
        (name, fields)
    }

    /// The fields of an event that begins or ends the part of a made item.
    pub(super) fn part_fields(&self, text: &str) -> Value {
        let mut fields = self.place(self.kind.first_part());
        insert(&mut fields, "part", self.part_value(text));
        fields
    }

    fn place(&self, part: PartKey) -> Value {
        let mut fields = json!({"item_id": self.id, "output_index": self.client});
        match part {
            PartKey::Content(at) => insert(&mut fields, "content_index", at.into()),
            PartKey::Summary(at) => insert(&mut fields, "summary_index", at.into()),
            PartKey::Arguments => {}
        }
        fields
    }
}

fn insert(object: &mut Value, name: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}
