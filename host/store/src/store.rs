//! The handle, and the two threads behind it.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use weir_base::{CallId, Clock, Secret, SystemClock};

use crate::backend::Backend;
use crate::call::CallRow;
use crate::entity::document::{from_document, to_document};
use crate::entity::{Ban, Entities, Entity};
use crate::error::StoreError;
use crate::ledger::Ledger;
use crate::master_key::MasterKey;
use crate::query::{CallFilter, ListQuery, Page, StateKind, StateRow, UsageQuery, UsageRow};
use crate::sqlite::Sqlite;
use crate::writer::{Job, Order, Writer};

/// The most that one page or one list of calls holds.
const MAX_PAGE: u32 = 1_000;

/// Calls dropped in one transaction, so that the ledger's own rows do not wait for a purge.
const PURGE_CHUNK: u32 = 2_000;

/// How the store behaves.
#[derive(Clone)]
pub struct StoreSettings {
    /// Milliseconds between two writes of the ledger: what a crash of the process may lose.
    pub flush_ms: u64,
    /// Rows that may wait in memory; above three quarters of it no new calls are accepted.
    pub max_backlog: usize,
    /// The largest the database may grow, in bytes; none for as large as the disk takes.
    pub max_bytes: Option<u64>,
    /// For expiry and the times of updates.
    pub clock: Arc<dyn Clock>,
}

impl Default for StoreSettings {
    /// 200 ms, 100,000 rows, no bound on the database, the machine's clock.
    fn default() -> Self {
        Self {
            flush_ms: 200,
            max_backlog: 100_000,
            max_bytes: None,
            clock: Arc::new(SystemClock),
        }
    }
}

/// What must last. Cheap to clone; the threads end when the last handle goes.
#[derive(Clone)]
pub struct Store {
    writer: mpsc::Sender<Order>,
    reader: mpsc::Sender<Job>,
    ledger: Ledger,
    master_key: MasterKey,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the SQLite database at `path`, made with mode 0600 where there is none. Blocks.
    ///
    /// # Errors
    /// [`StoreError::TooNew`], [`StoreError::WrongMasterKey`], or why it cannot be opened.
    pub fn open(
        path: &Path,
        master_key: &MasterKey,
        settings: StoreSettings,
    ) -> Result<Self, StoreError> {
        let writer = Sqlite::open(path, settings.max_bytes)?;
        let reader = Sqlite::open_to_read(path)?;
        Self::start(Box::new(writer), Box::new(reader), master_key, settings)
    }

    /// Starts on any database: one connection to write with and one to read with. Blocks.
    ///
    /// # Errors
    /// [`StoreError::WrongMasterKey`], or why the database cannot be used.
    pub fn start(
        mut writer: Box<dyn Backend>,
        mut reader: Box<dyn Backend>,
        master_key: &MasterKey,
        settings: StoreSettings,
    ) -> Result<Self, StoreError> {
        check_master_key(&mut *writer, master_key)?;
        let (ledger, rows, shared) = Ledger::new(settings.max_backlog);
        let (orders_in, orders) = mpsc::channel();
        let flush_every = Duration::from_millis(settings.flush_ms.max(1));
        let writer = Writer {
            backend: writer,
            orders,
            rows,
            shared,
            flush_every,
        };
        spawn("store-writer", move || writer.run())?;
        let (reads_in, reads) = mpsc::channel::<Job>();
        spawn("store-reader", move || {
            for job in reads {
                // What reading finds says nothing about whether writing is possible.
                let _ = job(&mut *reader);
            }
        })?;
        Ok(Self {
            writer: orders_in,
            reader: reads_in,
            ledger,
            master_key: master_key.clone(),
            clock: settings.clock,
        })
    }

    /// The ledger's face for calls.
    pub fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// Stores a new entity.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where its id or name is taken, and as [`StoreError`] says.
    pub async fn create<T: Entity>(&self, entity: &T) -> Result<(), StoreError> {
        let document = to_document(entity, &self.master_key)?;
        self.write(move |backend| backend.insert(&document)).await
    }

    /// Stores an entity in place of the one with its id, if there is one.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn put<T: Entity>(&self, entity: &T) -> Result<(), StoreError> {
        let document = to_document(entity, &self.master_key)?;
        self.write(move |backend| backend.put(&document)).await
    }

    /// The entity with this id, all of it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], and as [`StoreError`] says.
    pub async fn get<T: Entity>(&self, id: &str) -> Result<T, StoreError> {
        let id = id.to_owned();
        let document = self.read(move |backend| backend.get(T::KIND, &id)).await?;
        from_document(document, &self.master_key)
    }

    /// A page of entities in the order of their ids.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn list<T: Entity>(&self, query: ListQuery) -> Result<Page<T>, StoreError> {
        let master_key = self.master_key.clone();
        self.read(move |backend| list(backend, query, &master_key))
            .await
    }

    /// Changes an entity while nothing else can, and returns what it is now. The id must stay.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`], and as [`StoreError`] says.
    pub async fn update<T: Entity + Clone>(
        &self,
        id: &str,
        change: impl FnOnce(&mut T) + Send + 'static,
    ) -> Result<T, StoreError> {
        let (id, master_key) = (id.to_owned(), self.master_key.clone());
        let now_ms = self.clock.now_ms();
        self.write(move |backend| {
            let (mut change, mut changed) = (Some(change), None);
            backend.update(T::KIND, &id, &mut |document| {
                let mut entity: T = from_document(document, &master_key)?;
                if let Some(change) = change.take() {
                    change(&mut entity);
                }
                entity.touch(now_ms);
                if entity.id() != id {
                    return Err(StoreError::Invalid("an id cannot be changed".to_owned()));
                }
                let document = to_document(&entity, &master_key)?;
                changed = Some(entity);
                Ok(document)
            })?;
            changed.ok_or(StoreError::NotFound)
        })
        .await
    }

    /// Removes an entity: a tenant with its keys, a channel with its provider keys.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], and as [`StoreError`] says.
    pub async fn delete<T: Entity>(&self, id: &str) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.write(move |backend| backend.delete(T::KIND, &id))
            .await
    }

    /// Everything that a start or reload needs. Blocks; not for a runtime's thread.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub fn load_all(&self) -> Result<Entities, StoreError> {
        let (master_key, now_ms) = (self.master_key.clone(), self.clock.now_ms());
        self.read_blocking(move |backend| load_all(backend, &master_key, now_ms))
    }

    /// Saves states of counters or key-value stores, and drops those that have expired.
    ///
    /// # Errors
    /// As [`StoreError`] says; then none of them was saved.
    pub async fn save_states(
        &self,
        kind: StateKind,
        rows: Vec<StateRow>,
    ) -> Result<(), StoreError> {
        let now_ms = self.clock.now_ms();
        self.write(move |backend| backend.save_states(kind, &rows, now_ms))
            .await
    }

    /// The saved states that have not expired. Blocks; for start-up.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub fn load_states(&self, kind: StateKind) -> Result<Vec<StateRow>, StoreError> {
        let now_ms = self.clock.now_ms();
        self.read_blocking(move |backend| backend.load_states(kind, now_ms))
    }

    /// Calls in the ledger, newest first, at most 1,000, without attempts and decisions. `before`
    /// is the id of the last call of the page before. What was recorded in the last moments may
    /// still be missing.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn calls(
        &self,
        filter: CallFilter,
        before: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<CallRow>, StoreError> {
        self.read(move |backend| backend.calls(&filter, before, limit.min(MAX_PAGE)))
            .await
    }

    /// One call with its attempts and decisions.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], and as [`StoreError`] says.
    pub async fn call(&self, id: CallId) -> Result<CallRow, StoreError> {
        self.read(move |backend| backend.call(id)).await
    }

    /// Sums over the ledger; at most 10,000 rows.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
        self.read(move |backend| backend.usage(&query)).await
    }

    /// Drops calls that started before then, in small steps; returns how many went.
    ///
    /// # Errors
    /// As [`StoreError`] says; what was dropped until then stays dropped.
    pub async fn purge_calls_before(&self, before_ms: u64) -> Result<u64, StoreError> {
        let mut purged = 0;
        loop {
            let step = self
                .write(move |backend| backend.purge_calls(before_ms, PURGE_CHUNK))
                .await?;
            purged += step;
            if step < u64::from(PURGE_CHUNK) {
                return Ok(purged);
            }
        }
    }

    /// Finds out whether the database can be written right now. For `/readyz`, beside
    /// [`Ledger::accepting`].
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn check_writable(&self) -> Result<(), StoreError> {
        self.write(|backend| backend.probe()).await
    }

    /// Waits until every call recorded so far is in the database. Blocks.
    ///
    /// # Errors
    /// Why it could not be written, or [`StoreError::Unavailable`] when the time is over.
    pub fn flush(&self, timeout: Duration) -> Result<(), StoreError> {
        self.order_and_wait(Order::Flush, timeout)
    }

    /// The same, and then ends: nothing can be written any more. Blocks.
    ///
    /// # Errors
    /// As [`Store::flush`].
    pub fn close(&self, timeout: Duration) -> Result<(), StoreError> {
        self.order_and_wait(Order::Close, timeout)
    }

    fn order_and_wait(
        &self,
        order: fn(mpsc::Sender<Result<(), StoreError>>) -> Order,
        timeout: Duration,
    ) -> Result<(), StoreError> {
        let (done, result) = mpsc::channel();
        self.writer
            .send(order(done))
            .map_err(|_| StoreError::closed())?;
        result.recv_timeout(timeout).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => {
                StoreError::Unavailable("writing takes too long".to_owned())
            }
            mpsc::RecvTimeoutError::Disconnected => StoreError::closed(),
        })?
    }

    async fn write<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Backend) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let (reply, result) = oneshot::channel();
        let job = job(work, move |result| drop(reply.send(result)));
        self.writer
            .send(Order::Run(job))
            .map_err(|_| StoreError::closed())?;
        result.await.map_err(|_| StoreError::closed())?
    }

    async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Backend) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let (reply, result) = oneshot::channel();
        let job = job(work, move |result| drop(reply.send(result)));
        self.reader.send(job).map_err(|_| StoreError::closed())?;
        result.await.map_err(|_| StoreError::closed())?
    }

    fn read_blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Backend) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let (reply, result) = mpsc::channel();
        let job = job(work, move |result| drop(reply.send(result)));
        self.reader.send(job).map_err(|_| StoreError::closed())?;
        result.recv().map_err(|_| StoreError::closed())?
    }
}

/// Work and what to do with its result, as the threads take it.
fn job<R: 'static>(
    work: impl FnOnce(&mut dyn Backend) -> Result<R, StoreError> + Send + 'static,
    reply: impl FnOnce(Result<R, StoreError>) + Send + 'static,
) -> Job {
    Box::new(move |backend| {
        let result = work(backend);
        let full = match &result {
            Err(error @ StoreError::Full(_)) => Some(error.clone()),
            _ => None,
        };
        reply(result);
        full
    })
}

fn list<T: Entity>(
    backend: &mut dyn Backend,
    mut query: ListQuery,
    master_key: &MasterKey,
) -> Result<Page<T>, StoreError> {
    let limit = if query.limit == 0 {
        100
    } else {
        query.limit.min(MAX_PAGE)
    };
    // One more than asked for, to know whether there is another page.
    query.limit = limit + 1;
    let mut documents = backend.list(T::KIND, &query)?;
    let has_more = documents.len() > limit as usize;
    documents.truncate(limit as usize);
    let next = documents
        .last()
        .filter(|_| has_more)
        .map(|document| document.id.clone());
    let items: Result<Vec<T>, StoreError> = documents
        .into_iter()
        .map(|document| from_document(document, master_key))
        .collect();
    Ok(Page {
        items: items?,
        next,
    })
}

fn list_all<T: Entity>(
    backend: &mut dyn Backend,
    master_key: &MasterKey,
) -> Result<Vec<T>, StoreError> {
    let mut all = Vec::new();
    let mut query = ListQuery {
        limit: MAX_PAGE,
        ..ListQuery::default()
    };
    loop {
        let page = list(backend, query.clone(), master_key)?;
        all.extend(page.items);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(all),
        }
    }
}

fn load_all(
    backend: &mut dyn Backend,
    master_key: &MasterKey,
    now_ms: u64,
) -> Result<Entities, StoreError> {
    let mut entities = Entities {
        tenants: list_all(backend, master_key)?,
        keys: list_all(backend, master_key)?,
        channels: list_all(backend, master_key)?,
        provider_keys: list_all(backend, master_key)?,
        disabled_keys: list_all(backend, master_key)?,
        policy_states: list_all(backend, master_key)?,
        policy_settings: list_all(backend, master_key)?,
        bans: list_all(backend, master_key)?,
    };
    entities
        .policy_settings
        .sort_by_key(|setting| setting.position);
    entities.bans.retain(|ban: &Ban| ban.until_ms > now_ms);
    Ok(entities)
}

/// The entry in `meta` that only the right master key opens.
const MASTER_KEY_CHECK: &str = "master_key_check";

fn check_master_key(backend: &mut dyn Backend, key: &MasterKey) -> Result<(), StoreError> {
    match backend.meta(MASTER_KEY_CHECK)? {
        Some(sealed) => key.unseal(&sealed, MASTER_KEY_CHECK).map(|_| ()),
        None => {
            let sealed = key.seal(&Secret::new("weir"), MASTER_KEY_CHECK)?;
            backend.set_meta(MASTER_KEY_CHECK, &sealed)
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(|_| ())
        .map_err(|error| StoreError::Unavailable(format!("no thread for it: {error}")))
}
