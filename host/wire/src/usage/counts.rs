//! The numbers of a usage object, under whichever names, and what they mean together.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use weir_base::Usage;

use crate::dialect::Family;

/// What a usage object says, not yet judged. None: not said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    /// Cached input, inside the input for some providers.
    cached: Option<u64>,
    /// Anthropic's names for what was read from and written to the cache.
    cache_read: Option<u64>,
    cache_creation: Option<u64>,
    /// The same by lifetime, to be summed.
    cache_creation_by_age: Option<u64>,
    cache_write: Option<u64>,
    reasoning: Option<u64>,
    /// Gemini's thoughts and tool results, which stand beside output and input.
    thoughts: Option<u64>,
    tool_input: Option<u64>,
    /// Mistral counts audio in seconds, and its tokens in the total only.
    audio_seconds: Option<u64>,
}

impl Counts {
    /// What stands in a usage object; None where that is no object or holds no count.
    pub(super) fn read(json: &[u8]) -> Option<Counts> {
        serde_json::from_slice::<Counts>(json)
            .ok()
            .filter(|counts| *counts != Counts::default())
    }

    /// The counts of a later event over those of earlier ones: what it says counts.
    pub(super) fn updated_by(self, later: Counts) -> Counts {
        Counts {
            input: later.input.or(self.input),
            output: later.output.or(self.output),
            total: later.total.or(self.total),
            cached: later.cached.or(self.cached),
            cache_read: later.cache_read.or(self.cache_read),
            cache_creation: later.cache_creation.or(self.cache_creation),
            cache_creation_by_age: later.cache_creation_by_age.or(self.cache_creation_by_age),
            cache_write: later.cache_write.or(self.cache_write),
            reasoning: later.reasoning.or(self.reasoning),
            thoughts: later.thoughts.or(self.thoughts),
            tool_input: later.tool_input.or(self.tool_input),
            audio_seconds: later.audio_seconds.or(self.audio_seconds),
        }
    }

    /// The counts in the meaning that Weir gives them; None where no tokens are named at all.
    pub(super) fn usage(self, family: Family) -> Option<Usage> {
        self.input
            .or(self.output)
            .or(self.total)
            .or(self.thoughts)?;
        let usage = match family {
            Family::Openai => self.openai(),
            Family::Anthropic => self.anthropic(),
            Family::Gemini => self.gemini(),
        };
        // The parts are parts: some providers report more cached tokens than tokens.
        let cached_tokens = usage.cached_tokens.min(usage.input_tokens);
        Some(Usage {
            cached_tokens,
            cache_write_tokens: usage
                .cache_write_tokens
                .min(usage.input_tokens - cached_tokens),
            reasoning_tokens: usage.reasoning_tokens.min(usage.output_tokens),
            ..usage
        })
    }

    /// Cached tokens are part of the input, and reasoning is part of the output, unless the total
    /// tells otherwise.
    fn openai(self) -> Usage {
        let total = self.total.unwrap_or(0);
        let reported = self.output.unwrap_or(0);
        // Embeddings and reranking often report a total alone.
        let input = self.input.unwrap_or_else(|| total.saturating_sub(reported));
        let reasoning = self.reasoning.unwrap_or(0);
        let unexplained = total.saturating_sub(input.saturating_add(reported));
        let mut usage = Usage {
            input_tokens: input,
            output_tokens: reported,
            cached_tokens: self.cached.max(self.cache_read).unwrap_or(0),
            cache_write_tokens: self.cache_write.max(self.cache_creation).unwrap_or(0),
            reasoning_tokens: reasoning,
            ..Usage::default()
        };
        if unexplained > 0 {
            // xAI counts reasoning beside the output, Gemini's OpenAI surface hides its thoughts in
            // the total, Mistral hides audio there.
            if self.audio_seconds.is_some() && unexplained != reasoning {
                usage.input_tokens = input.saturating_add(unexplained);
            } else {
                usage.output_tokens = reported.saturating_add(unexplained);
            }
        } else if reasoning / 2 > reported {
            // Vercel passes Gemini's thoughts beside an output and a total that leave them out.
            // Where reasoning is only a little more than the output, it is the same text counted
            // with another tokenizer (OpenRouter), and the output is what is billed.
            usage.output_tokens = reported.saturating_add(reasoning);
        }
        usage
    }

    /// Cache reads and writes stand beside the input.
    fn anthropic(self) -> Usage {
        let read = self.cache_read.or(self.cached).unwrap_or(0);
        let written = self
            .cache_creation
            .or(self.cache_creation_by_age)
            .unwrap_or(0);
        Usage {
            input_tokens: self
                .input
                .unwrap_or(0)
                .saturating_add(read)
                .saturating_add(written),
            output_tokens: self.output.unwrap_or(0),
            cached_tokens: read,
            cache_write_tokens: written,
            reasoning_tokens: self.reasoning.unwrap_or(0),
            ..Usage::default()
        }
    }

    /// Thoughts stand beside the candidates, tool results beside the prompt; a count that is zero
    /// may be left out, and the prompt's may be missing where it is not: the total fills the gap.
    fn gemini(self) -> Usage {
        let thoughts = self.thoughts.unwrap_or(0);
        let tools = self.tool_input.unwrap_or(0);
        let mut output = self.output.unwrap_or(0).saturating_add(thoughts);
        let total = self.total.unwrap_or(0);
        let input = match self.input {
            Some(input) => input.saturating_add(tools),
            None => tools.max(total.saturating_sub(output)),
        };
        if self.output.is_none() {
            output = output.max(total.saturating_sub(input));
        }
        Usage {
            input_tokens: input,
            output_tokens: output,
            cached_tokens: self.cached.unwrap_or(0),
            reasoning_tokens: self.reasoning.unwrap_or(0).max(thoughts),
            ..Usage::default()
        }
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut counts = Counts::default();
        Level {
            place: Place::Top,
            counts: &mut counts,
        }
        .deserialize(deserializer)?;
        Ok(counts)
    }
}

/// Which object is being read: the usage itself, or one of the objects in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    InputDetails,
    OutputDetails,
    CacheCreation,
}

struct Level<'c> {
    place: Place,
    counts: &'c mut Counts,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Anything but an object says nothing: providers send null, numbers and lists in these places.
impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a usage object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let place = self.place;
        while let Some(field) = map.next_key_seed(FieldName(place))? {
            match field {
                Field::Nested(place) => {
                    map.next_value_seed(Level {
                        place,
                        counts: &mut *self.counts,
                    })?;
                }
                Field::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
                known => {
                    let Number(value) = map.next_value()?;
                    self.counts.put(known, value);
                }
            }
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

impl Counts {
    fn put(&mut self, field: Field, value: Option<u64>) {
        let Some(value) = value else { return };
        match field {
            Field::Input => self.input = Some(value),
            Field::Output => self.output = Some(value),
            Field::Total => self.total = Some(value),
            // Reported under two names at once, the same fact may be zero under one of them.
            Field::Cached => self.cached = self.cached.max(Some(value)),
            Field::CacheRead => self.cache_read = Some(value),
            Field::CacheCreation => self.cache_creation = Some(value),
            Field::CacheCreationByAge => {
                let sum = self
                    .cache_creation_by_age
                    .unwrap_or(0)
                    .saturating_add(value);
                self.cache_creation_by_age = Some(sum);
            }
            Field::CacheWrite => self.cache_write = self.cache_write.max(Some(value)),
            Field::Reasoning => self.reasoning = self.reasoning.max(Some(value)),
            Field::Thoughts => self.thoughts = Some(value),
            Field::ToolInput => self.tool_input = Some(value),
            Field::AudioSeconds => self.audio_seconds = Some(value),
            Field::Nested(_) | Field::Unknown => {}
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Field {
    Input,
    Output,
    Total,
    Cached,
    CacheRead,
    CacheCreation,
    CacheCreationByAge,
    CacheWrite,
    Reasoning,
    Thoughts,
    ToolInput,
    AudioSeconds,
    Nested(Place),
    Unknown,
}

/// The name of a key, in the place where it stands.
struct FieldName(Place);

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldName {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, name: &str) -> Result<Field, E> {
        Ok(match self.0 {
            Place::Top => top_field(name),
            Place::InputDetails => match name {
                "cached_tokens" => Field::Cached,
                "cache_write_tokens" | "cache_creation_tokens" => Field::CacheWrite,
                _ => Field::Unknown,
            },
            Place::OutputDetails => match name {
                "reasoning_tokens" | "thinking_tokens" => Field::Reasoning,
                _ => Field::Unknown,
            },
            Place::CacheCreation => Field::CacheCreationByAge,
        })
    }
}

fn top_field(name: &str) -> Field {
    match name {
        "prompt_tokens" | "input_tokens" | "promptTokenCount" | "total_input_tokens" => {
            Field::Input
        }
        "completion_tokens"
        | "output_tokens"
        | "candidatesTokenCount"
        | "responseTokenCount"
        | "total_output_tokens" => Field::Output,
        "total_tokens" | "totalTokenCount" => Field::Total,
        "cached_tokens"
        | "num_cached_tokens"
        | "prompt_cache_hit_tokens"
        | "cachedContentTokenCount"
        | "total_cached_tokens" => Field::Cached,
        "cache_read_input_tokens" => Field::CacheRead,
        "cache_creation_input_tokens" => Field::CacheCreation,
        "cache_creation" => Field::Nested(Place::CacheCreation),
        "reasoning_tokens" => Field::Reasoning,
        "thoughtsTokenCount" | "total_thought_tokens" => Field::Thoughts,
        "toolUsePromptTokenCount" | "total_tool_use_tokens" => Field::ToolInput,
        "prompt_audio_seconds" => Field::AudioSeconds,
        "prompt_tokens_details"
        | "prompt_token_details"
        | "input_tokens_details"
        | "input_token_details" => Field::Nested(Place::InputDetails),
        "completion_tokens_details"
        | "completion_token_details"
        | "output_tokens_details"
        | "output_token_details" => Field::Nested(Place::OutputDetails),
        _ => Field::Unknown,
    }
}

/// A count, written as a number of any kind or as digits in a string. All else is no count.
struct Number(Option<u64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count")
            }

            fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
                Ok(Number(Some(value)))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
                Ok(Number(u64::try_from(value).ok()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
                // The cast saturates; a negative count is none.
                Ok(Number((value >= 0.0).then_some(value.round() as u64)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Number, E> {
                Ok(Number(value.parse().ok()))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Number(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Number, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Number(None))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
