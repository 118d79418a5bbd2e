//! `[[policy]]`, and the chain that runs when there is none.

use std::collections::BTreeMap;

use super::check_unique;
use crate::config::BUILTIN_POLICIES;
use crate::config::model::{Grants, Policy};
use crate::config::node::join;
use crate::config::report::{Report, suggestion};
use crate::config::setting::At;
use crate::config::types::{Globs, PolicySource, SecretRef};
use crate::config::written::{self, FailureRule, Isolation, Mode};

/// Enough for a policy of a few megabytes of code and its data.
const MEMORY_DEFAULT_BYTES: usize = 33_554_432;

pub(super) fn compile(
    policies: Vec<At<written::Policy>>,
    runtime: &written::Runtime,
    secrets: &BTreeMap<String, At<SecretRef>>,
    report: &mut Report<'_>,
) -> Vec<Policy> {
    check_unique(
        "policy",
        policies.iter().map(|policy| &policy.value.name),
        report,
    );
    let policies = policies.into_iter().map(|policy| policy.value);
    policies
        .map(|policy| {
            check_source(&policy.source, report);
            let memory_max_bytes = memory(policy.memory_max_bytes.as_ref(), runtime, report);
            compile_one(policy, memory_max_bytes, secrets, report)
        })
        .collect()
}

fn compile_one(
    policy: written::Policy,
    memory_max_bytes: usize,
    secrets: &BTreeMap<String, At<SecretRef>>,
    report: &mut Report<'_>,
) -> Policy {
    Policy {
        name: policy.name.value.0,
        source: policy.source.value,
        on_failure: policy.on_failure,
        deadline_ms: policy.deadline_ms,
        wait_max_ms: policy.wait_max_ms,
        memory_max_bytes,
        isolation: policy.isolation,
        mode: policy.mode,
        tenants: policy.tenants,
        grants: grants(policy.grants, secrets, report),
        journal_per_thousand: policy.journal_per_thousand,
        config: policy.config.0.into(),
    }
}

/// The four policies that come with Weir, with nothing set: they allow what a valid key asks for.
pub(super) fn default_chain(runtime: &written::Runtime) -> Vec<Policy> {
    let policy = |name: &str| Policy {
        name: name.into(),
        source: PolicySource::Builtin(name.into()),
        on_failure: FailureRule::Deny,
        deadline_ms: 20,
        wait_max_ms: 1_000,
        memory_max_bytes: MEMORY_DEFAULT_BYTES.min(runtime.memory_max_bytes),
        isolation: Isolation::Shared,
        mode: Mode::Enforce,
        tenants: Globs::everything(),
        grants: Grants::default(),
        journal_per_thousand: 0,
        config: serde_json::Value::Object(serde_json::Map::new()),
    };
    BUILTIN_POLICIES.into_iter().map(policy).collect()
}

fn check_source(source: &At<PolicySource>, report: &mut Report<'_>) {
    if let PolicySource::Builtin(name) = &source.value
        && !BUILTIN_POLICIES.contains(&&**name)
    {
        let hint = suggestion(name, BUILTIN_POLICIES);
        let known = BUILTIN_POLICIES.join(", ");
        source.error(
            report,
            format!("no policy \"{name}\" comes with Weir, only {known}{hint}"),
        );
    }
}

fn memory(
    written: Option<&At<usize>>,
    runtime: &written::Runtime,
    report: &mut Report<'_>,
) -> usize {
    let most = runtime.memory_max_bytes;
    let Some(written) = written else {
        return MEMORY_DEFAULT_BYTES.min(most);
    };
    if written.value > most {
        written.error(
            report,
            format!("must not be more than runtime.memory_max_bytes, {most}"),
        );
    }
    written.value
}

fn grants(
    written: written::Grants,
    secrets: &BTreeMap<String, At<SecretRef>>,
    report: &mut Report<'_>,
) -> Grants {
    for host in written.http.iter().filter(|host| !is_host(&host.value)) {
        let message = format!(
            "must be a host like \"api.example.com\", \"api.example.com:8443\" or \
             \"*.example.com\", not {:?}",
            host.value
        );
        host.error(report, message);
    }
    for name in &written.secrets {
        if secrets.contains_key(&name.value) || report.has_error_at(&join("secrets", &name.value)) {
            continue;
        }
        let hint = suggestion(&name.value, secrets.keys().map(String::as_str));
        name.error(report, format!("[secrets] has no \"{}\"{hint}", name.value));
    }
    let lower = |host: At<String>| host.value.to_ascii_lowercase();
    Grants {
        http: written.http.into_iter().map(lower).collect(),
        secrets: written.secrets.into_iter().map(|name| name.value).collect(),
        models: written.models,
        firewall: written.firewall,
    }
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let host = host.strip_prefix("*.").unwrap_or(host);
    let in_label = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let labels_fit = host
        .split('.')
        .all(|label| !label.is_empty() && label.chars().all(in_label));
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    labels_fit && port_fits
}
