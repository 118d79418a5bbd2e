//! Going on with an answer that another provider began: the request that asks for the rest of it, and
//! the text of the rest, made to fit to what was said before.
//!
//! Never does: decide whether that should be done. What cannot be gone on with (tools that were
//! called, thoughts, answers with a shape) is told by [`may_go_on`] and by the events themselves.

use std::borrow::Cow;

use crate::json::{self, JsonError, string};
use crate::{Dialect, prompt};

/// From so many bytes on, an answer that begins with the same words again was begun anew.
const AGAIN_BYTES: usize = 32;

/// How a provider is told that the last message is the beginning of its own answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By nothing but its role.
    Plain,
    /// By `prefix: true` in the message.
    Prefix,
    /// The same, of a provider that says the beginning again in its answer.
    PrefixEchoed,
    /// By `partial: true` in the message.
    Partial,
    /// By `continue_final_message: true` beside the messages.
    ContinueFinalMessage,
}

/// Whether an answer to this request can be gone on with at all: not where it has a shape, which a
/// provider would begin anew, nor where it is to be thought about, nor where there are several.
pub fn may_go_on(dialect: Dialect, body: &[u8]) -> bool {
    let is = |pointer: &str, fine: &[&str]| match json::get(body, pointer) {
        Ok(None | Some("null")) => true,
        Ok(Some(value)) => fine.contains(&value),
        Err(_) => false,
    };
    match dialect {
        Dialect::OpenaiChat => {
            is("/n", &["1"])
                && (is("/response_format", &[]) || is_text(body, "/response_format/type"))
        }
        Dialect::AnthropicMessages => {
            let is_off = matches!(json::get(body, "/thinking/type"), Ok(Some("\"disabled\"")));
            (is("/thinking", &[]) || is_off)
                && is("/output_format", &[])
                && is("/output_config/format", &[])
        }
        Dialect::GeminiGenerate => ["/generationConfig", "/generation_config"]
            .iter()
            .all(|at| {
                let of = |name: &str| [at, name].concat();
                let plain = &["\"text/plain\""];
                is(&of("/responseMimeType"), plain)
                    && is(&of("/response_mime_type"), plain)
                    && is(&of("/candidateCount"), &["1"])
                    && is(&of("/candidate_count"), &["1"])
            }),
        _ => false,
    }
}

fn is_text(body: &[u8], pointer: &str) -> bool {
    matches!(json::get(body, pointer), Ok(Some("\"text\"")))
}

/// The request for the rest of an answer of which `said` was said, and about `said_tokens` tokens used.
///
/// # Errors
/// The body is not what its dialect asks for.
pub fn request(
    dialect: Dialect,
    body: &[u8],
    said: &str,
    said_tokens: u64,
    form: Form,
) -> Result<Vec<u8>, JsonError> {
    let body = with_less_room(dialect, body, said_tokens)?;
    // Anthropic takes none with white space at its end, and others go on badly from it: words begin
    // with the space before them.
    let said = said.trim_end();
    if said.is_empty() {
        return Ok(body);
    }
    let messages = prompt::messages(dialect, &body)?;
    let begun = messages.len().checked_sub(1).and_then(|last| {
        let message = messages.get(last)?;
        (message.role == "assistant").then(|| (last, [&message.text, said].concat()))
    });
    let list = match dialect {
        Dialect::GeminiGenerate => "/contents",
        _ => "/messages",
    };
    let mut body = match begun {
        // The caller itself began the answer.
        Some((last, text)) => prompt::set_message_text(dialect, &body, last, &text)?,
        None => json::set(&body, &[list, "/-"].concat(), &message(dialect, said))?,
    };
    let flag = match form {
        Form::Plain => None,
        Form::Prefix | Form::PrefixEchoed => Some("prefix"),
        Form::Partial => Some("partial"),
        Form::ContinueFinalMessage => {
            body = json::set(&body, "/continue_final_message", "true")?;
            body = json::set(&body, "/add_generation_prompt", "false")?;
            None
        }
    };
    if let (Some(flag), Dialect::OpenaiChat) = (flag, dialect) {
        let last = prompt::messages(dialect, &body)?.len().saturating_sub(1);
        body = json::set(&body, &format!("{list}/{last}/{flag}"), "true")?;
    }
    Ok(body)
}

fn message(dialect: Dialect, said: &str) -> String {
    let said = string(said);
    match dialect {
        Dialect::GeminiGenerate => format!(r#"{{"role":"model","parts":[{{"text":{said}}}]}}"#),
        _ => format!(r#"{{"role":"assistant","content":{said}}}"#),
    }
}

/// The bound on the answer is less by what was said of it.
fn with_less_room(dialect: Dialect, body: &[u8], said_tokens: u64) -> Result<Vec<u8>, JsonError> {
    let bounds: &[&str] = match dialect {
        Dialect::OpenaiChat => &["/max_tokens", "/max_completion_tokens"],
        Dialect::GeminiGenerate => &[
            "/generationConfig/maxOutputTokens",
            "/generation_config/max_output_tokens",
        ],
        _ => &["/max_tokens"],
    };
    let mut body = Cow::Borrowed(body);
    for bound in bounds {
        let number = json::get(&body, bound)?.and_then(|raw| raw.parse::<u64>().ok());
        if let Some(number) = number {
            let left = number.saturating_sub(said_tokens).max(1);
            body = json::set(&body, bound, &left.to_string())?.into();
        }
    }
    Ok(body.into_owned())
}

/// What becomes of a piece of the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fitted {
    /// This is new; maybe nothing of it.
    New(String),
    /// The answer was begun anew: its provider did not understand that it was to go on.
    Again,
}

/// Makes the text of the rest fit to what was said: nothing is said twice.
#[derive(Debug)]
pub struct Join {
    /// What the provider was told was said.
    said: String,
    /// White space behind it, which the caller has and the provider was not told.
    gap: String,
    /// What may turn out to be said again.
    pending: String,
    echoes: bool,
    begun: bool,
}

impl Join {
    /// The rest of an answer of which `said` was said. `echoes`: the provider says it again.
    pub fn new(said: &str, form: Form) -> Self {
        let told = said.trim_end();
        Self {
            said: told.to_owned(),
            gap: said.get(told.len()..).unwrap_or_default().to_owned(),
            pending: String::new(),
            echoes: form == Form::PrefixEchoed,
            begun: told.is_empty(),
        }
    }

    /// The next piece of the rest.
    pub fn push(&mut self, text: &str) -> Fitted {
        if self.begun {
            return Fitted::New(self.behind_gap(text));
        }
        self.pending.push_str(text);
        let same = self.pending.bytes().zip(self.said.bytes());
        let same = same.take_while(|(new, old)| new == old).count();
        let listens = self.echoes || self.said.len() >= AGAIN_BYTES;
        if listens && same == self.said.len() {
            self.begun = true;
            let rest = self.pending.get(same..).unwrap_or_default().to_owned();
            self.pending.clear();
            return Fitted::New(self.behind_gap(&rest));
        }
        if listens && same == self.pending.len() {
            return Fitted::New(String::new());
        }
        if same >= AGAIN_BYTES {
            return Fitted::Again;
        }
        Fitted::New(self.rest())
    }

    /// What was held back, where no more text comes.
    pub fn rest(&mut self) -> String {
        self.begun = true;
        let pending = std::mem::take(&mut self.pending);
        self.behind_gap(&pending)
    }

    /// The text without the white space that the caller has already.
    fn behind_gap(&mut self, text: &str) -> String {
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            if !self.gap.starts_with(next) {
                self.gap.clear();
                break;
            }
            self.gap.drain(..next.len_utf8());
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
        }
        rest.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "Once upon a time there was a gateway, and it went on.";

    fn asked(dialect: Dialect, body: &str, said: &str, form: Form) -> String {
        String::from_utf8(request(dialect, body.as_bytes(), said, 3, form).unwrap()).unwrap()
    }

    #[test]
    fn each_dialect_is_asked_for_the_rest_in_its_own_way() {
        let chat = r#"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":10}"#;
        let less = r#"{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"So \"it\"""#;
        for (form, end) in [
            (Form::Plain, r#"}],"max_tokens":7}"#),
            (Form::Prefix, r#","prefix":true}],"max_tokens":7}"#),
            (Form::Partial, r#","partial":true}],"max_tokens":7}"#),
            (
                Form::ContinueFinalMessage,
                r#"}],"max_tokens":7,"continue_final_message":true,"add_generation_prompt":false}"#,
            ),
        ] {
            let asked = asked(Dialect::OpenaiChat, chat, "So \"it\" \n", form);
            assert_eq!(asked, [less, end].concat());
        }
        let messages = r#"{"max_tokens":2,"messages":[{"role":"user","content":"Hi"}]}"#;
        assert_eq!(
            asked(Dialect::AnthropicMessages, messages, "So ", Form::Plain),
            r#"{"max_tokens":1,"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"So"}]}"#
        );
        let contents =
            r#"{"contents":[{"parts":[{"text":"Hi"}]}],"generationConfig":{"maxOutputTokens":9}}"#;
        assert_eq!(
            asked(Dialect::GeminiGenerate, contents, "So", Form::Plain),
            r#"{"contents":[{"parts":[{"text":"Hi"}]},{"role":"model","parts":[{"text":"So"}]}],"generationConfig":{"maxOutputTokens":6}}"#
        );
    }

    #[test]
    fn what_the_caller_began_itself_is_gone_on_with() {
        let begun = r#"{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"{\"a\":"}]}"#;
        assert_eq!(
            asked(Dialect::OpenaiChat, begun, " 1", Form::Prefix),
            r#"{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"{\"a\": 1","prefix":true}]}"#
        );
        // Nothing was said but white space: it is asked as it was.
        assert_eq!(
            asked(Dialect::OpenaiChat, begun, " \n", Form::Prefix),
            begun
        );
    }

    #[test]
    fn answers_with_a_shape_or_thoughts_are_not_gone_on_with() {
        use Dialect::{AnthropicMessages, GeminiGenerate, OpenaiChat, OpenaiResponses};
        let may = |dialect, body: &str| may_go_on(dialect, body.as_bytes());
        for body in [
            "{}",
            r#"{"n":1,"response_format":{"type":"text"}}"#,
            r#"{"n":null}"#,
        ] {
            assert!(may(OpenaiChat, body), "{body}");
        }
        for body in [
            r#"{"n":2}"#,
            r#"{"response_format":{"type":"json_object"}}"#,
        ] {
            assert!(!may(OpenaiChat, body), "{body}");
        }
        assert!(may(
            AnthropicMessages,
            r#"{"thinking":{"type":"disabled"}}"#
        ));
        assert!(!may(
            AnthropicMessages,
            r#"{"thinking":{"type":"enabled","budget_tokens":9}}"#
        ));
        assert!(!may(
            AnthropicMessages,
            r#"{"output_format":{"type":"json_schema"}}"#
        ));
        assert!(may(
            GeminiGenerate,
            r#"{"generationConfig":{"responseMimeType":"text/plain"}}"#
        ));
        assert!(!may(
            GeminiGenerate,
            r#"{"generationConfig":{"responseMimeType":"application/json"}}"#
        ));
        assert!(!may(
            GeminiGenerate,
            r#"{"generation_config":{"candidate_count":2}}"#
        ));
        assert!(!may(OpenaiResponses, "{}"));
    }

    /// The rest as the caller gets it, whatever its pieces; none where it was begun anew.
    fn joined(said: &str, form: Form, rest: &str) -> Option<String> {
        let mut all = Vec::new();
        for size in [1, 3, 7, 1_000] {
            let (mut join, mut out) = (Join::new(said, form), String::new());
            let pieces = rest.as_bytes().chunks(size);
            let mut again = false;
            for piece in pieces {
                match join.push(std::str::from_utf8(piece).unwrap()) {
                    Fitted::New(text) => out += &text,
                    Fitted::Again => again = true,
                }
            }
            out += &join.rest();
            all.push((!again).then_some(out));
        }
        assert!(all.windows(2).all(|two| two[0] == two[1]), "{all:?}");
        all.remove(0)
    }

    #[test]
    fn nothing_is_said_twice() {
        use Form::{Plain, PrefixEchoed};
        let new = |text: &str| Some(text.to_owned());
        assert_eq!(joined("So it", Plain, " is"), new(" is"));
        // White space that the caller has and the provider was not told.
        assert_eq!(joined("So it ", Plain, " is"), new("is"));
        assert_eq!(joined("So it ", Plain, "is"), new("is"));
        assert_eq!(joined("So.\n", Plain, "\n\nThen"), new("\nThen"));
        assert_eq!(joined("So. ", Plain, "\n\nThen"), new("\n\nThen"));
        assert_eq!(joined(" ", Plain, " So"), new("So"));
        // Words that look like the beginning and are not.
        assert_eq!(joined("I", Plain, "I"), new("I"));
        assert_eq!(joined(LONG, Plain, "Once upon"), new("Once upon"));
        assert_eq!(joined(LONG, Plain, "Once more."), new("Once more."));
        // The beginning again, asked for or not, and another answer.
        assert_eq!(joined("I", PrefixEchoed, "I am"), new(" am"));
        assert_eq!(joined("So ", PrefixEchoed, "So it"), new("it"));
        assert_eq!(joined(LONG, Plain, &[LONG, " Then"].concat()), new(" Then"));
        let other = "Once upon a time there was a gateway; it stopped.";
        assert_eq!(joined(LONG, Plain, other), None);
    }
}
