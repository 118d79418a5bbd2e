use super::*;

fn view(dialect: Dialect, body: &str) -> Vec<(String, String)> {
    messages(dialect, body.as_bytes())
        .unwrap()
        .into_iter()
        .map(|message| (message.role, message.text))
        .collect()
}

fn set(dialect: Dialect, body: &str, index: usize, text: &str) -> String {
    String::from_utf8(set_message_text(dialect, body.as_bytes(), index, text).unwrap()).unwrap()
}

fn prepend(dialect: Dialect, body: &str) -> String {
    String::from_utf8(prepend_system(dialect, body.as_bytes(), "Be \"kind\".").unwrap()).unwrap()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(role, text)| ((*role).to_owned(), (*text).to_owned()))
        .collect()
}

const CHAT: &str = r#"{"messages":[{"role":"developer","content":"sys"},
 {"role":"user","content":[{"type":"text","text":"a"}, {"type":"image_url","image_url":{"url":"x"}} ,{"type":"text","text":"b\n"},{"type":"text","text":"c"}]},
 {"role":"assistant","content":null,"tool_calls":[]},{"role":"tool","content":"18 °C"},{"role":"assistant","tool_calls":[]}]}"#;

#[test]
fn chat_messages_are_seen_and_set() {
    let dialect = Dialect::OpenaiChat;
    let expected = [
        ("developer", "sys"),
        ("user", "a\nb\n\nc"),
        ("assistant", ""),
        ("tool", "18 °C"),
        ("assistant", ""),
    ];
    assert_eq!(view(dialect, CHAT), pairs(&expected));
    let changed = set(dialect, CHAT, 1, "[redacted]");
    assert!(
        changed.contains(
            r#"[{"type":"text","text":"[redacted]"}, {"type":"image_url","image_url":{"url":"x"}}]"#
        ),
        "{changed}"
    );
    assert!(set(dialect, CHAT, 0, "new").contains(r#""content":"new"},"#));
    assert!(set(dialect, CHAT, 2, "x").contains(r#""content":"x","tool_calls":[]}"#));
    assert!(
        set(dialect, CHAT, 4, "x")
            .contains(r#"{"role":"assistant","tool_calls":[],"content":"x"}"#)
    );
    assert_eq!(
        set_message_text(dialect, CHAT.as_bytes(), 5, ""),
        Err(JsonError::NoSuchMessage(5))
    );
    let only_image = r#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#;
    assert!(
        set(dialect, only_image, 0, "x")
            .contains(r#"[{"type":"text","text":"x"},{"type":"image_url"}]"#)
    );
}

#[test]
fn responses_messages_are_seen_and_set() {
    let dialect = Dialect::OpenaiResponses;
    assert_eq!(
        view(dialect, r#"{"input":"hi","instructions":null}"#),
        pairs(&[("user", "hi")])
    );
    let body = r#"{"instructions":"sys","input":[{"role":"user","content":"q"},
        {"type":"reasoning","summary":[]},{"type":"function_call","arguments":"{}"},
        {"type":"function_call_output","call_id":"c","output":"42"},
        {"type":"message","role":"assistant","content":[{"type":"output_text","text":"a"},{"type":"refusal","refusal":"no"}]},
        {"role":"user","content":[{"type":"input_image","image_url":"x"}]}]}"#;
    let expected = [
        ("system", "sys"),
        ("user", "q"),
        ("tool", "42"),
        ("assistant", "a\nno"),
        ("user", ""),
    ];
    assert_eq!(view(dialect, body), pairs(&expected));
    assert!(set(dialect, body, 2, "x").contains(r#""output":"x"}"#));
    assert!(set(dialect, body, 3, "x").contains(r#"[{"type":"output_text","text":"x"}]"#));
    assert!(
        set(dialect, body, 4, "x")
            .contains(r#"[{"type":"input_text","text":"x"},{"type":"input_image""#)
    );
}

#[test]
fn anthropic_messages_are_seen_and_set() {
    let dialect = Dialect::AnthropicMessages;
    let body = r#"{"system":[{"type":"text","text":"s1","cache_control":{"type":"ephemeral"}},{"type":"text","text":"s2"}],
        "messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"a"},{"type":"tool_use","id":"t"}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"r1"},{"type":"tool_result","tool_use_id":"u","content":[{"type":"text","text":"r2"},{"type":"image"}]}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"v"},{"type":"text","text":"and?"}]}]}"#;
    let expected = [
        ("system", "s1\ns2"),
        ("user", "q"),
        ("assistant", "a"),
        ("tool", "r1"),
        ("tool", "r2"),
        ("user", "and?"),
    ];
    assert_eq!(view(dialect, body), pairs(&expected));
    assert!(
        set(dialect, body, 0, "x")
            .contains(r#"[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}],"#)
    );
    assert!(
        set(dialect, body, 4, "x").contains(r#"[{"type":"text","text":"x"},{"type":"image"}]"#)
    );
    assert!(
        set(dialect, body, 5, "x")
            .contains(r#"{"type":"tool_result","tool_use_id":"v"},{"type":"text","text":"x"}"#)
    );
}

#[test]
fn gemini_messages_are_seen_and_set() {
    let dialect = Dialect::GeminiGenerate;
    let body = r#"{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"a"},{"inlineData":{}},{"text":"b"}]},
        {"role":"model","parts":[{"functionCall":{}}]},{"parts":{"text":"one"}}]}"#;
    let expected = [
        ("system", "s"),
        ("user", "a\nb"),
        ("assistant", ""),
        ("user", "one"),
    ];
    assert_eq!(view(dialect, body), pairs(&expected));
    assert!(set(dialect, body, 1, "x").contains(r#"[{"text":"x"},{"inlineData":{}}]"#));
    assert!(set(dialect, body, 2, "x").contains(r#"[{"text":"x"},{"functionCall":{}}]"#));
    assert!(set(dialect, body, 3, "x").contains(r#"{"parts":{"text":"x"}}"#));
    assert_eq!(
        view(dialect, r#"{"contents":{"parts":[{"text":"a"}]}}"#),
        pairs(&[("user", "a")])
    );
}

#[test]
fn plain_prompts_are_seen_and_set() {
    assert_eq!(
        view(Dialect::OpenaiCompletions, r#"{"prompt":["a","b"]}"#),
        pairs(&[("user", "a"), ("user", "b")])
    );
    assert_eq!(
        view(Dialect::OpenaiEmbeddings, r#"{"input":[1,2]}"#),
        pairs(&[])
    );
    assert_eq!(
        set(Dialect::OpenaiEmbeddings, r#"{"input":["a","b"]}"#, 1, "x"),
        r#"{"input":["a","x"]}"#
    );
    assert_eq!(
        view(Dialect::OpenaiOther, r#"{"prompt":"a cat"}"#),
        pairs(&[("user", "a cat")])
    );
    assert_eq!(view(Dialect::OpenaiChat, "[]"), pairs(&[]));
}

#[test]
fn a_system_instruction_goes_ahead() {
    let chat = Dialect::OpenaiChat;
    assert_eq!(
        prepend(chat, r#"{"messages":[]}"#),
        r#"{"messages":[{"role":"system","content":"Be \"kind\"."}]}"#
    );
    assert_eq!(
        prepend(chat, r#"{"messages":[{"role":"user","content":"q"}]}"#),
        r#"{"messages":[{"role":"system","content":"Be \"kind\"."},{"role":"user","content":"q"}]}"#
    );
    assert_eq!(
        prepend(chat, r#"{"messages":[{"role":"system","content":"old"}]}"#),
        r#"{"messages":[{"role":"system","content":"Be \"kind\".\n\nold"}]}"#
    );
    assert_eq!(
        prepend(
            chat,
            r#"{"messages":[{"role":"system","content":[{"type":"text","text":"old"}]}]}"#
        ),
        r#"{"messages":[{"role":"system","content":[{"type":"text","text":"Be \"kind\"."},{"type":"text","text":"old"}]}]}"#
    );
    let responses = Dialect::OpenaiResponses;
    assert_eq!(
        prepend(responses, r#"{"input":"q"}"#),
        r#"{"input":"q","instructions":"Be \"kind\"."}"#
    );
    assert_eq!(
        prepend(responses, r#"{"instructions":null}"#),
        r#"{"instructions":"Be \"kind\"."}"#
    );
    assert_eq!(
        prepend(responses, r#"{"instructions":"old"}"#),
        r#"{"instructions":"Be \"kind\".\n\nold"}"#
    );
    assert_eq!(
        prepend(Dialect::OpenaiCompletions, r#"{"prompt":"old"}"#),
        r#"{"prompt":"Be \"kind\".\n\nold"}"#
    );
    let anthropic = Dialect::AnthropicMessages;
    assert_eq!(
        prepend(anthropic, r#"{"system":"old"}"#),
        r#"{"system":"Be \"kind\".\n\nold"}"#
    );
    assert_eq!(
        prepend(
            anthropic,
            r#"{"system":[{"type":"text","text":"old","cache_control":{}}]}"#
        ),
        r#"{"system":[{"type":"text","text":"Be \"kind\"."},{"type":"text","text":"old","cache_control":{}}]}"#
    );
    let gemini = Dialect::GeminiGenerate;
    assert_eq!(
        prepend(gemini, r#"{"contents":[]}"#),
        r#"{"contents":[],"systemInstruction":{"parts":[{"text":"Be \"kind\"."}]}}"#
    );
    assert_eq!(
        prepend(gemini, r#"{"system_instruction":{"parts":{"text":"old"}}}"#),
        r#"{"system_instruction":{"parts":[{"text":"Be \"kind\"."},{"text":"old"}]}}"#
    );
    for dialect in [
        Dialect::OpenaiEmbeddings,
        Dialect::OpenaiOther,
        Dialect::AnthropicOther,
    ] {
        assert_eq!(
            prepend_system(dialect, b"{}", "x"),
            Err(JsonError::NoPrompt(dialect.as_str()))
        );
    }
    assert!(prepend_system(Dialect::OpenaiCompletions, br#"{"prompt":[1,2]}"#, "x").is_err());
}
