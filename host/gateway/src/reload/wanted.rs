//! Which policies there should be, in which order, and where each one's code is looked for.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use weir_policy::{Grants, Isolation, Recycle, Role, VersionSpec};
use weir_store::{Entities, PolicySetting, PolicyState, TrialKind};

use super::error::ControlError;
use super::written;
use crate::config::{self, Config, PolicySource};

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
    pub(super) policy: config::Policy,
    /// The file that declares it, where its settings are read-only.
    pub(super) declared_in: Option<String>,
    pub(super) base: Base,
    /// The file in `policies_dir` that provides its code.
    pub(super) dropped: Option<PathBuf>,
    /// What the API made of it.
    pub(super) state: PolicyState,
}

/// The whole chain: the policies of the file, then those of the API by position, then those that
/// are nothing but a file in `policies_dir`. With the default chain in place of the file's, the API
/// may set its policies.
pub(super) fn list(
    config: &Config,
    entities: &Entities,
    dropped: Vec<(String, PathBuf)>,
) -> Result<Vec<Wanted>, ControlError> {
    let mut dropped: HashMap<_, _> = dropped.into_iter().collect();
    let states = entities
        .policy_states
        .iter()
        .map(|state| (state.policy.as_str(), state));
    let mut parts = Parts {
        dropped: &mut dropped,
        states: states.collect(),
    };
    let mut settings: Vec<&PolicySetting> = entities.policy_settings.iter().collect();
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
            let mut set = from_api(setting)?;
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
        let (policy, base) = from_api(setting)?;
        wanted.push(parts.wanted(policy, base, None));
    }
    let mut alone: Vec<_> = parts.dropped.keys().cloned().collect();
    alone.sort();
    for name in alone {
        let (policy, _) = written::policy(&name, &json!({})).map_err(ControlError::Config)?;
        wanted.push(parts.wanted(policy, Base::Nothing, None));
    }
    Ok(wanted)
}

/// Whether the chain is the one that runs where no `[[policy]]` was written.
fn is_default_chain(config: &Config) -> bool {
    let written = config
        .redacted()
        .get("policy")
        .and_then(serde_json::Value::as_array);
    written.is_none_or(Vec::is_empty)
}

fn from_api(setting: &PolicySetting) -> Result<(config::Policy, Base), ControlError> {
    let (policy, has_source) =
        written::policy(&setting.name, &setting.settings).map_err(ControlError::Config)?;
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
            policy,
            declared_in,
            base,
            dropped,
        }
    }
}

impl Wanted {
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
