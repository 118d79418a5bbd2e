//! `[[channel]]`. What is read from files here (certificates) is read again by every reload.

mod way;

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::{HeaderName, HeaderValue, Uri};

use super::{check_unique, resolve};
use crate::config::model::{Channel, ChannelKey, KeyTerms};
use crate::config::report::Report;
use crate::config::setting::At;
use crate::config::types::{HeaderText, header_name};
use crate::config::written::{self, ChannelDialect, Prefill};

pub(super) fn compile(
    channels: Vec<At<written::Channel>>,
    extra_ca_files: &[PathBuf],
    report: &mut Report<'_>,
) -> Vec<Channel> {
    check_unique(
        "channel",
        channels.iter().map(|channel| &channel.value.name),
        report,
    );
    channels
        .into_iter()
        .map(|channel| compile_one(channel.value, extra_ca_files, report))
        .collect()
}

fn compile_one(
    channel: written::Channel,
    extra_ca_files: &[PathBuf],
    report: &mut Report<'_>,
) -> Channel {
    check_fake(&channel, report);
    check_breaker(&channel.breaker, report);
    check_prefill(&channel, report);
    way::check(&channel, report);
    let names = channel.key.iter().filter_map(|key| key.value.name.as_ref());
    check_unique("key", names, report);
    // What is out of use may miss its keys and files: that can be why it is.
    let mut missing = Report::new(report.environment, report.base_dir.clone());
    let fetching = if channel.disabled {
        &mut missing
    } else {
        &mut *report
    };
    let proxy = way::proxy(&channel, fetching);
    let tls = way::tls(&channel, extra_ca_files, fetching);
    let keys = keys(&channel, fetching);
    let lacks = missing.finish().err().map(|errors| errors.to_string());
    let name = channel.name.value.0.clone();
    if channel.keys.is_empty()
        && channel.key.is_empty()
        && channel.base_url.is_none()
        && !is_fake(&channel)
    {
        // A server of one's own may need no key; the providers themselves all do.
        report.warning(format!("the channel {name} has no keys"));
    }
    let fake = is_fake(&channel).then(|| channel.fake.map(|fake| fake.value).unwrap_or_default());
    Channel {
        name,
        dialect: channel.dialect,
        base_url: channel
            .base_url
            .map(|url| url.value)
            .or_else(|| default_url(channel.dialect)),
        keys,
        key_strategy: channel.key_strategy,
        sticky_by: channel.sticky_by,
        models: channel.models,
        tenants: channel.tenants,
        model_map: model_map(channel.model_map, report),
        labels: channel.labels,
        priority: channel.priority,
        weight: channel.weight,
        disabled: channel.disabled,
        lacks,
        headers: headers(&channel.headers, report),
        stream_usage: channel.stream_usage,
        http2: channel.http2,
        first_byte_timeout_ms: channel.first_byte_timeout_ms,
        balance: channel.balance,
        timeouts: channel.timeout.iter().map(way::timeout).collect(),
        proxy,
        tls,
        cascade: channel.cascade,
        prefill: channel.prefill.map(|prefill| prefill.value),
        breaker: channel.breaker.value,
        fake,
    }
}

/// The plain keys, then those with more to say.
fn keys(channel: &written::Channel, report: &mut Report<'_>) -> Vec<ChannelKey> {
    let plain = channel.keys.iter();
    let mut keys: Vec<_> = plain
        .filter_map(|key| resolve(key, report).map(ChannelKey::plain))
        .collect();
    keys.extend(channel.key.iter().filter_map(|key| {
        let key = &key.value;
        Some(ChannelKey {
            secret: resolve(&key.secret, report)?,
            name: key.name.as_ref().map(|name| name.value.0.clone()),
            terms: KeyTerms {
                weight: key.weight,
                level: key.level,
                rpm: key.rpm,
                tpm: key.tpm,
                in_flight_max: key.in_flight_max,
            },
        })
    }));
    keys
}

fn is_fake(channel: &written::Channel) -> bool {
    channel.dialect == ChannelDialect::Fake
}

fn check_fake(channel: &written::Channel, report: &mut Report<'_>) {
    if let Some(fake) = &channel.fake
        && !is_fake(channel)
    {
        let dialect = channel.dialect.as_str();
        fake.error(
            report,
            format!("is only for the dialect \"fake\", not for \"{dialect}\""),
        );
    }
    if let Some(url) = &channel.base_url
        && is_fake(channel)
    {
        url.error(
            report,
            "has no meaning with the dialect \"fake\", which sends nothing anywhere",
        );
    }
}

fn check_prefill(channel: &written::Channel, report: &mut Report<'_>) {
    let Some(prefill) = &channel.prefill else {
        return;
    };
    let dialect = channel.dialect.as_str();
    if is_fake(channel) {
        prefill.error(
            report,
            "has no meaning with the dialect \"fake\", which goes on with nothing",
        );
    } else if channel.dialect != ChannelDialect::Openai && prefill.value != Prefill::Plain {
        let message = format!("must be \"plain\" for the dialect \"{dialect}\"");
        prefill.error(report, message);
    }
}

fn check_breaker(breaker: &At<written::Breaker>, report: &mut Report<'_>) {
    let Some(max_ms) = breaker.value.open_max_ms else {
        return;
    };
    if let Some(first_ms) = breaker.value.open_first_ms
        && max_ms < first_ms
    {
        breaker.error(
            report,
            format!("open_max_ms, {max_ms}, is less than open_first_ms, {first_ms}"),
        );
    }
}

/// The provider's own address.
pub(in crate::config) fn default_url(dialect: ChannelDialect) -> Option<Uri> {
    Some(Uri::from_static(match dialect {
        ChannelDialect::Openai => "https://api.openai.com/v1",
        ChannelDialect::Anthropic => "https://api.anthropic.com",
        ChannelDialect::Gemini => "https://generativelanguage.googleapis.com",
        ChannelDialect::Fake => return None,
    }))
}

fn model_map(
    written: BTreeMap<String, At<String>>,
    report: &mut Report<'_>,
) -> BTreeMap<String, String> {
    for (model, target) in &written {
        if target.value.is_empty() {
            target.error(report, format!("the model {model:?} is mapped to nothing"));
        }
    }
    written
        .into_iter()
        .map(|(model, target)| (model, target.value))
        .collect()
}

fn headers(
    written: &BTreeMap<String, At<HeaderText>>,
    report: &mut Report<'_>,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (name, text) in written {
        match header_name(name) {
            Ok(name) => headers.extend(text.value.value().map(|value| (name, value))),
            Err(message) => text.error(report, message),
        }
    }
    headers
}
