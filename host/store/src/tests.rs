//! The suite that every database must pass, run on SQLite, and what is special to SQLite.

mod sqlite;
mod suite;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use weir_base::{CallId, ManualClock, Operation, Usage};

use super::*;

pub(super) const WAIT: Duration = Duration::from_secs(20);

/// 2026-11-21T00:00:00Z.
pub(super) const MIDNIGHT_MS: u64 = 1_795_219_200_000;

/// A database in a folder of its own, which can be opened again and again.
pub(super) struct Place {
    folder: TempDir,
    pub(super) key: MasterKey,
    pub(super) clock: Arc<ManualClock>,
}

impl Place {
    pub(super) fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            key: MasterKey::generate().unwrap(),
            clock: Arc::new(ManualClock::new(MIDNIGHT_MS)),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("weir.db")
    }

    pub(super) fn settings(&self) -> StoreSettings {
        StoreSettings {
            clock: self.clock.clone(),
            flush_ms: 5,
            ..StoreSettings::default()
        }
    }

    pub(super) fn open(&self) -> Store {
        Store::open(&self.path(), &self.key, self.settings()).unwrap()
    }

    pub(super) fn files(&self) -> Vec<u8> {
        let read = |path: &Path| std::fs::read(path).unwrap();
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        entries
            .flat_map(|entry| read(&entry.unwrap().path()))
            .collect()
    }
}

pub(super) fn tenant(id: &str) -> Tenant {
    Tenant {
        id: id.to_owned(),
        name: format!("The {id}"),
        labels: BTreeMap::from([("plan".to_owned(), "pro".to_owned())]),
        time_zone: Some("Europe/Berlin".to_owned()),
        disabled: false,
        created_ms: 1,
        updated_ms: 1,
    }
}

pub(super) fn key(id: &str, tenant: &str) -> VirtualKey {
    VirtualKey {
        id: format!("key_{id}"),
        tenant: tenant.to_owned(),
        name: id.to_owned(),
        hash: sha256(id.as_bytes()),
        prefix: "wr-abcde".to_owned(),
        labels: BTreeMap::new(),
        disabled: false,
        author: false,
        expires_ms: None,
        created_ms: 1,
        updated_ms: 1,
    }
}

pub(super) fn provider_key(id: &str, channel: &str, secret: &str) -> ProviderKey {
    ProviderKey {
        id: id.to_owned(),
        channel: channel.to_owned(),
        label: "main".to_owned(),
        terms: crate::KeyTerms::default(),
        secret: weir_base::Secret::new(secret),
        disabled_reason: None,
        disabled_ms: None,
        created_ms: 1,
    }
}

/// The id of the `n`-th call, which starts `n` milliseconds after midnight.
pub(super) fn call_id(n: u64) -> CallId {
    let mut bytes = [7; 16];
    bytes[..6].copy_from_slice(&(MIDNIGHT_MS + n).to_be_bytes()[2..]);
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    CallId::from_bytes(bytes)
}

pub(super) fn call(n: u64) -> CallRow {
    CallRow {
        id: call_id(n),
        started_ms: MIDNIGHT_MS + n,
        tenant: "acme".into(),
        key: "key_1".into(),
        dialect: Cow::Borrowed("openai.chat"),
        operation: Operation::Chat,
        model: "gpt-4o".into(),
        channel: Some("openai-main".into()),
        upstream_model: Some("gpt-4o-2024-11-20".into()),
        provider_key: Some("pk_1".into()),
        status: 200,
        ended: Ended::Complete,
        denied: None,
        streaming: true,
        client_ip: "203.0.113.9".parse().unwrap(),
        attempts: vec![AttemptRow {
            channel: "openai-main".into(),
            key: Some("pk_1".into()),
            status: Some(200),
            failure: None,
            ms: 312,
            more: None,
        }],
        first_byte_ms: Some(312),
        total_ms: 2_045,
        usage: Usage {
            input_tokens: 1_000,
            output_tokens: 250,
            cached_tokens: 800,
            cache_write_tokens: 0,
            reasoning_tokens: 64,
            cost_micros: 5_000,
            estimated: false,
        },
        decisions: decisions(),
    }
}

/// What the default chain of four policies decides.
fn decisions() -> Vec<Decision> {
    let decision = |hook: &'static str, policy: &str, verdict: &'static str| Decision {
        by: Arc::new(Decider {
            hook: Cow::Borrowed(hook),
            policy: policy.into(),
            digest: hex::encode(sha256(policy.as_bytes())).into(),
        }),
        micros: 3,
        verdict: Cow::Borrowed(verdict),
    };
    vec![
        decision("access", "permissions", "allow"),
        decision("rewrite", "aliases", "changed"),
        Decision {
            micros: 0,
            ..decision("limit", "limits", REMEMBERED)
        },
        decision("route", "router", "openai-main"),
    ]
}

pub(super) fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}
