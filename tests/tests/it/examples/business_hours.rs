//! examples/business-hours: who may call when, on a clock that cannot be set.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use weir_tests::{Client, Reply, eventually};

use super::Example;

const DAYS: [&str; 7] = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"];
const DAY_S: u64 = 86_400;

/// The example without holidays and with these hours; some day may be a holiday where this runs.
fn open_on(days: &str) -> Option<Example> {
    let example = Example::named("business-hours")?;
    let line = |name: &str| {
        let line = example.settings.lines().find(|line| line.starts_with(name));
        line.expect("a setting").to_owned()
    };
    let (hours, holidays) = (line("hours ="), line("holidays ="));
    let open =
        format!("hours = [{{ days = [\"{days}\"], opens = \"00:00\", closes = \"24:00\" }}]");
    Some(example.with(&hours, &open).with(&holidays, "holidays = []"))
}

/// The day after the day after tomorrow, which is no zone's today.
fn another_day() -> &'static str {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let day = usize::try_from(now.as_secs() / DAY_S).unwrap();
    DAYS[(day + 3) % 7]
}

fn embed(caller: &Client) -> Reply {
    let body = json!({"model": "text-embedding-3-small", "input": "Hello"});
    caller.post("/v1/embeddings", &body)
}

#[test]
fn closed_is_said_with_when_it_opens_and_some_may_call_all_the_same() {
    let Some(example) = open_on(another_day()) else {
        return;
    };
    let running = example.start();
    for key in ["office", "branch"] {
        let refused = running.caller(key).chat("gpt-4o").expect(403);
        assert_eq!(refused.code(), "outside_business_hours");
        let after_s: u64 = refused.header("retry-after").parse().unwrap();
        assert!((DAY_S..=4 * DAY_S).contains(&after_s), "{after_s}");
        let zone = if key == "office" {
            "Europe/Berlin"
        } else {
            "Asia/Tokyo"
        };
        assert!(refused.text().contains(zone), "{}", refused.text());
    }
    running.caller("oncall").chat("gpt-4o").expect(200);
    embed(&running.caller("office")).expect(200);

    // The hours change while it runs.
    let always = open_on("mon-sun").expect("it was there");
    running.configure(&always);
    let office = running.caller("office");
    eventually("it is open", || {
        (office.chat("gpt-4o").status == 200).then_some(())
    });
    // Until they end the policy need not be asked again, by either worker.
    eventually("an answer is remembered", || {
        let id = office.chat("gpt-4o").expect(200).id();
        let verdict = running.gateway.call(&id)["decisions"][0]["verdict"].clone();
        (verdict == json!("remembered")).then_some(())
    });
}
