//! Tenants and virtual keys of the file and the API, as one.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::Ingredients;
use crate::config::KeyRole;
use crate::identify::{self, Tenant, VirtualKey};

type Tenants = HashMap<Arc<str>, Arc<Tenant>>;

/// Every tenant by its id. A name that the file has is the file's.
pub(super) fn all(from: &Ingredients<'_>, warnings: &mut Vec<String>) -> Tenants {
    let mut tenants = Tenants::new();
    for tenant in &from.config.tenants {
        let made = Tenant {
            id: Arc::clone(&tenant.name),
            labels: tenant.labels.clone(),
            time_zone: time_zone(&tenant.name, &tenant.time_zone, warnings),
            disabled: tenant.disabled,
        };
        tenants.insert(Arc::clone(&tenant.name), Arc::new(made));
    }
    for tenant in &from.entities.tenants {
        let id: Arc<str> = tenant.id.as_str().into();
        if tenants.contains_key(&id) {
            warnings.push(format!(
                "the tenant {id} of the API is not used: the settings file has one of this name"
            ));
            continue;
        }
        let zone = tenant.time_zone.as_deref().unwrap_or("UTC");
        let made = Tenant {
            id: Arc::clone(&id),
            labels: tenant.labels.clone(),
            time_zone: time_zone(&id, zone, warnings),
            disabled: tenant.disabled,
        };
        tenants.insert(id, Arc::new(made));
    }
    tenants
}

fn time_zone(tenant: &str, name: &str, warnings: &mut Vec<String>) -> TimeZone {
    if name == "UTC" {
        return TimeZone::UTC;
    }
    TimeZone::get(name).unwrap_or_else(|_| {
        warnings.push(format!(
            "the tenant {tenant} has the days of UTC: its time zone {name:?} is not known here"
        ));
        TimeZone::UTC
    })
}

/// Every virtual key that has a secret, by the secret's hash. A secret that the file has is the
/// file's.
pub(super) fn keys(
    from: &Ingredients<'_>,
    tenants: &Tenants,
    warnings: &mut Vec<String>,
) -> HashMap<[u8; 32], Arc<VirtualKey>> {
    let mut keys = HashMap::new();
    for tenant in &from.config.tenants {
        let Some(owner) = tenants.get(&tenant.name) else {
            continue;
        };
        for key in &tenant.keys {
            let Some(secret) = &key.secret else { continue };
            let made = VirtualKey {
                id: format!("{}.{}", tenant.name, key.name).into(),
                tenant: Arc::clone(owner),
                labels: key.labels.clone(),
                disabled: key.disabled,
                author: key.role == KeyRole::Author,
                expires_ms: key.expires_unix_ms,
            };
            keys.insert(identify::hash(secret), Arc::new(made));
        }
    }
    for key in &from.entities.keys {
        let Some(owner) = tenants.get(key.tenant.as_str()) else {
            warnings.push(format!(
                "the key {} is not used: there is no tenant {}",
                key.id, key.tenant
            ));
            continue;
        };
        if keys.contains_key(&key.hash) {
            warnings.push(format!(
                "the key {} is not used: the settings file has its secret",
                key.id
            ));
            continue;
        }
        let made = VirtualKey {
            id: key.id.as_str().into(),
            tenant: Arc::clone(owner),
            labels: key.labels.clone(),
            disabled: key.disabled,
            author: key.author,
            expires_ms: key.expires_ms,
        };
        keys.insert(key.hash, Arc::new(made));
    }
    keys
}
