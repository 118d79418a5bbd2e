//! The settings file, read again.

use std::path::PathBuf;
use std::sync::Arc;

use super::Control;
use super::error::ControlError;
use super::rebuild::{Cause, State};
use crate::config::{self, Config, SettingsFile, Sources, UnreadableFile};

/// Settings outside of `[[…]]` tables that are looked at once, when the program starts. A name
/// without a dot that is a section stands for all of it.
const AT_START_ONLY: [&str; 28] = [
    "admin_listen",
    "data_dir",
    "ledger.flush_ms",
    "ledger.queue_max_rows",
    "limits.connections_max",
    "limits.header_max_bytes",
    "limits.header_max_count",
    "limits.header_timeout_ms",
    "limits.idle_timeout_ms",
    "listen",
    "log.format",
    "log.level",
    "public_url",
    "runtime.compile_memory_max_bytes",
    "runtime.compile_timeout_ms",
    "runtime.instances_max",
    "runtime.memory_max_bytes",
    "runtime.remember_max_ms",
    "runtime.policy_size_max_bytes",
    "upstream.ca_files",
    "upstream.connection_max_age_ms",
    "upstream.connections_max",
    "upstream.dns_cache_ms",
    "upstream.header_max_bytes",
    "upstream.http2_ping_ms",
    "upstream.idle_connection_ms",
    "upstream.idle_connections_max",
    "workers",
];

impl Control {
    /// Reads the settings file again, checks it, loads what is new and publishes it. Settings that
    /// wait for a restart are named in the log.
    ///
    /// # Errors
    /// The file cannot be read or has mistakes, or one of its policies does not load: nothing has
    /// changed.
    pub async fn reload_config(&self) -> Result<(), ControlError> {
        let mut state = self.state.lock().await;
        let sources = read_again(&state.sources);
        self.take_over(&mut state, sources).await
    }

    async fn take_over(
        &self,
        state: &mut State,
        sources: Result<Sources, UnreadableFile>,
    ) -> Result<(), ControlError> {
        let sources = sources.map_err(|file| ControlError::Unreadable { file });
        let result = match sources {
            Ok(sources) => self.use_sources(state, sources).await,
            Err(error) => Err(error),
        };
        match &result {
            Ok(()) => self.parts.metrics.config_reloaded(),
            Err(error) => self.parts.metrics.config_refused(error),
        }
        result
    }

    /// The same where the file's text is another than before; for the watcher, which also sees
    /// files that are none of its business.
    ///
    /// An empty file is not taken over: whoever writes it anew has most likely just begun, and without
    /// settings every caller would be turned away until the end. Asked for by name, it is.
    pub(super) async fn reload_config_if_changed(&self) {
        let mut state = self.state.lock().await;
        let sources = read_again(&state.sources);
        let changed = match &sources {
            Ok(sources) => {
                let text = sources.file.as_ref().map(|file| &file.text);
                let is_blank = text.is_some_and(|text| text.trim().is_empty());
                text != state.seen_text.as_ref() && !is_blank
            }
            Err(_) => state.seen_text.is_some(),
        };
        if changed {
            // Counted and logged where it happened; there is nobody here to tell.
            let _ = self.take_over(&mut state, sources).await;
        }
    }

    async fn use_sources(&self, state: &mut State, sources: Sources) -> Result<(), ControlError> {
        state.seen_text = sources.file.as_ref().map(|file| file.text.clone());
        let loaded = config::load(&sources).map_err(ControlError::Config)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let config = Arc::new(loaded.config);
        // The environment's channels are built from the sources, so these come first.
        let before = std::mem::replace(&mut state.sources, sources);
        if let Err(error) = self
            .rebuild(state, Arc::clone(&config), Cause::Settings)
            .await
        {
            let nothing_changed = !Arc::ptr_eq(&state.config, &config);
            if nothing_changed {
                state.sources = before;
                return Err(error);
            }
            tracing::error!(%error, "the settings are in use, but a policy of the API or of policies_dir is as it was");
        }
        self.watch_folders(state);
        warn_of_waiting(&state.started_with, &config);
        Ok(())
    }
}

fn warn_of_waiting(started_with: &Config, config: &Config) {
    for path in config.changed_settings(started_with) {
        if AT_START_ONLY.contains(&path.as_str()) {
            tracing::warn!(setting = path, "a changed setting waits for a restart");
        }
    }
}

/// The same sources with the file as it is now. Without a file at the start, one that was made in
/// the usual place since then counts.
fn read_again(sources: &Sources) -> Result<Sources, UnreadableFile> {
    let known = sources.file.as_ref().map(|file| file.path.clone());
    let optional = known.is_none();
    let path = known.unwrap_or_else(|| PathBuf::from("weir.toml"));
    let file = match std::fs::read_to_string(&path) {
        Ok(text) => Some(SettingsFile { path, text }),
        Err(error) if optional && error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(UnreadableFile { path, source }),
    };
    Ok(Sources {
        file,
        ..sources.clone()
    })
}
