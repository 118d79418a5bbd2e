//! What old versions leave behind, and how much of it stays: stored versions, and compiled code.
//!
//! Never removes a version that is in force, is tried, or was in force before, nor the code of one that
//! is stored or runs. Calls that still end on a removed version are not touched: its code is in memory.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use weir_store::{Entity, ListQuery, PolicyState, PolicyVersion, StoreError};

use super::Control;
use super::rebuild::{Known, State};
use super::wanted::Wanted;

/// Between two looks for compiled code that nobody needs, where there may be some.
pub(super) const PRUNE_EVERY: Duration = Duration::from_secs(30);
/// Versions that are asked of the store at once.
const PAGE: u32 = 1_000;

impl Control {
    /// Removes the oldest stored versions of a policy that are not in use, where there are more than the
    /// settings allow. `newest` was stored just now and stays.
    pub(super) async fn make_room(
        &self,
        state: &State,
        wanted: &Wanted,
        newest: &str,
    ) -> Result<(), StoreError> {
        let most = match &wanted.owner {
            Some(_) => state.config.tenant_policies.versions_max,
            None => state.config.runtime.versions_max,
        };
        let name = &*wanted.policy.name;
        let mut stored = self.versions(Some(name)).await?;
        let Some(too_many) = stored.len().checked_sub(most).filter(|more| *more > 0) else {
            return Ok(());
        };
        // Anew: the upload may have put the version in force.
        let known = match self.parts.store.get::<PolicyState>(name).await {
            Ok(known) => known,
            Err(StoreError::NotFound) => PolicyState::new(name),
            Err(error) => return Err(error),
        };
        let trial = known.trial.as_ref().map(|trial| &*trial.digest);
        let in_use = [known.active.as_deref(), known.previous.as_deref(), trial];
        stored.retain(|version| {
            version.digest != newest && !in_use.contains(&Some(version.digest.as_str()))
        });
        stored.sort_by_key(|version| version.created_ms);
        for version in stored.iter().take(too_many) {
            self.parts
                .store
                .delete::<PolicyVersion>(&version.id())
                .await?;
        }
        self.wasteful.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The stored versions of a policy, or of all, without their bytes.
    async fn versions(&self, policy: Option<&str>) -> Result<Vec<PolicyVersion>, StoreError> {
        let mut query = ListQuery {
            parent: policy.map(str::to_owned),
            limit: PAGE,
            ..ListQuery::default()
        };
        let mut all = Vec::new();
        loop {
            let page = self
                .parts
                .store
                .list::<PolicyVersion>(query.clone())
                .await?;
            all.extend(page.items);
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Removes compiled code that no stored version and nothing that runs needs, where there may be some.
    pub(super) async fn prune_compiled(self: Arc<Self>) {
        if !self.wasteful.swap(false, Ordering::Relaxed) {
            return;
        }
        // Held to the end, so that nothing is compiled meanwhile.
        let state = self.state.lock().await;
        let stored = match self.versions(None).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::warn!(%error, "compiled policies that nobody needs stay for now");
                self.wasteful.store(true, Ordering::Relaxed);
                return;
            }
        };
        let mut keep: HashSet<[u8; 32]> = state.policies.values().flat_map(in_memory).collect();
        keep.extend(stored.iter().filter_map(|version| {
            let digest = hex::decode(&version.digest).ok()?;
            <[u8; 32]>::try_from(digest).ok()
        }));
        let engine = Arc::clone(&self.parts.engine);
        let pruned = tokio::task::spawn_blocking(move || engine.prune(keep)).await;
        drop(state);
        match pruned {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(files)) => tracing::debug!(files, "compiled policies that nobody needs are gone"),
            Ok(Err(error)) => {
                tracing::warn!(%error, "compiled policies that nobody needs could not be removed");
            }
        }
    }
}

/// The digests of all that runs of a policy, and of what it may go back to.
fn in_memory(known: &Known) -> impl Iterator<Item = [u8; 32]> {
    let running = known.running.as_ref().map(|running| running.code.digest);
    let tried = known.tried.as_ref().map(|tried| *tried.version.digest());
    let before = known.probation.as_ref().map(|on| on.before.code.digest);
    let previous = known.previous.as_ref().map(|code| code.digest);
    let fallback = known.refused.as_ref().map(|(_, to)| to.code.digest);
    [running, tried, before, previous, fallback]
        .into_iter()
        .flatten()
}
