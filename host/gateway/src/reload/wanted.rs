//! Which policies there should be, in which order, and where each one's code is looked for.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use weir_policy::{CpuBudget, Grants, Isolation, Recycle, Role, VersionSpec};
use weir_store::{Entities, PolicySetting, PolicyState, TrialKind};

use super::error::ControlError;
use super::written;
use crate::config::{self, Config, ConfigErrors, Globs, PolicySource, TenantPolicies};

/// Instances of one policy of a tenant, in all workers together.
const TENANT_INSTANCES_MAX: u32 = 32;
/// Calls that may wait for an instance of a tenant's policy, in each worker.
const TENANT_WAITING_MAX: u32 = 64;

/// Where a policy's code comes from when nothing was dropped or uploaded for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Base {
    Builtin(Arc<str>),
    File(PathBuf),
    /// Nothing runs until something is uploaded.
    Nothing,
}

/// One policy as it should be.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Its name is the full one.
    pub(super) policy: config::Policy,
    /// The tenant whose own it is.
    pub(super) owner: Option<Owner>,
    /// The file that declares it, where its settings are read-only.
    pub(super) declared_in: Option<String>,
    pub(super) base: Base,
    /// The file in `policies_dir` that provides its code.
    pub(super) dropped: Option<PathBuf>,
    /// What the API made of it.
    pub(super) state: PolicyState,
}

/// A tenant that wrote a policy for its own calls.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) tenant: Arc<str>,
    /// The policy's name among the tenant's.
    pub(super) name: String,
    /// The computing time of all its policies.
    pub(super) cpu: Arc<CpuBudget>,
}

/// The whole chain: the policies of the file, then those of the API by position, then those that
/// are nothing but a file in `policies_dir`. With the default chain in place of the file's, the API
/// may set its policies. Tenants' own come after all of these.
pub(super) fn list(
    config: &Config,
    entities: &Entities,
    dropped: Vec<(String, PathBuf)>,
    lasting: &Lasting,
) -> Result<Vec<Wanted>, ControlError> {
    let memory_max_bytes = config.runtime.memory_max_bytes;
    let mut dropped: HashMap<_, _> = dropped.into_iter().collect();
    let states = entities
        .policy_states
        .iter()
        .map(|state| (state.policy.as_str(), state));
    let mut parts = Parts {
        dropped: &mut dropped,
        states: states.collect(),
    };
    let (of_tenants, mut settings): (Vec<&PolicySetting>, Vec<&PolicySetting>) = entities
        .policy_settings
        .iter()
        .partition(|setting| owner_of(&setting.name).is_some());
    settings.sort_by_key(|setting| setting.position);
    let is_default = is_default_chain(config);
    let file = config.file.as_ref().map(|file| file.display().to_string());
    let mut wanted = Vec::new();
    for policy in &config.policies {
        let of_api = settings
            .iter()
            .position(|setting| *setting.name == *policy.name);
        let of_api = of_api.map(|index| settings.remove(index));
        if let Some(setting) = of_api.filter(|_| is_default) {
            let mut set = from_api(setting, memory_max_bytes)?;
            if set.1 == Base::Nothing {
                set.1 = base_of(&policy.source);
            }
            wanted.push(parts.wanted(set.0, set.1, None));
        } else {
            let declared_in = file.clone().filter(|_| !is_default);
            wanted.push(parts.wanted(policy.clone(), base_of(&policy.source), declared_in));
        }
    }
    for setting in settings {
        let (policy, base) = from_api(setting, memory_max_bytes)?;
        wanted.push(parts.wanted(policy, base, None));
    }
    let mut alone: Vec<_> = parts.dropped.keys().cloned().collect();
    alone.sort();
    for name in alone {
        let read = written::policy(&name, &json!({}), memory_max_bytes);
        let (policy, _) = read.map_err(ControlError::Config)?;
        wanted.push(parts.wanted(policy, Base::Nothing, None));
    }
    wanted.extend(parts.of_tenants(config, of_tenants, lasting));
    Ok(wanted)
}

/// The tenant and the policy's own name, where a full name is that of a tenant's policy.
pub fn owner_of(name: &str) -> Option<(&str, &str)> {
    name.split_once('/')
}

/// Whether the chain is the one that runs where no `[[policy]]` was written.
fn is_default_chain(config: &Config) -> bool {
    let written = config
        .redacted()
        .get("policy")
        .and_then(serde_json::Value::as_array);
    written.is_none_or(Vec::is_empty)
}

fn from_api(
    setting: &PolicySetting,
    memory_max_bytes: usize,
) -> Result<(config::Policy, Base), ControlError> {
    let read = written::policy(&setting.name, &setting.settings, memory_max_bytes);
    let (policy, has_source) = read.map_err(ControlError::Config)?;
    let base = if has_source {
        base_of(&policy.source)
    } else {
        Base::Nothing
    };
    Ok((policy, base))
}

fn base_of(source: &PolicySource) -> Base {
    match source {
        PolicySource::Builtin(name) => Base::Builtin(Arc::clone(name)),
        PolicySource::File(path) => Base::File(path.clone()),
    }
}

struct Parts<'a> {
    dropped: &'a mut HashMap<String, PathBuf>,
    states: HashMap<&'a str, &'a PolicyState>,
}

impl Parts<'_> {
    fn wanted(
        &mut self,
        policy: config::Policy,
        base: Base,
        declared_in: Option<String>,
    ) -> Wanted {
        let dropped = self.dropped.remove(&*policy.name);
        let state = self
            .states
            .get(&*policy.name)
            .map(|state| PolicyState::clone(state));
        let nothing = || PolicyState::new(&*policy.name);
        Wanted {
            state: state.unwrap_or_else(nothing),
            owner: None,
            policy,
            declared_in,
            base,
            dropped,
        }
    }
}

impl Parts<'_> {
    /// Tenants' own policies, by tenant and then by position. One whose settings cannot be read, or
    /// beyond the number that a tenant may have, is left out: its author is told when making it.
    fn of_tenants(
        &mut self,
        config: &Config,
        mut settings: Vec<&PolicySetting>,
        Lasting { budgets, read }: &Lasting,
    ) -> Vec<Wanted> {
        settings.sort_by_key(|setting| (owner_of(&setting.name), setting.position));
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let mut all = Vec::new();
        for setting in settings {
            let Some((tenant, name)) = owner_of(&setting.name) else {
                continue;
            };
            let count = counts.entry(tenant).or_default();
            *count += 1;
            let memory_max_bytes = config.runtime.memory_max_bytes;
            let policy = read.policy(setting, name, memory_max_bytes);
            let (Ok(mut policy), true) = (policy, *count <= config.tenant_policies.policies_max)
            else {
                tracing::warn!(
                    policy = setting.name,
                    "a tenant's policy is left out: its settings are no longer allowed"
                );
                continue;
            };
            policy.name = setting.name.as_str().into();
            let mut wanted = self.wanted(policy, Base::Nothing, None);
            wanted.owner = Some(Owner {
                tenant: tenant.into(),
                name: name.to_owned(),
                cpu: budgets.of(tenant, config.tenant_policies.cpu_max_ms_per_minute),
            });
            wanted.keep_within(&config.tenant_policies);
            all.push(wanted);
        }
        budgets.keep(|tenant| counts.contains_key(tenant));
        read.keep(|policy| owner_of(policy).is_some_and(|(tenant, _)| counts.contains_key(tenant)));
        all
    }
}

/// What is kept of tenants' policies from one snapshot to the next.
#[derive(Debug, Default)]
pub(super) struct Lasting {
    pub(super) budgets: Budgets,
    read: ReadPolicies,
}

/// Settings as they were last read, by the policy's full name: reading takes a tenth of a millisecond,
/// and a change concerns one policy of perhaps thousands.
#[derive(Debug, Default)]
struct ReadPolicies(Mutex<HashMap<String, (serde_json::Value, config::Policy)>>);

impl ReadPolicies {
    /// The policy with these settings, and a tenant's name for it.
    fn policy(
        &self,
        setting: &PolicySetting,
        name: &str,
        memory_max_bytes: usize,
    ) -> Result<config::Policy, ConfigErrors> {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((settings, policy)) = read.get(&setting.name)
            && *settings == setting.settings
        {
            return Ok(policy.clone());
        }
        let (policy, _) = written::policy(name, &setting.settings, memory_max_bytes)?;
        let kept = (setting.settings.clone(), policy.clone());
        read.insert(setting.name.clone(), kept);
        Ok(policy)
    }

    fn keep(&self, is_wanted: impl Fn(&str) -> bool) {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        read.retain(|policy, _| is_wanted(policy));
    }
}

/// The computing time of each tenant.
#[derive(Debug, Default)]
pub(super) struct Budgets(Mutex<HashMap<Arc<str>, Arc<CpuBudget>>>);

impl Budgets {
    fn keep(&self, is_wanted: impl Fn(&str) -> bool) {
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        budgets.retain(|tenant, _| is_wanted(tenant));
    }

    /// Seconds that each tenant's policies computed.
    pub(super) fn seconds(&self) -> Vec<(Arc<str>, f64)> {
        let budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = |budget: &CpuBudget| {
            std::time::Duration::from_micros(budget.total_micros()).as_secs_f64()
        };
        let budgets = budgets.iter();
        budgets
            .map(|(tenant, budget)| (Arc::clone(tenant), seconds(budget)))
            .collect()
    }

    pub(super) fn of(&self, tenant: &str, max_ms: u64) -> Arc<CpuBudget> {
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = budgets
            .entry(tenant.into())
            .and_modify(|budget| {
                if budget.max_ms() != max_ms {
                    *budget = Arc::new(CpuBudget::new(max_ms));
                }
            })
            .or_insert_with(|| Arc::new(CpuBudget::new(max_ms)));
        Arc::clone(budget)
    }
}

impl Wanted {
    /// Cuts what a tenant asks for down to what it may have. The operator may have changed that since.
    fn keep_within(&mut self, quota: &TenantPolicies) {
        let policy = &mut self.policy;
        policy.deadline_ms = policy.deadline_ms.min(quota.deadline_max_ms);
        policy.wait_max_ms = policy.wait_max_ms.min(quota.wait_max_ms);
        policy.memory_max_bytes = policy.memory_max_bytes.min(quota.memory_max_bytes);
        policy.journal_per_thousand = policy
            .journal_per_thousand
            .min(quota.journal_per_thousand_max);
        let grants = &mut policy.grants;
        grants.secrets.clear();
        grants.firewall = false;
        grants.http.retain(|host| may_grant(&quota.http, host));
        let models = grants.models.patterns().iter();
        let models = models.filter(|model| quota.models.is_match(model));
        grants.models = Globs::new(models.cloned().collect()).unwrap_or_else(|_| Globs::nothing());
    }

    /// What the runtime is told about it.
    pub(super) fn spec(&self) -> VersionSpec {
        self.spec_as(match self.policy.mode {
            config::Mode::Enforce => Role::Decides,
            config::Mode::Shadow => Role::Shadow,
        })
    }

    /// What the runtime is told about the version that is tried.
    pub(super) fn trial_spec(&self, kind: TrialKind) -> VersionSpec {
        match kind {
            TrialKind::Shadow => self.spec_as(Role::Beside),
            TrialKind::Canary { .. } => self.spec(),
        }
    }

    fn spec_as(&self, role: Role) -> VersionSpec {
        let policy = &self.policy;
        let ms = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
        let mut spec = VersionSpec::new(&*policy.name, policy.config.to_string());
        spec.identity.role = role;
        if let Some(owner) = &self.owner {
            spec.identity.name.clone_from(&owner.name);
            spec.identity.tenant = Some(owner.tenant.to_string());
            spec.cpu = Some(Arc::clone(&owner.cpu));
            spec.instances_max = TENANT_INSTANCES_MAX;
            spec.waiting_max = TENANT_WAITING_MAX;
        }
        spec.grants = Grants {
            http: policy.grants.http.clone(),
            secrets: policy.grants.secrets.clone(),
            models: policy.grants.models.patterns().to_vec(),
            firewall: policy.grants.firewall,
        };
        spec.deadline_ms = ms(policy.deadline_ms);
        spec.wait_max_ms = ms(policy.wait_max_ms);
        spec.memory_max_bytes = policy.memory_max_bytes;
        spec.isolation = match policy.isolation {
            config::Isolation::Shared => Isolation::Shared,
            config::Isolation::Call => Isolation::Call,
        };
        // A guest that leaks is replaced well before it meets its bound.
        spec.recycle = Recycle {
            memory_bytes: policy.memory_max_bytes / 4 * 3,
            ..Recycle::default()
        };
        spec
    }

    /// The name of the source in front of uploads, for people.
    pub(super) fn source_text(&self) -> String {
        match &self.base {
            Base::Builtin(name) => format!("builtin:{name}"),
            Base::File(path) => format!("file:{}", path.display()),
            Base::Nothing => written::UPLOAD.to_owned(),
        }
    }
}

/// Whether a tenant may grant `host` to its policies; `allowed` as the operator wrote it.
pub fn may_grant(allowed: &[String], host: &str) -> bool {
    let bare = host.strip_prefix("*.").unwrap_or(host);
    allowed
        .iter()
        .any(|allowed| match allowed.strip_prefix("*.") {
            _ if allowed == "*" => is_name(bare),
            _ if allowed == host => true,
            // A host of the domain, or a part of it.
            Some(domain) => bare
                .strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.') || (rest.is_empty() && bare != host)),
            None => false,
        })
}

/// Whether it is the name of a host and no address, however it is written: a granted address is
/// reached also where it is private.
fn is_name(host: &str) -> bool {
    let name = host.split(':').next().unwrap_or_default();
    let last = name.rsplit('.').next().unwrap_or_default();
    name.contains('.') && last.len() > 1 && last.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_grants_no_more_than_it_may() {
        let may = |allowed: &str, host: &str| may_grant(&[allowed.to_owned()], host);
        assert!(may("api.example.com", "api.example.com"));
        assert!(!may("api.example.com", "api.example.com.evil.test"));
        for host in ["a.example.com", "*.example.com", "*.b.example.com"] {
            assert!(may("*.example.com", host), "{host}");
            assert!(may("*", host), "{host}");
        }
        for host in ["example.com", "badexample.com", "*.com"] {
            assert!(!may("*.example.com", host), "{host}");
        }
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.0x1",
            "[::1]",
            "localhost",
            "10.0.0.1:80",
            "*",
        ] {
            assert!(!may("*", host), "{host}");
        }
    }
}
