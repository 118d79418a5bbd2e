//! What is left on the account behind a key, where the provider has an endpoint for it.
//!
//! Five formats are known. Which one a channel speaks follows from the host of its base URL or from
//! its setting `balance`. Nothing is kept: this is a look, not a limit.

use futures_util::{StreamExt, stream};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Uri};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use weir_base::Operation;
use weir_upstream::{Origin, Pool, RequestBody, Timeouts};
use weir_wire::dialect::Family;

use super::judge::{Finding, answered, is_page};
use super::run::{secret, within};
use super::{BalanceOrder, Cause};
use crate::config::BalanceSource;
use crate::keys::ProviderKey;
use crate::pipeline::channel::{Channel, Target};
use crate::pipeline::exchange;

/// Keys that are asked about at one time.
const KEYS_AT_ONCE: usize = 4;

/// An amount on an account.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Amount {
    /// The currency, as ISO 4217 has it; null where the provider does not say.
    pub currency: Option<String>,
    /// What may still be spent; null where there is no bound.
    pub remaining: Option<f64>,
    /// What was spent so far, where the provider says it.
    pub used: Option<f64>,
    /// What was paid in or granted, or the limit, where the provider says it.
    pub total: Option<f64>,
}

/// What is left on the account behind one key.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KeyBalance {
    /// The id of the provider key; null for a channel without keys.
    pub key: Option<String>,
    /// Whether the provider told it.
    pub ok: bool,
    /// How it was asked.
    pub source: String,
    /// The amounts, one for each currency.
    pub amounts: Vec<Amount>,
    /// Why it failed; null where it did not.
    pub cause: Option<Cause>,
    /// The same in a sentence.
    pub message: Option<String>,
}

/// There is nobody to ask.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct NoBalance(String);

/// Asks with each key.
pub(super) async fn read(pool: &Pool, order: &BalanceOrder) -> Result<Vec<KeyBalance>, NoBalance> {
    let channel = &*order.channel;
    let Target::Http {
        family,
        origin,
        base_path,
    } = &channel.target
    else {
        return Err(NoBalance(
            "the built-in provider has no account, and so no balance".to_owned(),
        ));
    };
    let source = match channel.balance {
        BalanceSource::Auto => by_host(*family, origin.host()),
        BalanceSource::None => None,
        set => Some(set),
    };
    let Some(source) = source else {
        return Err(NoBalance(format!(
            "no way is known to read the balance of an account at {}; where there is one, set the channel's `balance`",
            origin.host()
        )));
    };
    let keys: Vec<Option<&ProviderKey>> = match order.keys.as_slice() {
        [] => vec![None],
        keys => keys.iter().map(|key| Some(&**key)).collect(),
    };
    let timeouts = within(channel, Operation::Models, order.timeout_ms);
    let answers = stream::iter(keys).map(|key| async move {
        let asking = Asking {
            pool,
            channel,
            origin,
            base_path,
            timeouts: &timeouts,
            key,
        };
        (key, asking.read(source).await)
    });
    let answers: Vec<_> = answers.buffered(KEYS_AT_ONCE).collect().await;
    let is_guess = channel.balance == BalanceSource::Auto && source == BalanceSource::OpenaiBilling;
    let was_wrong = |(_, read): &(_, Result<_, Finding>)| {
        let found = read.as_ref().err();
        found.is_some_and(|finding| finding.cause == Cause::BaseUrlWrong)
    };
    if is_guess && answers.iter().all(was_wrong) {
        return Err(NoBalance(format!(
            "{} has none of the known endpoints for the balance of an account",
            origin.host()
        )));
    }
    let views = answers.into_iter();
    Ok(views.map(|(key, read)| view(key, source, read)).collect())
}

fn view(
    key: Option<&ProviderKey>,
    source: BalanceSource,
    read: Result<Vec<Amount>, Finding>,
) -> KeyBalance {
    let (amounts, finding) = match read {
        Ok(amounts) => (amounts, None),
        Err(finding) => (Vec::new(), Some(finding)),
    };
    let (cause, message) = finding
        .map(|finding| (finding.cause, finding.message))
        .unzip();
    KeyBalance {
        key: key.map(|key| key.id.to_string()),
        ok: cause.is_none(),
        source: source.as_str().to_owned(),
        amounts,
        cause,
        message,
    }
}

/// The format that the provider at `host` speaks. Resellers are many and most have OpenAI's old
/// endpoints, so a host that is not known is tried there.
fn by_host(family: Family, host: &str) -> Option<BalanceSource> {
    let is = |domain: &str| {
        host.strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    /// Providers that have no endpoint which takes the key of a channel.
    const WITHOUT: [&str; 14] = [
        "openai.com",
        "azure.com",
        "anthropic.com",
        "googleapis.com",
        "amazonaws.com",
        "mistral.ai",
        "groq.com",
        "x.ai",
        "together.xyz",
        "together.ai",
        "fireworks.ai",
        "cohere.com",
        "perplexity.ai",
        "cerebras.ai",
    ];
    if is("deepseek.com") {
        Some(BalanceSource::Deepseek)
    } else if is("openrouter.ai") {
        Some(BalanceSource::Openrouter)
    } else if is("siliconflow.cn") || is("siliconflow.com") {
        Some(BalanceSource::Siliconflow)
    } else if is("moonshot.cn") || is("moonshot.ai") {
        Some(BalanceSource::Moonshot)
    } else if family == Family::Openai && !WITHOUT.into_iter().any(is) {
        Some(BalanceSource::OpenaiBilling)
    } else {
        None
    }
}

/// One key's question.
struct Asking<'a> {
    pool: &'a Pool,
    channel: &'a Channel,
    origin: &'a Origin,
    base_path: &'a str,
    timeouts: &'a Timeouts,
    key: Option<&'a ProviderKey>,
}

impl Asking<'_> {
    async fn read(&self, source: BalanceSource) -> Result<Vec<Amount>, Finding> {
        let host = self.origin.host();
        match source {
            BalanceSource::Deepseek => understood(deepseek(&self.get("/user/balance").await?)),
            BalanceSource::Siliconflow => {
                understood(siliconflow(&self.get("/v1/user/info").await?, host))
            }
            BalanceSource::Moonshot => {
                understood(moonshot(&self.get("/v1/users/me/balance").await?, host))
            }
            BalanceSource::Openrouter => match self.get("/api/v1/credits").await {
                Ok(credits) => understood(openrouter_credits(&credits)),
                // The account's credits are for its management keys; others may know their own limit.
                Err(finding) if finding.cause == Cause::KeyRefused => {
                    understood(openrouter_key(&self.get("/api/v1/key").await?))
                }
                Err(finding) => Err(finding),
            },
            BalanceSource::OpenaiBilling => {
                let subscription = self.billing("subscription").await?;
                let usage = self.billing("usage").await?;
                understood(openai_billing(&subscription, &usage))
            }
            BalanceSource::Auto | BalanceSource::None => Ok(Vec::new()),
        }
    }

    /// OpenAI's old endpoints stand beside the others, below the base URL.
    async fn billing(&self, what: &str) -> Result<Value, Finding> {
        let base = self.base_path.trim_end_matches('/');
        self.get(&format!("{base}/dashboard/billing/{what}")).await
    }

    async fn get(&self, path: &str) -> Result<Value, Finding> {
        let target = PathAndQuery::try_from(path)
            .map_err(|_| Finding::new(Cause::NotSent, "The base URL's path cannot be sent."))?;
        let mut request = Request::new(RequestBody::empty());
        *request.uri_mut() = Uri::from(target);
        let headers = request.headers_mut();
        headers.extend(self.channel.headers.clone());
        if let Some((name, value)) = self.key.map(|key| key.header.clone()) {
            // Every one of them takes its key so, also for channels that speak Anthropic's dialect.
            let text = value.to_str().unwrap_or_default();
            let bearer = if text.starts_with("Bearer ") {
                value
            } else {
                HeaderValue::try_from(format!("Bearer {text}")).unwrap_or(value)
            };
            headers.remove(name);
            headers.insert(http::header::AUTHORIZATION, sensitive(bearer));
        }
        let asked = exchange::send(self.pool, self.origin, request, self.timeouts).await;
        let (headers, body) = answered(&asked.came, secret(self.key))?;
        if is_page(headers, body) {
            return Err(Finding::new(
                Cause::BaseUrlWrong,
                "A web page came in place of a balance; check the base URL and the channel's `balance`.",
            ));
        }
        serde_json::from_slice(body).map_err(|_| unreadable())
    }
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

fn understood(amounts: Option<Vec<Amount>>) -> Result<Vec<Amount>, Finding> {
    amounts
        .filter(|amounts| !amounts.is_empty())
        .ok_or_else(unreadable)
}

fn unreadable() -> Finding {
    Finding::new(
        Cause::BadReply,
        "What came is no balance in the expected format; check the channel's `balance`.",
    )
}

/// A number, also where it stands in quotes; in millionths at the finest.
fn number(value: Option<&Value>) -> Option<f64> {
    let value = value?;
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    number.is_finite().then(|| rounded(number))
}

fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

fn deepseek(answer: &Value) -> Option<Vec<Amount>> {
    let infos = answer.get("balance_infos")?.as_array()?;
    let amount = |info: &Value| {
        Some(Amount {
            currency: info
                .get("currency")
                .and_then(Value::as_str)
                .map(str::to_owned),
            remaining: Some(number(info.get("total_balance"))?),
            used: None,
            total: None,
        })
    };
    infos.iter().map(amount).collect()
}

fn siliconflow(answer: &Value, host: &str) -> Option<Vec<Amount>> {
    let data = answer.get("data")?;
    // `balance` is what was given, `chargeBalance` what was paid in.
    let total = number(data.get("totalBalance")).or_else(|| number(data.get("balance")))?;
    Some(vec![left_at(host, total)])
}

fn moonshot(answer: &Value, host: &str) -> Option<Vec<Amount>> {
    let left = number(answer.get("data")?.get("available_balance"))?;
    Some(vec![left_at(host, left)])
}

/// An amount at a provider that has a site for China and one for everybody else.
fn left_at(host: &str, remaining: f64) -> Amount {
    let currency = if host.ends_with(".cn") {
        Some("CNY")
    } else if host.ends_with(".com") || host.ends_with(".ai") {
        Some("USD")
    } else {
        None
    };
    Amount {
        currency: currency.map(str::to_owned),
        remaining: Some(remaining),
        used: None,
        total: None,
    }
}

fn usd(total: Option<f64>, used: f64) -> Amount {
    Amount {
        currency: Some("USD".to_owned()),
        remaining: total.map(|total| rounded(total - used)),
        used: Some(used),
        total,
    }
}

fn openrouter_credits(answer: &Value) -> Option<Vec<Amount>> {
    let data = answer.get("data")?;
    let (total, used) = (
        number(data.get("total_credits"))?,
        number(data.get("total_usage"))?,
    );
    Some(vec![usd(Some(total), used)])
}

/// A key's own limit, null where it has none.
fn openrouter_key(answer: &Value) -> Option<Vec<Amount>> {
    let data = answer.get("data")?;
    let used = number(data.get("usage"))?;
    let mut amount = usd(number(data.get("limit")), used);
    // A limit that is renewed each month is not the difference to all that was ever used.
    if let Some(remaining) = number(data.get("limit_remaining")) {
        amount.remaining = Some(remaining);
    }
    Some(vec![amount])
}

/// The limit in dollars, the usage in hundredths of them.
fn openai_billing(subscription: &Value, usage: &Value) -> Option<Vec<Amount>> {
    let total = number(subscription.get("hard_limit_usd"))?;
    let used = rounded(number(usage.get("total_usage"))? / 100.0);
    Some(vec![usd(Some(total), used)])
}

#[cfg(test)]
mod tests;
