//! Small edits that the pipeline makes itself, and the splicing behind every edit of several places.

use std::ops::Range;

use crate::json::{self, JsonError};

/// The body with another `model`. `span` is [`crate::scan::Head::model_span`] of this body; without
/// it the key is looked for, and added where it is missing.
pub fn set_model(
    body: &[u8],
    span: Option<Range<usize>>,
    model: &str,
) -> Result<Vec<u8>, JsonError> {
    let model = json::string(model);
    match span {
        Some(span) => Ok(json::replace_span(body, span, &model)),
        None => json::set(body, "/model", &model),
    }
}

/// The body of an OpenAI stream request, asking for a last chunk with the usage.
pub fn ask_stream_usage(body: &[u8]) -> Result<Vec<u8>, JsonError> {
    match json::get(body, "/stream_options")? {
        Some(options) if options.starts_with('{') => {
            json::set(body, "/stream_options/include_usage", "true")
        }
        _ => json::set(body, "/stream_options", r#"{"include_usage":true}"#),
    }
}

/// Replacements of several places of one body, made in one copy.
#[derive(Debug, Default)]
pub(crate) struct Patch {
    changes: Vec<(Range<usize>, String)>,
}

impl Patch {
    /// Puts `text` in the place of `span`. Spans must not overlap; an empty one inserts.
    pub(crate) fn replace(&mut self, span: Range<usize>, text: impl Into<String>) {
        self.changes.push((span, text.into()));
    }

    /// The body with every change made.
    pub(crate) fn apply(mut self, body: &[u8]) -> Vec<u8> {
        self.changes.sort_by_key(|(span, _)| span.start);
        let added: usize = self.changes.iter().map(|(_, text)| text.len()).sum();
        let mut out = Vec::with_capacity(body.len() + added);
        let mut from = 0;
        for (span, text) in &self.changes {
            out.extend_from_slice(body.get(from..span.start).unwrap_or(&[]));
            out.extend_from_slice(text.as_bytes());
            from = span.end;
        }
        out.extend_from_slice(body.get(from..).unwrap_or(&[]));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_spliced_in() {
        let body = br#"{"model": "a", "n": 1}"#;
        let head = crate::scan::scan(crate::Dialect::OpenaiChat, body).unwrap();
        assert_eq!(
            set_model(body, head.model_span, "b\"").unwrap(),
            br#"{"model": "b\"", "n": 1}"#
        );
        assert_eq!(set_model(b"{}", None, "b").unwrap(), br#"{"model":"b"}"#);
    }

    #[test]
    fn usage_is_asked_for_whatever_was_there() {
        let ask =
            |body: &str| String::from_utf8(ask_stream_usage(body.as_bytes()).unwrap()).unwrap();
        assert_eq!(ask("{}"), r#"{"stream_options":{"include_usage":true}}"#);
        assert_eq!(
            ask(r#"{"stream_options":null}"#),
            r#"{"stream_options":{"include_usage":true}}"#
        );
        assert_eq!(
            ask(r#"{"stream_options":{"include_usage":false,"x":1}}"#),
            r#"{"stream_options":{"include_usage":true,"x":1}}"#
        );
    }
}
