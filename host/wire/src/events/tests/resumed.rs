//! A stream that another provider goes on with: one stream at the client.

use super::*;

/// The events of a stream, as bytes.
fn raw(body: &[u8]) -> Vec<Vec<u8>> {
    let (mut splitter, mut all) = (Splitter::new(), Vec::new());
    splitter.push(body, |event| all.push(event.raw.to_vec()));
    splitter.finish(|event| all.push(event.raw.to_vec()));
    all
}

/// Both streams through one view, with all events kept.
fn resumed(dialect: Dialect, first: &[u8], second: &[u8]) -> Vec<u8> {
    let mut view = View::new(dialect).unwrap();
    let mut out = Vec::new();
    for (number, body) in [first, second].into_iter().enumerate() {
        if number == 1 {
            view.resume();
        }
        let mut splitter = Splitter::new();
        splitter.push(body, |event| {
            let events = view.decode(&event);
            match view.apply(&event, &events, Vec::new()) {
                Output::Pass => out.extend_from_slice(event.raw),
                Output::Send(bytes) => out.extend_from_slice(&bytes),
            }
        });
    }
    out.extend_from_slice(&view.close());
    out
}

#[test]
fn recorded_streams_cut_anywhere_and_gone_on_with_are_one_stream() {
    let mut count = 0;
    for Recording {
        path,
        dialect,
        body,
    } in recordings()
    {
        let events = events_of(dialect, &body);
        let plain = |event: &Event| {
            matches!(event, Event::Text(text) if text.choice == 0)
                || matches!(event, Event::Usage(_) | Event::Finish(_))
        };
        let ends = |event: &Event| matches!(event, Event::Finish(_));
        let known = matches!(
            dialect,
            Dialect::OpenaiChat | Dialect::AnthropicMessages | Dialect::GeminiGenerate
        );
        if !known || !events.iter().all(plain) || text_of(&events).is_empty() {
            continue;
        }
        let all = raw(&body);
        let says = |event: &Vec<u8>| !text_of(&events_of(dialect, event)).is_empty();
        let begin = all.iter().position(says).unwrap();
        for cut in [begin + 1, begin + 1 + (all.len() - begin) / 2] {
            let cut = cut.min(all.len());
            let first = all[..cut].concat();
            if events_of(dialect, &first).iter().any(ends) {
                continue;
            }
            count += 1;
            let second = [all[..begin].concat(), all[cut..].concat()].concat();
            let second = String::from_utf8(second).unwrap();
            let second = second
                .replace("msg_", "msg_zzz")
                .replace("chatcmpl-", "zzz");
            let out = resumed(dialect, &first, second.as_bytes());
            assert_eq!(
                text_of(&events_of(dialect, &out)),
                text_of(&events),
                "{}",
                path.display()
            );
            balanced(dialect, &out, &path);
            let out = String::from_utf8(out).unwrap();
            for id in ["\"id\":\"zzz", "\"id\":\"msg_zzz"] {
                assert!(!out.contains(id), "{}: {out}", path.display());
            }
            let ends = events.iter().filter(|event| ends(event)).count();
            assert_eq!(out.matches("weir_continued").count(), ends, "{path:?}");
        }
    }
    assert!(count > 4, "{count}");
}

fn anthropic(index: u32, text: &str) -> String {
    format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
    )
}

const ANTHROPICS_BEGINNING: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg\",\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
const STOP: &str =
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n";

#[test]
fn anthropics_block_goes_on_also_where_its_stop_had_come() {
    for stop in ["", STOP] {
        let first = [ANTHROPICS_BEGINNING, &anthropic(0, "One "), stop].concat();
        let second = [ANTHROPICS_BEGINNING, &anthropic(0, "two."), STOP].concat();
        let expected = [
            ANTHROPICS_BEGINNING,
            &anthropic(0, "One "),
            &anthropic(0, "two."),
            STOP,
        ]
        .concat();
        let out = resumed(
            Dialect::AnthropicMessages,
            first.as_bytes(),
            second.as_bytes(),
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn what_is_no_text_ends_anthropics_block() {
    let tool = |index: u32| {
        format!(
            "event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":{index},\"content_block\":{{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{{}}}}}}\n\n"
        )
    };
    let start = ANTHROPICS_BEGINNING.split_inclusive("\n\n").next().unwrap();
    let first = [ANTHROPICS_BEGINNING, &anthropic(0, "One ")].concat();
    let second = [start, &tool(0), STOP].concat();
    let out = resumed(
        Dialect::AnthropicMessages,
        first.as_bytes(),
        second.as_bytes(),
    );
    let stop = STOP.replace("\"index\":0", "\"index\":1");
    // What is made here has its members in another order than the provider's.
    let data = |body: &str| data_of(body.as_bytes());
    let expected = [&first, STOP, &tool(1), &stop].concat();
    assert_eq!(data(&String::from_utf8(out).unwrap()), data(&expected));
}

#[test]
fn chunks_get_the_ids_of_the_first_and_one_role() {
    let chunk = |id: &str, delta: &str, finish: &str, more: &str| {
        format!(
            "data: {{\"id\":\"{id}\",\"model\":\"m-{id}\",\"created\":1,\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]{more}}}\n\n"
        )
    };
    let role = r#"{"role":"assistant","content":""}"#;
    let first = [
        chunk("a", role, "null", ""),
        chunk("a", r#"{"content":"One "}"#, "null", ""),
    ];
    let second = [
        chunk("b", role, "null", ""),
        chunk("b", r#"{"role":"assistant","content":"two."}"#, "null", ",\"x\":1"),
        chunk("b", "{}", "\"stop\"", ""),
        "data: {\"id\":\"b\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n".to_owned(),
        "data: [DONE]\n\n".to_owned(),
    ];
    let out = resumed(
        Dialect::OpenaiChat,
        first.concat().as_bytes(),
        second.concat().as_bytes(),
    );
    let expected = [
        first.concat(),
        chunk("a", r#"{"content":"two."}"#, "null", ",\"x\":1"),
        chunk("a", "{}", "\"stop\"", ",\"weir_continued\":1"),
        second[3].replace("\"b\"", "\"a\""),
        second[4].clone(),
    ];
    assert_eq!(String::from_utf8(out).unwrap(), expected.concat());
}
