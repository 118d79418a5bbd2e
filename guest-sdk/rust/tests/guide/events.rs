//! Replaces a word in streamed answers, also where it comes in several pieces.

use std::collections::BTreeMap;

use weir_sdk::prelude::*;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Censor {
    word: String,
    instead: String,
}

/// What is held back of each choice: the beginning of what may become the word.
type Held = BTreeMap<u32, String>;

impl Events for Censor {
    type Stream = Held;

    fn open(&self, _: &Summary) -> Option<Held> {
        (!self.word.is_empty()).then(Held::new)
    }

    fn push(&self, held: &mut Held, event: Event) -> Result<Action, Denial> {
        let Event::Text(mut delta) = event else {
            return Ok(Action::Pass);
        };
        let before = held.remove(&delta.choice).unwrap_or_default();
        let mut text = (before.clone() + &delta.text).replace(&self.word, &self.instead);
        let tail = text.split_off(text.len() - self.may_begin(&text));
        let is_same = before.is_empty() && tail.is_empty() && text == delta.text;
        if !tail.is_empty() {
            held.insert(delta.choice, tail);
        }
        if is_same {
            return Ok(Action::Pass);
        }
        if text.is_empty() {
            return Ok(Action::Drop);
        }
        delta.text = text;
        Ok(Action::Replace(vec![Event::Text(delta)]))
    }

    /// The gateway puts this before the event that ends the answer.
    fn close(&self, held: Held) -> Vec<Event> {
        let text = |(choice, text)| Event::Text(weir_sdk::TextDelta { choice, text });
        held.into_iter().map(text).collect()
    }
}

impl Censor {
    /// How many bytes at the end of the text may be the beginning of the word.
    fn may_begin(&self, text: &str) -> usize {
        let starts = self.word.char_indices().map(|(at, _)| at).rev();
        starts
            .filter_map(|at| self.word.get(..at))
            .find(|start| text.ends_with(start))
            .map_or(0, str::len)
    }
}

weir_sdk::export!(Censor: events);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::Host;

    fn streamed(pieces: &[&str]) -> String {
        let policy = Censor::configure(r#"{"word": "secret", "instead": "[...]"}"#).unwrap();
        let run = |call: &Summary| {
            let mut stream = policy.open(call).unwrap();
            let mut told = Vec::new();
            for piece in pieces {
                match policy.push(&mut stream, Event::text(*piece)).unwrap() {
                    Action::Pass => told.push(Event::text(*piece)),
                    Action::Drop => {}
                    Action::Replace(events) => told.extend(events),
                }
            }
            told.extend(policy.close(stream));
            told
        };
        let told = Host::new().run(run).0;
        let text = told.into_iter().map(|event| match event {
            Event::Text(delta) => delta.text,
            other => panic!("{other:?}"),
        });
        text.collect()
    }

    #[test]
    fn the_word_is_found_across_pieces_and_nothing_is_lost() {
        assert_eq!(
            streamed(&["a secret, a sec", "r", "et too"]),
            "a [...], a [...] too"
        );
        assert_eq!(streamed(&["a sec", "ond"]), "a second");
        assert_eq!(streamed(&["it is sec"]), "it is sec");
        assert_eq!(streamed(&["plain", " text"]), "plain text");
    }
}
