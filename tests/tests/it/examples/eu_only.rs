//! examples/eu-only: whatever fails, nothing of a labelled key leaves its region.

use serde_json::json;
use weir_tests::{Answer, Client, Provider, Reply};

use super::{Example, Running};

/// The example with a provider of the test's behind each channel.
struct Regions {
    us: Provider,
    frankfurt: Provider,
    paris: Provider,
    running: Running,
}

fn start(
    frankfurt: Provider,
    paris: Provider,
    change: impl FnOnce(Example) -> Example,
) -> Option<Regions> {
    let example = Example::named("eu-only")?;
    let us = named("us");
    let example = example
        .behind("us", "openai", &us)
        .behind("frankfurt", "openai", &frankfurt)
        .behind("paris", "openai", &paris);
    let running = change(example).start();
    Some(Regions {
        us,
        frankfurt,
        paris,
        running,
    })
}

fn named(name: &'static str) -> Provider {
    Provider::always(Answer::chat(name))
}

fn down() -> Provider {
    Provider::always(Answer::error(500, "server_error"))
}

/// Who answered.
#[track_caller]
fn answered(reply: &Reply) -> String {
    let text = &reply.clone().expect(200).json()["choices"][0]["message"]["content"];
    text.as_str().unwrap_or_default().to_owned()
}

fn searching(caller: &Client) -> Reply {
    let messages = json!([{"role": "user", "content": "Hello"}]);
    let body = json!({"model": "gpt-4o", "messages": messages, "web_search_options": {}});
    caller.post("/v1/chat/completions", &body)
}

#[test]
fn labelled_keys_and_tenants_stay_in_their_region() {
    let Some(all) = start(named("frankfurt"), named("paris"), |example| example) else {
        return;
    };
    let (clinic, shop, payroll) = (
        all.running.caller("app"),
        all.running.caller("site"),
        all.running.caller("payroll"),
    );
    assert_eq!(answered(&shop.chat("gpt-4o")), "us");
    assert_eq!(answered(&clinic.chat("gpt-4o")), "frankfurt");
    assert_eq!(answered(&payroll.chat("mistral-large")), "paris");
    assert_eq!(clinic.chat("o3").expect(403).code(), "no_channel_in_region");
    assert_eq!(answered(&shop.chat("o3")), "us");
    let refused = searching(&clinic).expect(403);
    assert_eq!(refused.code(), "would_leave_region");
    assert_eq!(answered(&searching(&shop)), "us");
    let forced = clinic.header("x-weir-channel", "us").chat("gpt-4o");
    assert_eq!(forced.expect(403).code(), "channel_forced");
    assert_eq!(all.us.count(), 3);
}

#[test]
fn retries_and_fallbacks_stay_there_too() {
    let Some(all) = start(down(), named("paris"), |example| example) else {
        return;
    };
    let clinic = all.running.caller("app");
    assert_eq!(answered(&clinic.chat("gpt-4o")), "paris");
    // Frankfurt alone has the model, and Paris the one that is asked instead.
    let instead = clinic.chat("claude-sonnet-4");
    assert_eq!(answered(&instead), "paris");
    assert_eq!(instead.header("x-weir-model"), "mistral-large");

    let all_down = start(down(), down(), |example| example).expect("it was there");
    let clinic = all_down.running.caller("app");
    for model in ["gpt-4o", "claude-sonnet-4"] {
        assert!(clinic.chat(model).status >= 500);
    }
    assert!(all_down.frankfurt.count() > 0 && all_down.paris.count() > 0);
    assert_eq!((all.us.count(), all_down.us.count()), (0, 0));
}

#[test]
fn what_would_leave_can_be_taken_out_instead() {
    let remove =
        |example: Example| example.with("hosted_tools = \"refuse\"", "hosted_tools = \"remove\"");
    let Some(all) = start(named("frankfurt"), named("paris"), remove) else {
        return;
    };
    assert_eq!(
        answered(&searching(&all.running.caller("app"))),
        "frankfurt"
    );
    let seen = all.frankfurt.seen();
    assert!(seen[0].json().get("web_search_options").is_none());
}
