//! What is done every second: counters and the policies' stores are saved, gauges set, old calls
//! dropped from the ledger.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use weir_counters::{CounterState, KeyValueState};
use weir_store::{StateKind, StateRow, StoreError};

use super::{Control, ControlParts};
use crate::telemetry::HealthShown;

const EVERY: Duration = Duration::from_secs(1);
/// Seconds between two looks for counters and keys that hold nothing any more.
const SWEEP_EVERY: u64 = 5;
/// Old calls are dropped once a day, and the first time soon after the start.
const PURGE_EVERY: Duration = Duration::from_secs(86_400);
const FIRST_PURGE_AFTER: Duration = Duration::from_secs(60);
const DAY_MS: u64 = 86_400_000;

/// Between a namespace and a key; no namespace holds it.
const SEPARATOR: char = '\n';

/// States that are not in the database yet, newest only, by key.
#[derive(Default)]
pub(super) struct Unsaved {
    counters: HashMap<String, StateRow>,
    values: HashMap<String, StateRow>,
}

/// Brings back what was saved, before the first call.
pub(super) async fn restore(parts: &ControlParts) -> Result<(), StoreError> {
    let store = parts.store.clone();
    let read = tokio::task::spawn_blocking(move || {
        let counters = store.load_states(StateKind::Counter)?;
        let values = store.load_states(StateKind::KeyValue)?;
        Ok((counters, values, store.load_all()?.bans))
    });
    let stopped = |_| {
        Err(StoreError::Unavailable(
            "reading it was given up".to_owned(),
        ))
    };
    let (counters, values, bans) = read.await.unwrap_or_else(stopped)?;
    // A row that cannot be read was written by another version of Weir: its counter starts anew.
    let counters = counters
        .into_iter()
        .filter_map(|row| serde_json::from_slice(&row.value?).ok());
    parts.limits.restore(counters.collect());
    parts
        .key_values
        .restore(values.into_iter().filter_map(value_of).collect());
    let now_ms = parts.clock.now_ms();
    for ban in bans {
        parts.bans.ban(ban.ip, ban.until_ms, now_ms);
    }
    Ok(())
}

fn row_of_counter(state: &CounterState) -> Option<StateRow> {
    let value = serde_json::to_vec(state).ok()?;
    Some(StateRow {
        key: state.id(),
        value: Some(value),
        expires_ms: state.expires_ms,
    })
}

fn row_of_value(state: KeyValueState) -> StateRow {
    let key = format!("{}{SEPARATOR}{}", state.namespace, state.key);
    StateRow {
        key,
        value: state.value,
        expires_ms: state.expires_ms,
    }
}

fn value_of(row: StateRow) -> Option<KeyValueState> {
    let (namespace, key) = row.key.split_once(SEPARATOR)?;
    Some(KeyValueState {
        namespace: namespace.to_owned(),
        key: key.to_owned(),
        value: row.value,
        expires_ms: row.expires_ms,
    })
}

/// Does it for as long as the control lives.
pub(super) async fn run(control: Weak<Control>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut next_purge = Instant::now() + FIRST_PURGE_AFTER;
    for tick in 0_u64.. {
        ticks.tick().await;
        let Some(control) = control.upgrade() else {
            return;
        };
        control.save_states().await;
        control.set_gauges();
        if tick % SWEEP_EVERY == 0 {
            control.parts.limits.sweep();
            control.parts.key_values.sweep();
        }
        if next_purge <= Instant::now() {
            next_purge = Instant::now() + PURGE_EVERY;
            tokio::spawn(purge(Arc::clone(&control)));
        }
    }
}

/// Drops the calls that are older than the settings want them kept.
async fn purge(control: Arc<Control>) {
    let days = control.config().ledger.retention_days;
    if days == 0 {
        return;
    }
    let before_ms = control
        .parts
        .clock
        .now_ms()
        .saturating_sub(u64::from(days) * DAY_MS);
    match control.parts.store.purge_calls_before(before_ms).await {
        Ok(0) => {}
        Ok(calls) => tracing::info!(calls, days, "old calls were dropped from the ledger"),
        Err(error) => tracing::warn!(%error, "old calls could not be dropped from the ledger"),
    }
}

impl Control {
    /// Saves what changed. What cannot be saved now is kept and saved with the next changes.
    pub(super) async fn save_states(&self) {
        let mut unsaved = self.unsaved.lock().await;
        let counters = self.parts.limits.snapshot_dirty();
        let counters = counters.iter().filter_map(row_of_counter);
        unsaved
            .counters
            .extend(counters.map(|row| (row.key.clone(), row)));
        let values = self
            .parts
            .key_values
            .snapshot_dirty()
            .into_iter()
            .map(row_of_value);
        unsaved
            .values
            .extend(values.map(|row| (row.key.clone(), row)));
        let Unsaved { counters, values } = &mut *unsaved;
        for (kind, rows) in [
            (StateKind::Counter, counters),
            (StateKind::KeyValue, values),
        ] {
            if rows.is_empty() {
                continue;
            }
            let batch = rows.values().cloned().collect();
            match self.parts.store.save_states(kind, batch).await {
                Ok(()) => rows.clear(),
                Err(error) => tracing::debug!(%error, "counters could not be saved yet"),
            }
        }
    }

    fn set_gauges(&self) {
        let metrics = &self.parts.metrics;
        let ledger = self.parts.store.ledger().status();
        metrics.set_ledger_backlog(ledger.backlog);
        match (ledger.accepting, &ledger.failure) {
            (true, _) => metrics.ledger_resumed(),
            (false, Some(failure)) => metrics.ledger_stopped(failure),
            (false, None) => metrics.ledger_stopped(&"too many finished calls wait to be written"),
        }
        metrics.set_policy_versions_live(self.parts.engine.live_versions());
        let now_ms = self.parts.clock.now_ms();
        for channel in self.published.load().channels.iter() {
            let (mut usable, mut cooling, mut disabled) = (0, 0, 0);
            for key in channel.keys.keys() {
                match (key.state.disabled(), key.state.usable(now_ms)) {
                    (Some(_), _) => disabled += 1,
                    (None, true) => usable += 1,
                    (None, false) => cooling += 1,
                }
            }
            channel.metrics.set_keys(usable, cooling, disabled);
            let measured = channel.health.measured(now_ms);
            channel.metrics.set_health(&HealthShown {
                error_ratio: measured.counts.error_rate(1),
                tokens_per_second: measured.means.tokens_per_second,
                open_circuits: measured.open_circuits,
            });
        }
        // While something is being changed there is time: the next look is soon.
        if let Ok(state) = self.state.try_lock() {
            self.parts.metrics.set_tenants_cpu(&state.budgets.seconds());
        }
    }
}
