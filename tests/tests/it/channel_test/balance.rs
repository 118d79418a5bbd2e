//! What is left on the account behind a key, where the provider tells.

use serde_json::{Value, json};
use weir_tests::{Answer, Gateway, Provider, Reply, Seen};

fn balance(gateway: &Gateway, channel: &str) -> Reply {
    let path = format!("/admin/v1/channels/{channel}/balance");
    gateway.admin().get(&path)
}

fn reseller(seen: &Seen) -> Answer {
    if seen.key() == "poor" {
        return Answer::error(401, "invalid_api_key");
    }
    match seen.path.as_str() {
        "/v1/dashboard/billing/subscription" => Answer::json(
            200,
            &json!({"object": "billing_subscription", "hard_limit_usd": 20.0}),
        ),
        "/v1/dashboard/billing/usage" => {
            Answer::json(200, &json!({"object": "list", "total_usage": 250.0}))
        }
        "/user/balance" => Answer::json(
            200,
            &json!({"is_available": true, "balance_infos": [
                {"currency": "CNY", "total_balance": "110.00", "granted_balance": "10.00", "topped_up_balance": "100.00"},
            ]}),
        ),
        _ => Answer::json(404, &json!({"error": "not here"})),
    }
}

#[test]
fn a_balance_is_read_for_each_key_where_the_provider_tells_it() {
    let provider = Provider::with(reseller);
    let without = Provider::always(Answer::bytes(404, "text/html", "<html>"));
    let settings = provider.channel(
        "openai",
        "guessed",
        "keys = [\"plain:rich\", \"plain:poor\"]",
    ) + &provider.channel("openai", "said", "balance = \"deepseek\"")
        + &provider.channel("openai", "never", "balance = \"none\"")
        + &without.channel("openai", "without", "")
        + crate::FAKE;
    let gateway = Gateway::start(&settings);

    let read = balance(&gateway, "guessed").expect(200).json();
    let keys = read["keys"].as_array().unwrap();
    assert_eq!((keys.len(), &read["channel"]), (2, &json!("guessed")));
    assert_eq!(keys[0]["source"], "openai_billing");
    let amount = json!({"currency": "USD", "remaining": 17.5, "used": 2.5, "total": 20.0});
    assert_eq!(keys[0]["amounts"], json!([amount]));
    assert_eq!(
        (&keys[1]["ok"], &keys[1]["cause"]),
        (&json!(false), &json!("key_dead"))
    );

    let read = balance(&gateway, "said").expect(200).json();
    assert_eq!(read["keys"][0]["amounts"][0]["remaining"], 110.0, "{read}");
    let of_said = provider.seen().into_iter().rfind(|_| true).unwrap();
    assert_eq!(of_said.header("authorization"), "Bearer pk-said");

    for channel in ["never", "without", "fake"] {
        let refused = balance(&gateway, channel).expect(422);
        assert_eq!(refused.code(), "balance_not_supported", "{channel}");
    }
    balance(&gateway, "nobody").expect(404);

    let run = |channel: &str| {
        let arguments = ["channel", "balance", channel, "--config", "weir.toml"];
        let output = gateway.run_beside(&arguments);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, said, _) = run("said");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.starts_with("ok      key pk_") && said.ends_with(": 110 CNY left\n"),
        "{said}"
    );
    let (code, said, _) = run("guessed");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(": 17.5 USD left, 2.5 USD used\n"), "{said}");
    assert!(said.contains("FAILED  key pk_"), "{said}");
    let (code, _, problem) = run("without");
    assert_eq!(code, Some(1));
    assert!(
        problem.contains("127.0.0.1 has none of the known endpoints"),
        "{problem}"
    );
    let arguments = [
        "channel",
        "balance",
        "said",
        "--json",
        "--config",
        "weir.toml",
    ];
    let output = gateway.run_beside(&arguments);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["keys"][0]["ok"], true);
}
