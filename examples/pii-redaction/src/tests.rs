use serde_json::{Value, json};
use weir_sdk::testing::{Call, Host, Seen};
use weir_sdk::{TextDelta, ToolCallDelta};

use super::*;

const REVERSIBLE: &str = r#"{"reversible": true}"#;

fn settings(config: &str) -> Settings {
    Settings::configure(config).unwrap()
}

fn rewritten(host: &mut Host, settings: &Settings) -> (Result<(), Denial>, Seen) {
    host.run(|call| settings.rewrite(call))
}

fn ask(text: &str) -> Call {
    Call::chat("m").body(json!({"model": "m", "messages": [{"role": "user", "content": text}]}))
}

#[test]
fn every_text_of_a_prompt_and_nothing_else() {
    let body = json!({
        "model": "bob@example.com", "user": "bob@example.com",
        "messages": [
            {"role": "system", "content": "Mail bob@example.com or eve@example.com."},
            {"role": "user", "name": "x", "content": [
                {"type": "text", "text": "I am eve@example.com"},
                {"type": "image_url", "image_url": {"url": "https://x/?q=bob@example.com"}}]},
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function":
                {"name": "f", "arguments": "{\"to\":\"eve@example.com\",\"id\":\"bob@example.com\",\"card\":4111111111111111,\"n\":7}"}}]},
        ],
    });
    let mut host = Host::new().call(Call::chat("m").body(body));
    let (result, seen) = rewritten(&mut host, &settings("{}"));
    assert_eq!(result, Ok(()));
    let body = seen.json();
    assert_eq!(body["model"], "bob@example.com");
    assert_eq!(body["user"], "[EMAIL_1]");
    let messages = &body["messages"];
    assert_eq!(messages[0]["content"], "Mail [EMAIL_1] or [EMAIL_2].");
    assert_eq!(messages[1]["content"][0]["text"], "I am [EMAIL_2]");
    assert_eq!(
        messages[1]["content"][1]["image_url"]["url"],
        "https://x/?q=bob@example.com"
    );
    assert_eq!(
        messages[2]["tool_calls"][0]["function"]["arguments"],
        r#"{"to":"[EMAIL_2]","id":"[EMAIL_1]","card":"[CARD_1]","n":7}"#
    );
    let counted: Vec<_> = seen
        .metrics
        .iter()
        .map(|metric| (metric.labels[0].1.as_str(), metric.value))
        .collect();
    assert_eq!(counted, [("CARD", 1.0), ("EMAIL", 6.0)]);
}

#[test]
fn a_prompt_without_personal_data_is_not_touched() {
    let (result, seen) = rewritten(&mut Host::new().call(ask("Hello")), &settings("{}"));
    assert_eq!((result, seen.edits.len()), (Ok(()), 0));
}

#[test]
fn what_cannot_be_looked_into_is_refused() {
    let mut host = Host::new().call(Call::chat("m").bytes(b"--x\r\n"));
    let (result, _) = rewritten(&mut host, &settings("{}"));
    assert_eq!(result.unwrap_err().code, "body_not_readable");
    let (result, _) = rewritten(&mut host, &settings(r#"{"other_bodies": "pass"}"#));
    assert_eq!(result, Ok(()));
    let several = json!({"model": "m", "n": 2, "messages": []});
    let mut host = Host::new().call(Call::chat("m").body(several).streaming());
    let (result, _) = rewritten(&mut host, &settings("{}"));
    assert_eq!(result.unwrap_err().code, "stream_not_supported");
    let mut host = Host::new().call(ask("Hi").dialect("gemini.generate").streaming());
    let (result, _) = rewritten(&mut host, &settings("{}"));
    assert_eq!(result.unwrap_err().code, "stream_not_supported");
}

fn reply(host: &mut Host, settings: &Settings, content: &str) -> Option<Value> {
    let body =
        json!({"id": "x", "choices": [{"message": {"role": "assistant", "content": content}}]});
    let (answer, _) = host.run(|call| settings.reply(call, Response::json(200, &body)));
    let response = answer.unwrap()?;
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    Some(body["choices"][0]["message"]["content"].clone())
}

#[test]
fn a_reply_gets_back_what_its_prompt_lost_and_only_that() {
    let settings = settings(REVERSIBLE);
    let mut host = Host::new().call(ask("Write to \"bob@example.com\"").id("req_7"));
    rewritten(&mut host, &settings).0.unwrap();
    assert!(host.store("call:req_7").is_some());
    let content = reply(
        &mut host,
        &settings,
        "Dear [EMAIL_1], [EMAIL_2], and eve@example.com",
    );
    assert_eq!(
        content.unwrap(),
        "Dear bob@example.com, [EMAIL_2], and [EMAIL]"
    );
    assert!(host.store("call:req_7").is_none());
    assert_eq!(reply(&mut host, &settings, "Dear [EMAIL_1]"), None);
}

#[test]
fn another_call_gets_nothing_of_it() {
    let settings = settings(REVERSIBLE);
    let mut host = Host::new().call(ask("I am bob@example.com").id("req_7"));
    rewritten(&mut host, &settings).0.unwrap();
    host.set_call(ask("Who?").id("req_8"));
    assert_eq!(reply(&mut host, &settings, "[EMAIL_1]"), None);
}

fn stream(host: &mut Host, settings: &Settings, events: Vec<Event>) -> Vec<Event> {
    host.run(|call| {
        let mut out = Vec::new();
        let mut stream = settings.open(call).unwrap();
        for event in events {
            match settings.push(&mut stream, event.clone()).unwrap() {
                Action::Pass => out.push(event),
                Action::Drop => {}
                Action::Replace(events) => out.extend(events),
            }
        }
        out.extend(settings.close(stream));
        out
    })
    .0
}

fn tool(id: Option<&str>, index: u32, arguments: &str) -> Event {
    Event::ToolCall(ToolCallDelta {
        choice: 0,
        index,
        id: id.map(str::to_owned),
        name: id.map(|_| "send".to_owned()),
        arguments: arguments.to_owned(),
    })
}

#[test]
fn a_stream_in_every_part() {
    let settings = settings(REVERSIBLE);
    let mut host = Host::new().call(ask("I am bob@example.com").streaming());
    rewritten(&mut host, &settings).0.unwrap();
    let thought = |text: &str| {
        Event::Reasoning(TextDelta {
            choice: 0,
            text: text.to_owned(),
        })
    };
    let events = vec![
        thought("So [EMA"),
        thought("IL_1]"),
        Event::text("Call +49 30 12"),
        Event::text("34567 now"),
        tool(Some("a"), 0, ""),
        tool(None, 0, "{\"to\": \"[EMAIL"),
        tool(None, 0, "_1]\"}"),
        tool(Some("b"), 1, "{\"at\": \"10.0.0.1\"}"),
        Event::Finish("tool_calls".to_owned()),
    ];
    let out = stream(&mut host, &settings, events);
    let wanted = vec![
        thought("So "),
        thought("bob@example.com"),
        Event::text("Call "),
        Event::text("[PHONE] "),
        Event::text("now"),
        tool(Some("a"), 0, ""),
        tool(None, 0, "{\"to\": \"bob@example.com\"}"),
        tool(Some("b"), 1, "{\"at\": \"[IP]\"}"),
        Event::Finish("tool_calls".to_owned()),
    ];
    assert_eq!(out, wanted);
}

#[test]
fn a_tool_call_that_goes_on_after_its_end_ends_the_stream() {
    let settings = settings("{}");
    let (result, _) = Host::new().call(ask("x").streaming()).run(|call| {
        let mut stream = settings.open(call).unwrap();
        for event in [tool(Some("a"), 0, "{"), Event::text("x")] {
            settings.push(&mut stream, event).unwrap();
        }
        settings.push(&mut stream, tool(None, 0, "}"))
    });
    assert_eq!(result.unwrap_err().code, "tool_call_not_readable");
}

#[test]
fn with_nothing_to_do_a_stream_is_left_alone() {
    let settings = settings(r#"{"replies": false, "reversible": true}"#);
    let (stream, _) = Host::new()
        .call(ask("Hi").streaming())
        .run(|call| settings.open(call).is_some());
    assert!(!stream);
}
