//! Files that change by themselves: the settings, `policies_dir`, and the files of policies.
//!
//! Folders are watched, not files: editors and copying tools put a new file in the old one's place,
//! which a watch on the file would not see.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::Control;
use super::rebuild::{Cause, State};
use crate::config::{Config, PolicySource};

/// Changes come in bursts: they are acted on when it has been quiet for this long.
const QUIET: Duration = Duration::from_millis(100);
/// Where it is never quiet, they are acted on all the same.
const LONGEST_BURST: Duration = Duration::from_secs(1);
/// Changes that may wait; more tell nothing that these do not.
const CHANGES_MAX: usize = 256;

/// The folders that are watched.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    folders: HashSet<PathBuf>,
}

impl Control {
    /// Watches the folders that the present settings name. A folder that does not exist is watched
    /// for from above.
    pub(super) fn watch_folders(&self, state: &State) {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(watch) = &mut *watch else { return };
        let wanted = folders(state);
        for gone in watch.folders.difference(&wanted) {
            // A folder that was removed is not watched any more, which is what is wanted.
            let _ = watch.watcher.unwatch(gone);
        }
        watch.folders.retain(|folder| wanted.contains(folder));
        for folder in wanted {
            if watch.folders.contains(&folder) {
                continue;
            }
            match watch.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(watch.folders.insert(folder)),
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), %error, "a folder cannot be watched: its changes need a reload");
                }
            }
        }
    }

    /// Begins to watch for changes; which folders, [`Control::watch_folders`] says.
    pub(super) fn begin_watch(self: &Arc<Self>) {
        let (changes, changed) = mpsc::channel(CHANGES_MAX);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            match event {
                // Reading is no change; and what is read here would tell of itself for ever.
                Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
                // Full: there is enough to act on.
                Ok(event) => drop(changes.try_send(event)),
                Err(error) => tracing::warn!(%error, "watching files failed"),
            }
        });
        match watcher {
            Ok(watcher) => {
                let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
                tasks.spawn(act(Arc::downgrade(self), changed));
                drop(tasks);
                let watch = Watch {
                    watcher,
                    folders: HashSet::new(),
                };
                *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
            }
            Err(error) => {
                tracing::warn!(%error, "files cannot be watched here: their changes need a reload");
            }
        }
    }

    /// Forgets folders that were removed or made anew, so that they are watched again.
    fn look_anew(&self, removed: &[PathBuf]) {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watch) = &mut *watch {
            for folder in removed {
                if watch.folders.remove(folder) {
                    let _ = watch.watcher.unwatch(folder);
                }
            }
        }
    }

    async fn files_changed(&self, touched: Vec<PathBuf>) {
        self.look_anew(&touched);
        self.reload_config_if_changed().await;
        let mut state = self.state.lock().await;
        if seen_files(&state.config) != state.seen_files {
            let config = Arc::clone(&state.config);
            if let Err(error) = self.rebuild(&mut state, config, Cause::Store).await {
                // A version that was refused is counted and logged with its reason already.
                tracing::debug!(%error, "a changed file was not taken over");
            }
        }
        self.watch_folders(&state);
    }
}

/// Acts on changes, a burst at a time.
async fn act(control: Weak<Control>, mut changed: mpsc::Receiver<notify::Event>) {
    while let Some(first) = changed.recv().await {
        let mut touched = touched_folders(first);
        let burst_ends = tokio::time::Instant::now() + LONGEST_BURST;
        while tokio::time::Instant::now() < burst_ends {
            match tokio::time::timeout(QUIET, changed.recv()).await {
                Ok(Some(event)) => touched.extend(touched_folders(event)),
                Ok(None) => return,
                Err(_) => break,
            }
        }
        let Some(control) = control.upgrade() else {
            return;
        };
        control.files_changed(touched).await;
    }
}

/// The paths that were made, moved or removed: a watched folder among them is watched no more.
fn touched_folders(event: notify::Event) -> Vec<PathBuf> {
    use notify::event::ModifyKind;
    let moved = matches!(
        event.kind,
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
    );
    if moved { event.paths } else { Vec::new() }
}

/// The folders to watch. Those that do not exist stand for their nearest one that does.
fn folders(state: &State) -> HashSet<PathBuf> {
    let file = state
        .sources
        .file
        .as_ref()
        .map_or(Path::new("weir.toml"), |file| &file.path);
    let mut wanted: Vec<PathBuf> = vec![parent(file)];
    if let Some(dir) = &state.config.policies_dir {
        wanted.push(absolute(dir));
        // From above its removal and return are seen.
        wanted.push(parent(dir));
    }
    wanted.extend(source_files(&state.config).map(parent));
    let existing = wanted
        .iter()
        .filter_map(|folder| folder.ancestors().find(|folder| folder.is_dir()));
    existing.map(Path::to_owned).collect()
}

fn source_files(config: &Config) -> impl Iterator<Item = &Path> {
    config
        .policies
        .iter()
        .filter_map(|policy| match &policy.source {
            PolicySource::File(path) => Some(path.as_path()),
            PolicySource::Builtin(_) => None,
        })
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn parent(path: &Path) -> PathBuf {
    let path = absolute(path);
    path.parent().map(Path::to_owned).unwrap_or(path)
}

/// A policy's file as it looks without reading it: path, bytes, time of its last change, number.
pub(super) type SeenFile = (PathBuf, u64, Option<SystemTime>, u64);

/// The files that policies are read from.
pub(super) fn seen_files(config: &Config) -> Vec<SeenFile> {
    let dropped = super::code::dropped(config.policies_dir.as_deref());
    let dropped = dropped.into_iter().map(|(_, path)| path);
    let all = dropped.chain(source_files(config).map(Path::to_owned));
    let seen = all.map(|path| {
        let meta = std::fs::metadata(&path).ok();
        let modified = meta.as_ref().and_then(|meta| meta.modified().ok());
        // A file that was moved into another's place can look the same but for its number.
        let number = meta.as_ref().map_or(0, MetadataExt::ino);
        (path, meta.map_or(0, |meta| meta.len()), modified, number)
    });
    seen.collect()
}
