//! What each provider's endpoint answers, as its documentation has it.

use serde_json::json;

use super::*;

fn amount(
    currency: &str,
    remaining: impl Into<Option<f64>>,
    used: impl Into<Option<f64>>,
    total: impl Into<Option<f64>>,
) -> Option<Vec<Amount>> {
    Some(vec![Amount {
        currency: Some(currency.to_owned()),
        remaining: remaining.into(),
        used: used.into(),
        total: total.into(),
    }])
}

#[test]
fn each_format_is_read() {
    let answer = json!({"is_available": true, "balance_infos": [{"currency": "CNY", "total_balance": "110.00", "granted_balance": "10.00", "topped_up_balance": "100.00"}]});
    assert_eq!(deepseek(&answer), amount("CNY", 110.0, None, None));

    let answer = json!({"code": 20000, "message": "OK", "status": true, "data": {"id": "userid", "name": "username", "balance": "0.88", "status": "normal", "chargeBalance": "88.00", "totalBalance": "88.88"}});
    assert_eq!(
        siliconflow(&answer, "api.siliconflow.cn"),
        amount("CNY", 88.88, None, None)
    );

    let answer = json!({"code": 0, "data": {"available_balance": 49.58894, "voucher_balance": 46.58893, "cash_balance": 3.00001}, "scode": "0x0", "status": true});
    assert_eq!(
        moonshot(&answer, "api.moonshot.ai"),
        amount("USD", 49.588_94, None, None)
    );

    let answer = json!({"data": {"total_credits": 100.5, "total_usage": 25.75}});
    assert_eq!(
        openrouter_credits(&answer),
        amount("USD", 74.75, 25.75, 100.5)
    );
    let answer = json!({"data": {"label": "sk-or-v1-au7...890", "limit": 100, "limit_remaining": 74.5, "usage": 925.5, "is_free_tier": false}});
    assert_eq!(openrouter_key(&answer), amount("USD", 74.5, 925.5, 100.0));
    let answer = json!({"data": {"limit": null, "limit_remaining": null, "usage": 1.25}});
    assert_eq!(openrouter_key(&answer), amount("USD", None, 1.25, None));

    let subscription = json!({"object": "billing_subscription", "has_payment_method": true, "soft_limit_usd": 20.0, "hard_limit_usd": 20.0, "system_hard_limit_usd": 20.0, "access_until": 0});
    let usage = json!({"object": "list", "total_usage": 123.4567});
    assert_eq!(
        openai_billing(&subscription, &usage),
        amount("USD", 18.765_433, 1.234_567, 20.0)
    );
}

#[test]
fn what_is_no_balance_is_not_read_as_one() {
    for answer in [
        json!({}),
        json!([]),
        json!({"data": {}}),
        json!({"balance_infos": [{"currency": "CNY", "total_balance": "a lot"}]}),
        json!({"data": {"total_credits": "NaN", "total_usage": 1}}),
    ] {
        assert_eq!(deepseek(&answer), None, "{answer}");
        assert_eq!(siliconflow(&answer, ""), None, "{answer}");
        assert_eq!(moonshot(&answer, ""), None, "{answer}");
        assert_eq!(openrouter_credits(&answer), None, "{answer}");
        assert_eq!(openrouter_key(&answer), None, "{answer}");
        assert_eq!(openai_billing(&answer, &answer), None, "{answer}");
    }
    assert!(understood(Some(Vec::new())).is_err());
}

#[test]
fn a_host_says_which_format_it_speaks() {
    let of = |host: &str| by_host(Family::Openai, host).map(BalanceSource::as_str);
    assert_eq!(of("api.deepseek.com"), Some("deepseek"));
    assert_eq!(of("openrouter.ai"), Some("openrouter"));
    assert_eq!(of("api.siliconflow.com"), Some("siliconflow"));
    assert_eq!(of("api.moonshot.cn"), Some("moonshot"));
    assert_eq!(of("relay.example.com"), Some("openai_billing"));
    assert_eq!(of("notdeepseek.com"), Some("openai_billing"));
    assert_eq!(of("api.openai.com"), None);
    assert_eq!(by_host(Family::Gemini, "relay.example.com"), None);
    assert_eq!(
        by_host(Family::Anthropic, "api.deepseek.com"),
        Some(BalanceSource::Deepseek)
    );
}
