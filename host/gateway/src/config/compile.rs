//! From what was written to what runs: secrets are fetched, defaults that depend on other settings
//! filled in, and what no single setting can know is checked.

mod channels;
mod policies;
mod tenants;

pub(super) use channels::default_url;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::model::{Config, Price};
use super::report::Report;
use super::setting::{At, Setting};
use super::sources::Sources;
use super::types::{Name, SecretRef};
use super::written;

/// Compiles everything that can be, and reports every mistake. With a mistake in the report the
/// result is not to be used.
pub(super) fn compile(root: written::Root, sources: &Sources, report: &mut Report<'_>) -> Config {
    let redacted = root.json();
    check_addresses(&root, report);
    check_cooldown(&root.cooldown, report);
    let secrets = secrets(&root.secrets, report);
    let channels = channels::compile(root.channel, &root.upstream.ca_files, report);
    let tenants = tenants::compile(root.tenant, report);
    let policies = if root.policy.is_empty() && root.default_chain {
        policies::default_chain(&root.runtime)
    } else {
        policies::compile(root.policy, &root.runtime, &root.secrets, report)
    };
    Config {
        file: sources.file.as_ref().map(|file| file.path.clone()),
        listen: root.listen.value,
        admin_listen: root.admin_listen.map(|address| address.value),
        data_dir: root.data_dir,
        policies_dir: Some(root.policies_dir).filter(|dir| !dir.as_os_str().is_empty()),
        trusted_proxies: root.trusted_proxies,
        workers: root.workers,
        drain_timeout_ms: root.drain_timeout_ms,
        public_url: root.public_url,
        log: root.log,
        limits: root.limits,
        upstream: root.upstream,
        ledger: root.ledger,
        runtime: root.runtime,
        journals: root.journals,
        tenant_policies: root.tenant_policies,
        cooldown: root.cooldown.value,
        retry: root.retry,
        pins: root.pins,
        fallbacks: root
            .fallback
            .into_iter()
            .map(|fallback| compile_fallback(fallback, report))
            .collect(),
        channels,
        tenants,
        policies,
        prices: root
            .price
            .into_iter()
            .map(|price| compile_price(price.value))
            .collect(),
        secrets,
        redacted,
    }
}

fn check_addresses(root: &written::Root, report: &mut Report<'_>) {
    if let Some(admin) = &root.admin_listen
        && admin.value == root.listen.value
        && admin.value.port() != 0
    {
        admin.error(
            report,
            "is the same as listen; leave it out to have both on one address",
        );
    }
}

fn check_cooldown(cooldown: &At<written::Cooldown>, report: &mut Report<'_>) {
    let (first_ms, max_ms) = (cooldown.value.first_ms, cooldown.value.max_ms);
    let retest = (
        cooldown.value.key_retest_first_ms,
        cooldown.value.key_retest_max_ms,
    );
    if retest.1 < retest.0 {
        let message = format!(
            "key_retest_max_ms, {}, is less than key_retest_first_ms, {}",
            retest.1, retest.0
        );
        cooldown.error(report, message);
    }
    if max_ms < first_ms {
        cooldown.error(
            report,
            format!("max_ms, {max_ms}, is less than first_ms, {first_ms}"),
        );
    }
}

fn secrets(
    written: &BTreeMap<String, At<SecretRef>>,
    report: &mut Report<'_>,
) -> BTreeMap<Arc<str>, weir_base::Secret> {
    let secrets = written.iter();
    secrets
        .filter_map(|(name, secret)| Some((name.as_str().into(), resolve(secret, report)?)))
        .collect()
}

/// Fetches a secret, or reports why it cannot be.
fn resolve(secret: &At<SecretRef>, report: &mut Report<'_>) -> Option<weir_base::Secret> {
    match secret.value.resolve(report) {
        Ok(fetched) => Some(fetched),
        Err(message) => {
            secret.error(report, message);
            None
        }
    }
}

/// Reports every name that was used before.
fn check_unique<'n>(
    what: &str,
    names: impl IntoIterator<Item = &'n At<Name>>,
    report: &mut Report<'_>,
) {
    let mut first: BTreeMap<&str, &At<Name>> = BTreeMap::new();
    for name in names {
        match first.get(&*name.value.0) {
            Some(earlier) => {
                let message = format!(
                    "the {what} {} exists already: {}",
                    name.value.0, earlier.origin
                );
                name.error(report, message);
            }
            None => {
                first.insert(&name.value.0, name);
            }
        }
    }
}

fn compile_fallback(fallback: At<written::Fallback>, report: &mut Report<'_>) -> written::Fallback {
    if fallback.value.to.is_empty() {
        fallback.error(report, "names no model in `to`");
    }
    let by_cost = fallback.value.on.contains(&written::FallbackCause::Cost);
    match (by_cost, fallback.value.cost_max_micros) {
        (true, None) => fallback.error(report, "is `on` cost, and needs cost_max_micros"),
        (false, Some(_)) => fallback.error(
            report,
            "has cost_max_micros, which needs \"cost\" among the causes in `on`",
        ),
        _ => {}
    }
    let mut fallback = fallback.value;
    if fallback.on.is_empty() {
        fallback.on.push(written::FallbackCause::Error);
    }
    fallback
}

fn compile_price(price: written::Price) -> Price {
    let input = price.input_micros_per_million;
    Price {
        model: price.model,
        channel: price.channel,
        tenant: price.tenant,
        input_micros_per_million: input,
        output_micros_per_million: price.output_micros_per_million,
        cached_micros_per_million: price.cached_micros_per_million.unwrap_or(input),
        cache_write_micros_per_million: price.cache_write_micros_per_million.unwrap_or(input),
        date_unix_ms: price.date.map(|date| date.unix_ms),
        source: price.source,
    }
}
