//! The view over the recorded streams, against an oracle that knows no view; and golden streams of
//! the fake provider after every kind of decision.

mod resumed;

use std::path::{Path, PathBuf};

use serde_json::Value;
use weir_base::Operation;

use super::*;
use crate::fake::{self, Options, Request};
use crate::sse::{Kind, Splitter};

/// One recorded stream.
struct Recording {
    path: PathBuf,
    dialect: Dialect,
    body: Vec<u8>,
}

/// Every recorded stream at hand: those of the repository, and the whole collection where
/// `WEIR_TRAFFIC` names it.
fn recordings() -> Vec<Recording> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/traffic");
    let mut folders = vec![fixtures];
    folders.extend(std::env::var_os("WEIR_TRAFFIC").map(PathBuf::from));
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                found.extend(recording(path));
            }
        }
    }
    found
}

fn recording(path: PathBuf) -> Option<Recording> {
    let value: Value = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
    if value.pointer("/meta/kind")? != "sse" {
        return None;
    }
    let dialect = match value.pointer("/meta/endpoint")?.as_str()? {
        "chat_completions" => Dialect::OpenaiChat,
        "completions" => Dialect::OpenaiCompletions,
        "responses" => Dialect::OpenaiResponses,
        "messages" | "streamRawPredict" => Dialect::AnthropicMessages,
        "streamGenerateContent" => Dialect::GeminiGenerate,
        _ => return None,
    };
    let body = value
        .pointer("/response/body_text")?
        .as_str()?
        .as_bytes()
        .to_vec();
    Some(Recording {
        path,
        dialect,
        body,
    })
}

/// Runs a stream through a view; `decide` sees every event of it.
fn relay(dialect: Dialect, body: &[u8], mut decide: impl FnMut(&Event) -> Action) -> Vec<u8> {
    relay_with(dialect, body, |view, event| {
        let events = view.decode(event);
        let actions = events.iter().map(&mut decide).collect();
        view.apply(event, &events, actions)
    })
}

fn relay_with(
    dialect: Dialect,
    body: &[u8],
    mut write: impl FnMut(&mut View, &sse::Event<'_>) -> Output,
) -> Vec<u8> {
    let mut view = View::new(dialect).unwrap();
    let mut out = Vec::new();
    let mut each = |event: sse::Event<'_>| match write(&mut view, &event) {
        Output::Pass => out.extend_from_slice(event.raw),
        Output::Send(bytes) => out.extend(bytes),
    };
    let mut splitter = Splitter::new();
    splitter.push(body, &mut each);
    splitter.finish(&mut each);
    out.extend(view.close());
    out
}

fn events_of(dialect: Dialect, body: &[u8]) -> Vec<Event> {
    let mut all = Vec::new();
    relay(dialect, body, |event| {
        all.push(event.clone());
        Action::Keep
    });
    all
}

fn text_of(events: &[Event]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Event::Text(delta) => Some(delta.text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn data_of(body: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(body);
    let lines = text.lines().filter_map(|line| line.strip_prefix("data:"));
    lines
        .filter_map(|data| serde_json::from_str(data.trim()).ok())
        .collect()
}

/// The text of a reply, found with nothing but a tree and the providers' documentation.
fn oracle(dialect: Dialect, body: &[u8]) -> String {
    let mut text = String::new();
    for value in data_of(body) {
        match dialect {
            Dialect::OpenaiChat => {
                for choice in value["choices"].as_array().into_iter().flatten() {
                    match &choice["delta"]["content"] {
                        Value::Array(parts) => parts
                            .iter()
                            .for_each(|part| text.push_str(part["text"].as_str().unwrap_or(""))),
                        content => text.push_str(content.as_str().unwrap_or("")),
                    }
                }
            }
            Dialect::OpenaiCompletions => {
                for choice in value["choices"].as_array().into_iter().flatten() {
                    text.push_str(choice["text"].as_str().unwrap_or(""));
                }
            }
            Dialect::OpenaiResponses if value["type"] == "response.output_text.delta" => {
                text.push_str(value["delta"].as_str().unwrap_or(""));
            }
            Dialect::AnthropicMessages if value["delta"]["type"] == "text_delta" => {
                text.push_str(value["delta"]["text"].as_str().unwrap_or(""));
            }
            Dialect::GeminiGenerate => {
                for candidate in value["candidates"].as_array().into_iter().flatten() {
                    for part in candidate["content"]["parts"]
                        .as_array()
                        .into_iter()
                        .flatten()
                    {
                        if part["thought"] != true {
                            text.push_str(part["text"].as_str().unwrap_or(""));
                        }
                    }
                }
            }
            _ => {}
        }
    }
    text
}

#[test]
fn recorded_streams_show_their_text_and_pass_byte_for_byte() {
    for Recording {
        path,
        dialect,
        body,
    } in recordings()
    {
        let mut events = Vec::new();
        let out = relay(dialect, &body, |event| {
            events.push(event.clone());
            Action::Keep
        });
        assert_eq!(
            String::from_utf8_lossy(&out),
            String::from_utf8_lossy(&body),
            "{path:?}"
        );
        assert_eq!(text_of(&events), oracle(dialect, &body), "{path:?}");
    }
}

#[test]
fn recorded_streams_set_to_the_same_text_stay_the_same_json() {
    for Recording {
        path,
        dialect,
        body,
    } in recordings()
    {
        let out = relay_with(dialect, &body, |view, event| {
            let events = view.decode(event);
            let mut edits = Edits::plan(std::mem::take(&mut view.slots), &events, Vec::new());
            for (_, own, change) in &mut edits.places {
                // OpenAI at times ends a summary of thoughts with other words than its deltas had.
                let thoughts = dialect != Dialect::OpenaiResponses;
                if matches!(own, Event::Text(_)) || matches!(own, Event::Reasoning(_) if thoughts) {
                    *change = Change::Set((*own).clone());
                }
            }
            match &mut view.speech {
                Speech::Chat(stream) => stream.write(event, edits),
                Speech::Responses(stream) => stream.write(event, edits),
                Speech::Anthropic(stream) => stream.write(event, edits),
                Speech::Gemini(stream) => stream.write(event, edits),
            }
        });
        let plain = |body: &[u8]| data_of(body).into_iter().map(bare).collect::<Vec<_>>();
        let (after, before) = (plain(&out), plain(&body));
        assert_eq!(after.len(), before.len(), "{path:?}");
        for (after, before) in after.iter().zip(&before) {
            assert_eq!(after, before, "{path:?}");
        }
    }
}

/// The value without what goes from a changed event: log probabilities, and thoughts told twice.
fn bare(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for name in ["logprobs", "logprobsResult", "reasoning_details"] {
                fields.remove(name);
            }
            if fields.contains_key("reasoning_content") {
                fields.remove("reasoning");
            }
            fields
                .values_mut()
                .for_each(|field| *field = bare(field.take()));
        }
        Value::Array(all) => all
            .iter_mut()
            .for_each(|element| *element = bare(element.take())),
        _ => {}
    }
    value
}

#[test]
fn recorded_streams_tell_nothing_of_what_was_replaced() {
    for Recording {
        path,
        dialect,
        body,
    } in recordings()
    {
        let masked = relay(dialect, &body, |event| match event {
            Event::Text(delta) => {
                let text = "*".repeat(delta.text.chars().count());
                Action::Replace(vec![Event::Text(TextDelta {
                    text,
                    ..delta.clone()
                })])
            }
            _ => Action::Keep,
        });
        let (before, after) = (events_of(dialect, &body), events_of(dialect, &masked));
        let expected = "*".repeat(text_of(&before).chars().count());
        assert_eq!(text_of(&after), expected, "{path:?}");
        assert_eq!(after.len(), before.len(), "{path:?}");
        let original = text_of(&before);
        // Short answers may well stand in the request, which some providers repeat.
        if original.len() > 80 && dialect == Dialect::OpenaiResponses {
            let told = Value::String(original).to_string();
            let told = told.trim_matches('"');
            assert!(!String::from_utf8_lossy(&masked).contains(told), "{path:?}");
        }
    }
}

#[test]
fn recorded_streams_keep_their_frame_when_all_is_dropped() {
    for Recording {
        path,
        dialect,
        body,
    } in recordings()
    {
        let out = relay(dialect, &body, |event| match event {
            Event::Text(_) | Event::Reasoning(_) | Event::ToolCall(_) => Action::Replace(vec![]),
            _ => Action::Keep,
        });
        let left = events_of(dialect, &out);
        let is_content = |event: &&Event| {
            matches!(
                event,
                Event::Text(_) | Event::Reasoning(_) | Event::ToolCall(_)
            )
        };
        assert_eq!(left.iter().find(is_content), None, "{path:?}");
        let rest = |events: &[Event]| {
            let is_end = |event: &&Event| matches!(event, Event::Usage(_) | Event::Finish(_));
            events.iter().filter(is_end).count()
        };
        assert_eq!(rest(&left), rest(&events_of(dialect, &body)), "{path:?}");
        balanced(dialect, &out, &path);
    }
}

/// Blocks and items begin in order, without gaps, and end.
fn balanced(dialect: Dialect, body: &[u8], path: &Path) {
    let (start, stop, field) = match dialect {
        Dialect::AnthropicMessages => ("content_block_start", "content_block_stop", "index"),
        Dialect::OpenaiResponses => (
            "response.output_item.added",
            "response.output_item.done",
            "output_index",
        ),
        _ => return,
    };
    let numbers = |kind: &str| {
        let all = data_of(body)
            .into_iter()
            .filter(|value| value["type"] == kind);
        all.map(|value| value[field].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let (begun, ended) = (numbers(start), numbers(stop));
    assert_eq!(
        begun,
        (0..begun.len() as u64).collect::<Vec<_>>(),
        "{path:?}"
    );
    // Not every item of every recording ends; none ends twice.
    let once = |number: &u64| ended.iter().filter(|other| *other == number).count() == 1;
    assert!(
        ended
            .iter()
            .all(|number| begun.contains(number) && once(number)),
        "{path:?}"
    );
}

/// A stream of the fake provider: text of five deltas, or a tool call.
fn faked(dialect: Dialect, with_tool: bool) -> Vec<u8> {
    let tool = r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#;
    let (path, prompt, tools) = match dialect {
        Dialect::OpenaiChat => (
            "/v1/chat/completions",
            r#""stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi"}]"#,
            format!(
                r#"[{{"type":"function","function":{{"name":"weather","parameters":{tool}}}}}]"#
            ),
        ),
        Dialect::OpenaiCompletions => ("/v1/completions", r#""prompt":"Hi""#, "[]".to_owned()),
        Dialect::OpenaiResponses => (
            "/v1/responses",
            r#""input":"Hi""#,
            format!(r#"[{{"type":"function","name":"weather","parameters":{tool}}}]"#),
        ),
        Dialect::AnthropicMessages => (
            "/v1/messages",
            r#""max_tokens":99,"messages":[{"role":"user","content":"Hi"}]"#,
            format!(r#"[{{"name":"weather","input_schema":{tool}}}]"#),
        ),
        _ => (
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            r#""contents":[{"role":"user","parts":[{"text":"Hi"}]}]"#,
            format!(r#"[{{"functionDeclarations":[{{"name":"weather","parameters":{tool}}}]}}]"#),
        ),
    };
    let tools = if with_tool {
        format!(r#","tools":{tools}"#)
    } else {
        String::new()
    };
    let body = format!(r#"{{"model":"m","stream":true,{prompt}{tools}}}"#);
    let request = Request {
        dialect,
        operation: Operation::Chat,
        path,
        model: "m",
        stream: true,
        body: body.as_bytes(),
        now_unix_s: 1_800_000_000,
        call_id: "req_01",
    };
    let text = (!with_tool).then(|| "one two three".to_owned());
    let options = Options {
        text,
        ..Options::default()
    };
    fake::answer(&request, &options).body.to_bytes()
}

fn text(text: &str) -> Event {
    Event::Text(TextDelta {
        choice: 0,
        text: text.to_owned(),
    })
}

fn thought(text: &str) -> Event {
    Event::Reasoning(TextDelta {
        choice: 0,
        text: text.to_owned(),
    })
}

fn call(index: u32, name: Option<&str>, arguments: &str) -> Event {
    let name = name.map(str::to_owned);
    let arguments = arguments.to_owned();
    Event::ToolCall(ToolCallDelta {
        choice: 0,
        index,
        id: None,
        name,
        arguments,
    })
}

/// Each decision with the stream it is about and the text that the client must end up with.
type Decide = fn(&Event) -> Action;
const DECISIONS: [(&str, bool, &str, Decide); 7] = [
    // One delta in other words.
    ("masked", false, "one *** three", |event| match event {
        Event::Text(delta) if delta.text == "two " => Action::Replace(vec![text("*** ")]),
        _ => Action::Keep,
    }),
    // Everything is held back until the end is known.
    ("held", false, "three two one", |event| match event {
        Event::Text(_) => Action::Replace(vec![]),
        Event::Finish(_) => Action::Replace(vec![text("three "), text("two one"), event.clone()]),
        _ => Action::Keep,
    }),
    // One delta becomes three, of two kinds.
    (
        "widened",
        false,
        "one (two again and again) three",
        |event| match event {
            Event::Text(delta) if delta.text == "two " => Action::Replace(vec![
                text("(two "),
                thought("Hm. "),
                text("again and again) "),
            ]),
            _ => Action::Keep,
        },
    ),
    // A call of our own ahead of the text, in two pieces, and another reason to end.
    ("called", false, "one two three", |event| match event {
        Event::Text(delta) if delta.text == "one " => Action::Replace(vec![
            call(0, Some("lookup"), "{\"a\":"),
            call(0, None, "1}"),
            text("one "),
        ]),
        Event::Finish(_) => Action::Replace(vec![Event::Finish("tool_calls".to_owned())]),
        _ => Action::Keep,
    }),
    // The provider's call is not told; a text is.
    ("uncalled", true, "No.", |event| match event {
        Event::ToolCall(delta) if delta.name.is_some() => Action::Replace(vec![text("No.")]),
        Event::Finish(_) => Action::Replace(vec![Event::Finish("stop".to_owned())]),
        _ => Action::Keep,
    }),
    // The provider's call gets another name, and its arguments all at once.
    ("renamed", true, "", |event| match event {
        Event::ToolCall(ToolCallDelta {
            name: Some(_),
            index,
            ..
        }) => Action::Replace(vec![call(*index, Some("climate"), "{\"city\":\"Ulm\"}")]),
        Event::ToolCall(_) => Action::Replace(vec![]),
        _ => Action::Keep,
    }),
    // Other counts.
    ("recounted", false, "one two three", |event| match event {
        Event::Usage(usage) => Action::Replace(vec![Event::Usage(Usage {
            input_tokens: 100,
            output_tokens: 20,
            ..*usage
        })]),
        _ => Action::Keep,
    }),
];

#[test]
fn decisions_become_streams_of_the_dialect() {
    for dialect in Dialect::ALL {
        if View::new(dialect).is_none() {
            continue;
        }
        for (name, with_tool, expected, decide) in DECISIONS {
            if with_tool && dialect == Dialect::OpenaiCompletions {
                continue;
            }
            let out = relay(dialect, &faked(dialect, with_tool), decide);
            let events = events_of(dialect, &out);
            assert_eq!(text_of(&events), expected, "{} {name}", dialect.as_str());
            balanced(dialect, &out, Path::new(name));
            let shown = String::from_utf8(out).unwrap().replace('\r', "");
            insta::assert_snapshot!(format!("{}.{name}", dialect.as_str()), shown);
        }
    }
}

#[test]
fn the_end_is_known_when_it_comes_and_not_before() {
    for dialect in Dialect::ALL {
        let Some(mut view) = View::new(dialect) else {
            continue;
        };
        let mut text_after_end = false;
        Splitter::new().push(&faked(dialect, false), |event| {
            let events = view.decode(&event);
            text_after_end |= view.is_closing() && !text_of(&events).is_empty();
            view.apply(&event, &events, Vec::new());
        });
        assert!(view.is_closing() && !text_after_end, "{}", dialect.as_str());
    }
}

#[test]
fn whatever_comes_is_passed_on() {
    let junk = [
        "data: \n\n",
        "data: {\n\n",
        "data: null\n\ndata: []\n\ndata: 7\n\n",
        ": comment\n\n",
        "event: x\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":9,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n",
        "data: {\"type\":\"content_block_stop\",\"index\":4}\n\n",
        "data: {\"type\":\"response.output_text.delta\",\"output_index\":3,\"content_index\":0,\"delta\":\"a\"}\n\n",
        "data: {\"type\":\"response.output_item.done\",\"output_index\":8,\"item\":{}}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":[{\"thinking\":[{\"text\":\"a\"}]},3]}}]}\n\n",
        "data: {\"candidates\":[{\"content\":{\"parts\":[{},{\"text\":\"a\"}]}}]}\n\n",
        "event: error\ndata: {\"error\":{\"message\":\"no\"}}\n\n",
    ];
    for dialect in Dialect::ALL {
        if View::new(dialect).is_none() {
            continue;
        }
        let body = junk.concat();
        let out = relay(dialect, body.as_bytes(), |_| Action::Keep);
        assert_eq!(String::from_utf8_lossy(&out), body);
        // And dropping it all leaves no text.
        let out = relay(dialect, body.as_bytes(), |_| Action::Replace(vec![]));
        assert_eq!(text_of(&events_of(dialect, &out)), "");
    }
}

#[test]
fn silent_events_are_nothing() {
    let event = sse::Event {
        kind: Kind::Silent,
        name: None,
        data: b"",
        raw: b": hi\n\n",
    };
    let mut view = View::new(Dialect::OpenaiChat).unwrap();
    assert_eq!(view.decode(&event), []);
    assert_eq!(
        view.apply(&event, &[], vec![Action::Replace(vec![text("x")])]),
        Output::Pass
    );
}

#[test]
fn raw_events_of_several_lines_stay_one_event() {
    let raw = RawEvent {
        name: Some("no\nte".to_owned()),
        data: "a\nb\r\nc".to_owned(),
    };
    let bytes = View::new(Dialect::OpenaiChat)
        .unwrap()
        .make(&[Event::Other(raw)]);
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        "event: note\ndata: a\ndata: b\ndata: c\n\n"
    );
}
