//! `[[tenant]]` and `[[tenant.key]]`.

use std::collections::HashMap;

use super::{check_unique, resolve};
use crate::config::model::{Tenant, VirtualKey};
use crate::config::report::Report;
use crate::config::setting::At;
use crate::config::written;

/// Shorter secrets can be guessed.
const SECRET_MIN_CHARS: usize = 16;

pub(super) fn compile(tenants: Vec<At<written::Tenant>>, report: &mut Report<'_>) -> Vec<Tenant> {
    check_unique(
        "tenant",
        tenants.iter().map(|tenant| &tenant.value.name),
        report,
    );
    // Secret → path of the key that has it: two keys with one secret could not be told apart.
    let mut taken = HashMap::new();
    tenants
        .into_iter()
        .map(|tenant| compile_one(tenant.value, &mut taken, report))
        .collect()
}

fn compile_one(
    tenant: written::Tenant,
    taken: &mut HashMap<String, String>,
    report: &mut Report<'_>,
) -> Tenant {
    check_unique("key", tenant.key.iter().map(|key| &key.value.name), report);
    let zone = &tenant.time_zone;
    if zone.value != "UTC" && jiff::tz::TimeZone::get(&zone.value).is_err() {
        let message = format!(
            "the time zone {:?} is not known on this machine",
            zone.value
        );
        zone.error(report, message);
    }
    let keys = tenant.key.into_iter();
    Tenant {
        name: tenant.name.value.0,
        labels: tenant.labels,
        time_zone: tenant.time_zone.value,
        disabled: tenant.disabled,
        keys: keys.map(|key| compile_key(key, taken, report)).collect(),
    }
}

fn compile_key(
    key: At<written::VirtualKey>,
    taken: &mut HashMap<String, String>,
    report: &mut Report<'_>,
) -> VirtualKey {
    let path = key.path;
    let key = key.value;
    let secret = key.secret.as_ref().and_then(|written| {
        let secret = resolve(written, report)?;
        if secret.expose().len() < SECRET_MIN_CHARS {
            report.warning(format!(
                "{path}.secret is shorter than {SECRET_MIN_CHARS} characters and can be guessed"
            ));
        }
        if let Some(earlier) = taken.insert(secret.expose().to_owned(), path.clone()) {
            written.error(report, format!("is the same secret as that of {earlier}"));
        }
        Some(secret)
    });
    VirtualKey {
        name: key.name.value.0,
        secret,
        labels: key.labels,
        disabled: key.disabled,
        role: key.role,
        expires_unix_ms: key.expires.map(|expires| expires.unix_ms),
    }
}
