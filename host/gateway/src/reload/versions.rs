//! What an operator does with versions: upload, activate, go back.

use std::sync::Arc;

use bytes::Bytes;
use weir_policy::Version;
use weir_store::{PolicyState, PolicyVersion};

use super::Control;
use super::code::{Code, Layer};
use super::error::ControlError;
use super::rebuild::{Cause, State};
use super::status::VersionReport;
use super::wanted::{Base, Wanted};

impl Control {
    /// Loads `bytes` with the policy's settings, keeps them by digest, and activates them if asked.
    ///
    /// # Errors
    /// There is no such policy; a file provides its code and the version is to be activated; the
    /// version cannot be run; the store failed. Nothing has changed.
    pub async fn upload(
        &self,
        policy: &str,
        bytes: Bytes,
        activate: bool,
    ) -> Result<VersionReport, ControlError> {
        let mut state = self.state.lock().await;
        let wanted = self.find(&state, policy).await?;
        if activate {
            writable(&wanted)?;
        }
        let code = Code::new(bytes, Layer::Upload);
        let version = self.try_load(&mut state, &wanted, &code).await?;
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
        if activate {
            let target = Some(report.digest.clone());
            self.make_active(&mut state, &wanted, target, Some(version))
                .await?;
            return Ok(report);
        }
        let running = state.known(&wanted.policy.name).running.as_ref();
        let active = running.is_some_and(|running| running.code.digest == code.digest);
        Ok(VersionReport { active, ..report })
    }

    /// Lets an uploaded version decide.
    ///
    /// # Errors
    /// As for [`Control::upload`].
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
        let report = VersionReport::new(name, &version, true);
        self.make_active(state, wanted, target, Some(version))
            .await?;
        Ok(report)
    }

    /// The policy of this name, as it should be.
    async fn find(&self, state: &State, policy: &str) -> Result<Wanted, ControlError> {
        let (_, wanted) = self.wanted(&state.config).await?;
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
            let next = PolicyState {
                policy: wanted.policy.name.to_string(),
                active: target,
                previous: before.active.clone(),
            };
            self.parts.store.put(&next).await?;
        }
        // Asked for by name, a version that was taken out gets another chance.
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
