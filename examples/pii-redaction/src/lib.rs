//! Takes personal data out of prompts, and out of replies, whole and streamed; and puts into a reply what
//! was taken out of its prompt, where the operator wants that.
//!
//! `find` says what personal data is, `scan` goes through texts that come in pieces, `json` through bodies.
//! Never does: write what it found into a log or a metric.

mod find;
mod json;
mod names;
mod replies;
mod scan;
mod settings;

use std::collections::{BTreeMap, HashMap};

use json::Spot;
use names::Names;
use replies::Streaming;
use scan::{Instead, Match, Scanner};
use settings::{OtherBodies, Rules, Settings};
use weir_sdk::prelude::*;
use weir_sdk::select::Caller;
use weir_sdk::{call, edit, log, metrics, store};

/// Members of requests and replies that hold no prose: names that programs read, and data in base64.
const KEPT: [&str; 38] = [
    "model",
    "role",
    "type",
    "id",
    "object",
    "name",
    "data",
    "url",
    "image_url",
    "file_id",
    "file_url",
    "file_data",
    "fileUri",
    "file_uri",
    "mime_type",
    "mimeType",
    "media_type",
    "format",
    "signature",
    "thoughtSignature",
    "thought_signature",
    "encrypted_content",
    "tool_call_id",
    "tool_use_id",
    "call_id",
    "item_id",
    "previous_response_id",
    "responseId",
    "modelVersion",
    "tool_choice",
    "finish_reason",
    "finishReason",
    "stop_reason",
    "status",
    "system_fingerprint",
    "service_tier",
    "b64_json",
    "embedding",
];
/// Shorter numbers are no personal data that this finds.
const NUMBER_MIN_BYTES: usize = 9;

/// The text that takes the place of one within JSON.
fn changed(rules: &Rules, spot: Spot<'_>, text: &str, with: &mut impl Instead) -> Option<String> {
    if spot.number && (!spot.free || text.len() < NUMBER_MIN_BYTES) {
        return None;
    }
    if !spot.free && (KEPT.contains(&spot.name) || text.starts_with("data:")) {
        return None;
    }
    // OpenAI has the arguments of tools as JSON within a text.
    if spot.name == "arguments" && !spot.free {
        let within = json::rewrite(text, true, &mut |spot, text| {
            changed(rules, spot, text, with)
        });
        if let Ok(instead) = within {
            return instead;
        }
    }
    Scanner::whole(rules, text, with)
}

/// How much was found, by the names of kinds.
type Counts = BTreeMap<String, u32>;

fn count(what: &str, place: &str, counts: &Counts) {
    for (kind, times) in counts {
        metrics::count(what, *times, &[("kind", kind), ("in", place)]);
    }
}

/// What takes the place of personal data in a prompt.
#[derive(Default)]
struct Out {
    names: Names,
    counts: Counts,
}

impl Instead for Out {
    fn wants_data(&self) -> bool {
        true
    }

    fn wants_placeholders(&self) -> bool {
        false
    }

    fn instead(&mut self, found: Match<'_>, text: &str) -> Option<String> {
        let Match::Data(name) = found else {
            return None;
        };
        *self.counts.entry(name.to_owned()).or_default() += 1;
        Some(self.names.of(name, text))
    }
}

/// Where what was taken out of the running call's prompt is kept.
fn kept_under() -> String {
    format!("call:{}", call::id())
}

impl Settings {
    /// Whether replies are looked into at all.
    fn looks_at_replies(&self) -> bool {
        self.replies || self.reversible
    }

    /// Refuses the streams in which something could be split where nobody sees it.
    fn check_stream(&self) -> Result<(), Denial> {
        let dialect = call::dialect();
        if dialect.starts_with("gemini.")
            && !call::query()
                .iter()
                .any(|(name, value)| name == "alt" && value == "sse")
        {
            return Err(Denial::bad_request(
                "stream_not_supported",
                "Streams are looked into here; ask for this one with `alt=sse`.",
            ));
        }
        let several = [
            "/n",
            "/generationConfig/candidateCount",
            "/generation_config/candidate_count",
        ]
        .iter()
        .any(|pointer| call::json_as::<u32>(pointer).is_some_and(|count| count > 1));
        if several {
            return Err(Denial::bad_request(
                "stream_not_supported",
                "Streams are looked into here; ask for several answers without `stream`, or for one.",
            ));
        }
        Ok(())
    }

    /// The body without personal data; none where there was none in it.
    fn without_data(&self, body: &str, out: &mut Out) -> Result<Option<String>, json::NotJson> {
        json::rewrite(body, false, &mut |spot, text| {
            // A provider takes its own thoughts back only as they were. Where replies were given what had
            // been taken out, the same taken out again makes them so.
            if spot.name == "thinking" && !spot.free && !self.reversible {
                return None;
            }
            changed(&self.rules, spot, text, out)
        })
    }

    /// What was taken out of the running call's prompt. Once: then it is forgotten.
    fn taken_out(&self) -> HashMap<String, String> {
        if !self.reversible {
            return HashMap::new();
        }
        let key = kept_under();
        let texts = store::get_json(&key);
        if texts.is_some() {
            store::remove(&key);
        }
        texts.unwrap_or_default()
    }
}

impl Rewrite for Settings {
    fn rewrite(&self, call: &Summary) -> Result<(), Denial> {
        if !self.scope.matches(call, &Caller::new()) {
            return Ok(());
        }
        if call.streaming && self.looks_at_replies() {
            self.check_stream()?;
        }
        let body = call::body();
        if !self.prompts || body.is_empty() {
            return Ok(());
        }
        let mut out = Out::default();
        let read = std::str::from_utf8(&body).map_err(|_| json::NotJson);
        let instead = match read.and_then(|body| self.without_data(body, &mut out)) {
            Ok(instead) => instead,
            Err(_) if self.other_bodies == OtherBodies::Pass => None,
            Err(_) => {
                return Err(Denial::bad_request(
                    "body_not_readable",
                    "Only JSON can be looked into for personal data, and this is none; nothing else may be sent here.",
                ));
            }
        };
        let Some(instead) = instead else {
            return Ok(());
        };
        edit::replace_body(instead.as_bytes()).map_err(|error| {
            log::error!("a body could not be replaced: {error}");
            Denial::new(
                500,
                "not_redacted",
                "Personal data could not be taken out of this request; tell the operator.",
            )
        })?;
        count("redacted", "prompt", &out.counts);
        if self.reversible && !out.names.is_empty() {
            let texts = out.names.texts();
            if let Err(error) = store::set_json(&kept_under(), &texts, Some(self.keep_ms)) {
                // The reply then keeps its placeholders, which is no leak.
                log::warn!("a reply will keep its placeholders: {error}");
            }
        }
        Ok(())
    }
}

impl Reply for Settings {
    fn reply(&self, call: &Summary, response: Response) -> Result<Option<Response>, Denial> {
        let Some(mut back) = self.back(call) else {
            return Ok(None);
        };
        let Ok(body) = std::str::from_utf8(&response.body) else {
            return Ok(None);
        };
        let instead = json::rewrite(body, false, &mut |spot, text| {
            changed(&self.rules, spot, text, &mut back)
        });
        back.count();
        let Ok(Some(instead)) = instead else {
            return Ok(None);
        };
        let mut headers = response.headers;
        headers.retain(|(name, _)| name != "content-length");
        Ok(Some(Response {
            status: response.status,
            headers,
            body: instead.into_bytes(),
        }))
    }
}

impl Events for Settings {
    type Stream = Streaming;

    fn open(&self, call: &Summary) -> Option<Streaming> {
        self.back(call).map(Streaming::new)
    }

    fn push(&self, stream: &mut Streaming, event: Event) -> Result<Action, Denial> {
        stream.push(&self.rules, event)
    }

    fn close(&self, stream: Streaming) -> Vec<Event> {
        stream.close(&self.rules)
    }
}

weir_sdk::export!(Settings: rewrite, reply, events);

#[cfg(test)]
mod tests;
