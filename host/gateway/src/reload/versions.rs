//! What an operator does with versions: upload, activate, go back.

use std::sync::Arc;

use bytes::Bytes;
use weir_policy::{LoadError, Version};
use weir_store::{PolicyState, PolicyVersion, StoreError};

use super::Control;
use super::code::{Code, Layer};
use super::error::ControlError;
use super::rebuild::{Cause, State, short};
use super::status::VersionReport;
use super::trials;
use super::wanted::{Base, Wanted};

/// Digests of retired and of approved versions that are remembered.
const REMEMBERED_MAX: usize = 100;

impl Control {
    /// Loads `bytes` with the policy's settings, keeps them by digest, and activates them if asked;
    /// unless they may do more than the version in force: then they wait for `approve`, which may be
    /// said at once. The oldest unused versions make room, where there are too many.
    ///
    /// # Errors
    /// There is no such policy; a file provides its code and the version is to be activated; the
    /// version cannot be run; the store failed. Nothing has changed.
    pub async fn upload(
        &self,
        policy: &str,
        bytes: Bytes,
        activate: bool,
        approve: bool,
    ) -> Result<VersionReport, ControlError> {
        let code = Code::new(bytes, Layer::Upload);
        // Compiling may take long: nobody's change waits for it.
        let prepared = self.prepare(policy, &code).await?;
        let mut state = self.state.lock().await;
        let mut wanted = self.find(&state, policy).await?;
        let report = self
            .upload_as(&mut state, &mut wanted, (code, prepared), activate, approve)
            .await?;
        if let Err(error) = self.make_room(&state, &wanted, &report.digest).await {
            tracing::warn!(policy, %error, "old versions could not be removed");
        }
        Ok(report)
    }

    async fn upload_as(
        &self,
        state: &mut State,
        wanted: &mut Wanted,
        (code, prepared): (Code, Result<(), LoadError>),
        activate: bool,
        approve: bool,
    ) -> Result<VersionReport, ControlError> {
        let policy = &*Arc::clone(&wanted.policy.name);
        if activate {
            writable(wanted)?;
        }
        if let Err(error) = prepared {
            let spec = wanted.spec();
            let refused = self.refused(state, &wanted.policy.name, &code, spec, error);
            self.show_error(state, &wanted.policy.name);
            return Err(refused);
        }
        let version = self.try_load(state, wanted, &code).await?;
        let report = VersionReport::new(policy, &version, activate);
        let kept = PolicyVersion {
            policy: policy.to_owned(),
            digest: report.digest.clone(),
            bytes: code.bytes.to_vec(),
            size_bytes: code.bytes.len() as u64,
            created_ms: self.parts.clock.now_ms(),
            source: super::written::UPLOAD.to_owned(),
            report: serde_json::to_value(&report).unwrap_or_default(),
        };
        self.parts.store.put(&kept).await?;
        if approve {
            self.note_approved(wanted, &report.digest).await?;
        }
        if let Err(ControlError::ApprovalNeeded { more, .. }) =
            self.approved(state, wanted, &version)
        {
            self.parts.metrics.policy_version_held(
                policy,
                &short(&code.digest),
                &more,
                kept.created_ms,
            );
            return Ok(VersionReport {
                active: false,
                waits_for: more,
                ..report
            });
        }
        if activate {
            let target = Some(report.digest.clone());
            self.make_active(state, wanted, target, Some(version))
                .await?;
            return Ok(report);
        }
        let running = state.known(&wanted.policy.name).running.as_ref();
        let active = running.is_some_and(|running| running.code.digest == code.digest);
        Ok(VersionReport { active, ..report })
    }

    /// Compiles the code, if there is a policy that it could be a version of.
    async fn prepare(
        &self,
        policy: &str,
        code: &Code,
    ) -> Result<Result<(), LoadError>, ControlError> {
        {
            let state = self.state.lock().await;
            self.find(&state, policy).await?;
        }
        Ok(self.parts.engine.prepare(code.bytes.clone()).await)
    }

    /// Says that an uploaded version may do what it may do.
    ///
    /// # Errors
    /// There is no such policy or version, or the store failed.
    pub async fn approve(&self, policy: &str, digest: &str) -> Result<(), ControlError> {
        let state = self.state.lock().await;
        let mut wanted = self.find(&state, policy).await?;
        self.uploaded(&wanted, digest).await?;
        self.note_approved(&mut wanted, digest).await
    }

    async fn note_approved(&self, wanted: &mut Wanted, digest: &str) -> Result<(), ControlError> {
        let approved = &mut wanted.state.approved;
        approved.retain(|old| old != digest);
        approved.insert(0, digest.to_owned());
        approved.truncate(REMEMBERED_MAX);
        self.parts.store.put(&wanted.state).await?;
        Ok(())
    }

    /// Whether a version may take the place of the one in force.
    fn approved(&self, state: &State, wanted: &Wanted, new: &Version) -> Result<(), ControlError> {
        let known = state.policies.get(&wanted.policy.name);
        match known.and_then(|known| known.running.as_ref()) {
            Some(running) => trials::approved(wanted, &running.version, new),
            None => Ok(()),
        }
    }

    /// Lets an uploaded version decide.
    ///
    /// # Errors
    /// As for [`Control::upload`], and where it may do more than the version in force and nobody has
    /// approved that.
    pub async fn activate(
        &self,
        policy: &str,
        digest: &str,
    ) -> Result<VersionReport, ControlError> {
        let mut state = self.state.lock().await;
        let wanted = self.find(&state, policy).await?;
        writable(&wanted)?;
        self.switch(&mut state, &wanted, Some(digest.to_owned()))
            .await
    }

    /// Goes back to the uploaded version before, or to the policy's own source where there was none.
    ///
    /// # Errors
    /// There is nothing to go back to, and as for [`Control::upload`].
    pub async fn rollback(&self, policy: &str) -> Result<VersionReport, ControlError> {
        let mut state = self.state.lock().await;
        let wanted = self.find(&state, policy).await?;
        writable(&wanted)?;
        let target = wanted.state.previous.clone();
        let leads_somewhere =
            target.is_some() || (wanted.state.active.is_some() && wanted.base != Base::Nothing);
        if !leads_somewhere {
            return Err(ControlError::NoPrevious(policy.to_owned()));
        }
        self.switch(&mut state, &wanted, target).await
    }

    async fn switch(
        &self,
        state: &mut State,
        wanted: &Wanted,
        target: Option<String>,
    ) -> Result<VersionReport, ControlError> {
        let name = &wanted.policy.name;
        let code = self.code_of(state, wanted, target.as_deref()).await?;
        let code = code.ok_or_else(|| ControlError::NoPrevious(name.to_string()))?;
        let version = self.try_load(state, wanted, &code).await?;
        if code.layer == Layer::Upload && !goes_back(wanted, &code) {
            self.approved(state, wanted, &version)?;
        }
        let report = VersionReport::new(name, &version, true);
        self.make_active(state, wanted, target, Some(version))
            .await?;
        Ok(report)
    }

    /// The code of an uploaded version.
    pub(super) async fn uploaded(
        &self,
        wanted: &Wanted,
        digest: &str,
    ) -> Result<Code, ControlError> {
        let name = &wanted.policy.name;
        let kept = self
            .parts
            .store
            .get::<PolicyVersion>(&PolicyVersion::id_of(name, digest))
            .await;
        let kept = kept.map_err(|error| match error {
            StoreError::NotFound => {
                ControlError::NotFound(format!("policy {name} has no version {digest}"))
            }
            other => ControlError::Store(other),
        })?;
        Ok(Code::new(kept.bytes.into(), Layer::Upload))
    }

    /// The policy of this name, as it should be.
    pub(super) async fn find(&self, state: &State, policy: &str) -> Result<Wanted, ControlError> {
        let (_, wanted) = self.wanted(&state.config, &state.lasting).await?;
        let found = wanted
            .into_iter()
            .find(|wanted| *wanted.policy.name == *policy);
        found.ok_or_else(|| ControlError::NotFound(format!("there is no policy {policy}")))
    }

    /// Loads code, or takes the version that runs where it is the same.
    async fn try_load(
        &self,
        state: &mut State,
        wanted: &Wanted,
        code: &Code,
    ) -> Result<Arc<Version>, ControlError> {
        let (name, spec) = (&wanted.policy.name, wanted.spec());
        let running = state.known(name).running.as_ref();
        let same = running.filter(|running| {
            running.code.digest == code.digest && *running.version.spec() == spec
        });
        if let Some(running) = same {
            return Ok(Arc::clone(&running.version));
        }
        let loaded = self.load(state, name, code, spec).await;
        if loaded.is_err() {
            self.show_error(state, name);
        }
        loaded
    }

    /// Writes down which version is in force, and publishes it.
    pub(super) async fn make_active(
        &self,
        state: &mut State,
        wanted: &Wanted,
        target: Option<String>,
        version: Option<Arc<Version>>,
    ) -> Result<(), ControlError> {
        let before = &wanted.state;
        if before.active != target {
            let mut next = PolicyState {
                previous: before.active.clone(),
                trial: None,
                ..before.clone()
            };
            if let Some(old) = &before.active {
                next.retired.retain(|retired| retired != old);
                next.retired.insert(0, old.clone());
                next.retired.truncate(REMEMBERED_MAX);
            }
            next.retired
                .retain(|retired| Some(retired) != target.as_ref());
            // Asked for by name, a version that was taken out gets another chance.
            next.quarantined
                .retain(|out| Some(&out.digest) != target.as_ref());
            next.active = target;
            self.parts.store.put(&next).await?;
        }
        state.known(&wanted.policy.name).refused = None;
        state.preloaded = version;
        let config = Arc::clone(&state.config);
        match self.rebuild(state, config, Cause::Store).await {
            // Another policy's trouble is shown with that policy.
            Err(ControlError::Load { policy, .. } | ControlError::Source { policy, .. })
                if *policy != *wanted.policy.name =>
            {
                Ok(())
            }
            result => result,
        }
    }
}

/// Whether the code was in force before: what it may do was accepted then.
fn goes_back(wanted: &Wanted, code: &Code) -> bool {
    let digest = code.digest_hex();
    wanted.state.previous.as_ref() == Some(&digest) || wanted.state.retired.contains(&digest)
}

/// Whether the API may say what runs.
fn writable(wanted: &Wanted) -> Result<(), ControlError> {
    match &wanted.dropped {
        None => Ok(()),
        Some(path) => Err(ControlError::ReadOnly {
            what: format!("the code of policy {}", wanted.policy.name),
            file: path.display().to_string(),
        }),
    }
}
