//! What the gateway does for policies beside the call itself: store, log, metrics, clock, secrets,
//! bans, models, HTTP.
//!
//! The runtime has checked grants and bounds before anything here is called. Never does: block a
//! worker (what takes long moves to the background runtime), follow a redirect, or open a
//! connection into the operator's own network that was not granted by its very address.
//! Read first: [`HostServices`], then `services/outgoing.rs`.

mod address;
mod outgoing;
mod policy_store;
mod rates;
mod tokens;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use weir_base::{Clock, Secret};
use weir_counters::{KeyValue, KeyValueBounds};
use weir_policy::{
    Completion, HttpRequest, LogLevel, Message, PolicyIdentity, Response, Role, Services, Who,
};
use weir_store::{Ban, Store};

use crate::config::TenantPolicies;
use crate::identify::Bans;
use crate::telemetry::CustomMetrics;
use outgoing::Outgoing;
use policy_store::PolicyStore;
use rates::{Kind, Rates};

pub use policy_store::forget_beside;

/// Questions of policies to models that may wait for the pipeline at one time.
const INNER_CALLS_MAX: usize = 256;
/// What a tenant's policy is told that has sent as much as it may in this minute.
const SPENT: &str = "the policies of this tenant have sent as much as they may in this minute";
/// Bytes of a ban's reason that are kept.
const REASON_MAX_BYTES: usize = 256;

/// A policy's question to a model, on its way into the pipeline.
#[derive(Debug)]
pub struct InnerCall {
    /// Who asks.
    pub policy: PolicyIdentity,
    /// The model, as the policy names it; granted.
    pub model: String,
    /// The prompt.
    pub messages: Vec<Message>,
    /// Tokens of the answer at most; 0 for no bound.
    pub max_output_tokens: u32,
    /// How many questions led to this one, itself among them.
    pub depth: u32,
    /// Where the answer goes. Closed when nobody waits for it any more.
    pub reply: oneshot::Sender<Result<Completion, String>>,
}

/// What services need to know about one policy.
#[derive(Debug)]
pub struct PolicyFacts {
    /// Its own metrics.
    pub metrics: Arc<CustomMetrics>,
    /// The hosts that it was granted, as they were written.
    pub http: Vec<String>,
}

/// What services need to know of the settings. Replaced as a whole with every snapshot.
#[derive(Debug, Default)]
pub struct PolicyView {
    /// The values behind `grants.secrets`.
    pub secrets: BTreeMap<Arc<str>, Secret>,
    /// The policies, by full name.
    pub policies: HashMap<Arc<str>, PolicyFacts>,
    /// How often policies' questions to models may lead to each other.
    pub models_depth_max: u32,
    /// What tenants may do with policies of their own; nothing where nothing is said.
    pub tenants: Option<TenantPolicies>,
}

/// What the services are made of.
pub struct ServiceParts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Behind the policies' `store`.
    pub key_values: Arc<KeyValue>,
    /// Behind the policies' `firewall`.
    pub bans: Arc<Bans>,
    /// Where bans last.
    pub store: Store,
    /// Where everything runs that waits or takes long.
    pub background: Handle,
}

/// The HTTP client for policies could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for policies does not start: {0}")]
pub struct ServicesError(String);

/// The services of all policies. One for the program; [`crate::reload::Control`] tells it what the
/// settings are.
pub struct HostServices {
    parts: ServiceParts,
    view: ArcSwap<PolicyView>,
    outgoing: Arc<Outgoing>,
    inner: mpsc::Sender<InnerCall>,
    rates: Rates,
}

impl HostServices {
    /// The services, and the far end of the questions that policies ask models.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(
        parts: ServiceParts,
    ) -> Result<(Arc<Self>, mpsc::Receiver<InnerCall>), ServicesError> {
        let (inner, questions) = mpsc::channel(INNER_CALLS_MAX);
        let outgoing = Arc::new(Outgoing::new().map_err(ServicesError)?);
        let services = Self {
            parts,
            view: ArcSwap::default(),
            outgoing,
            inner,
            rates: Rates::default(),
        };
        Ok((Arc::new(services), questions))
    }

    /// What the settings say from now on; returns what they said before.
    pub fn publish(&self, view: Arc<PolicyView>) -> Arc<PolicyView> {
        self.view.swap(view)
    }

    /// What the settings say now.
    pub fn view(&self) -> Arc<PolicyView> {
        self.view.load_full()
    }

    /// Runs `work` on the background runtime. It is dropped when nobody waits for it any more.
    async fn on_background<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (mut reply, answer) = oneshot::channel();
        self.parts.background.spawn(async move {
            tokio::select! {
                () = reply.closed() => {}
                done = work => drop(reply.send(done)),
            }
        });
        answer.await.ok()
    }

    fn store_of<T>(&self, who: Who<'_>, use_it: impl FnOnce(&PolicyStore<'_>) -> T) -> T {
        let of_tenants = match &who.policy.tenant {
            None => KeyValueBounds::default(),
            Some(_) => {
                let view = self.view.load();
                let bound = |of: fn(&TenantPolicies) -> usize| view.tenants.as_ref().map_or(0, of);
                KeyValueBounds {
                    keys: bound(|tenants| tenants.store_keys_max),
                    total_bytes: bound(|tenants| tenants.store_max_bytes),
                    ..KeyValueBounds::default()
                }
            }
        };
        use_it(&PolicyStore::of(
            &self.parts.key_values,
            who.policy,
            &of_tenants,
        ))
    }

    /// Whether a tenant's policy may do this once more in this minute. An operator's may.
    fn may(&self, who: Who<'_>, kind: Kind) -> bool {
        let Some(tenant) = &who.policy.tenant else {
            return true;
        };
        let view = self.view.load();
        let most = view.tenants.as_ref().map_or(0, |tenants| match kind {
            Kind::LogLine => tenants.log_lines_per_minute,
            Kind::Outgoing => tenants.outgoing_per_minute,
        });
        self.rates.take(tenant, kind, most, self.now_ms())
    }

    fn with_metrics(&self, who: Who<'_>, use_them: impl FnOnce(&CustomMetrics)) {
        if who.policy.role == Role::Beside {
            return;
        }
        // Unknown while the first instance of a new policy starts; there is nothing to report yet.
        if let Some(facts) = self.view.load().policies.get(&*who.policy.full_name()) {
            use_them(&facts.metrics);
        }
    }
}

fn call_id(who: Who<'_>) -> String {
    who.call.map(|call| call.id()).unwrap_or_default()
}

impl Services for HostServices {
    fn store_get(&self, who: Who<'_>, key: &str) -> Option<Vec<u8>> {
        let value = self.store_of(who, |store| store.get(key))?;
        Some(value.to_vec())
    }

    fn store_set(
        &self,
        who: Who<'_>,
        key: &str,
        value: Vec<u8>,
        ttl_ms: Option<u32>,
    ) -> Result<(), String> {
        let set = self.store_of(who, |store| store.set(key, &value, ttl_ms.map(u64::from)));
        set.map_err(|error| error.to_string())
    }

    fn store_remove(&self, who: Who<'_>, key: &str) {
        self.store_of(who, |store| store.remove(key));
    }

    fn store_add(
        &self,
        who: Who<'_>,
        key: &str,
        by: i64,
        ttl_ms: Option<u32>,
    ) -> Result<i64, String> {
        let sum = self.store_of(who, |store| store.add(key, by, ttl_ms.map(u64::from)));
        sum.map_err(|error| error.to_string())
    }

    fn log(&self, who: Who<'_>, level: LogLevel, message: &str) {
        if !self.may(who, Kind::LogLine) {
            return;
        }
        let policy = &*who.policy.full_name();
        macro_rules! line {
            ($level:ident) => {
                // The id is only made where somebody reads the line.
                if tracing::enabled!(target: "policy", tracing::Level::$level) {
                    let call = call_id(who);
                    tracing::event!(target: "policy", tracing::Level::$level, policy, call, "{message}");
                }
            };
        }
        match level {
            LogLevel::Trace => line!(TRACE),
            LogLevel::Debug => line!(DEBUG),
            LogLevel::Info => line!(INFO),
            LogLevel::Warn => line!(WARN),
            LogLevel::Error => line!(ERROR),
        }
    }

    fn count(&self, who: Who<'_>, name: &str, by: u32, labels: &[(String, String)]) {
        self.with_metrics(who, |metrics| metrics.count(name, by, labels));
    }

    fn observe(&self, who: Who<'_>, name: &str, value: f64, labels: &[(String, String)]) {
        self.with_metrics(who, |metrics| metrics.observe(name, value, labels));
    }

    fn now_ms(&self) -> u64 {
        self.parts.clock.now_ms()
    }

    fn secret(&self, _: Who<'_>, name: &str) -> Option<String> {
        self.view
            .load()
            .secrets
            .get(name)
            .map(|secret| secret.expose().to_owned())
    }

    fn ban(&self, who: Who<'_>, ip: &str, for_ms: u32, reason: &str) -> Result<(), String> {
        let ip: IpAddr = ip.parse().map_err(|_| format!("{ip:?} is no IP address"))?;
        let ip = ip.to_canonical();
        if who.policy.role != Role::Decides {
            tracing::info!(policy = who.policy.name, call = call_id(who), %ip, for_ms, "a policy would have banned an address");
            return Ok(());
        }
        let now_ms = self.now_ms();
        let until_ms = now_ms.saturating_add(u64::from(for_ms));
        if !self.parts.bans.ban(ip, until_ms, now_ms) {
            return Err("too many addresses are banned already".to_owned());
        }
        let reason = reason
            .get(..reason.floor_char_boundary(REASON_MAX_BYTES))
            .unwrap_or_default();
        tracing::warn!(policy = who.policy.name, call = call_id(who), %ip, for_ms, reason, "a policy banned an address");
        let (store, ban) = (
            self.parts.store.clone(),
            Ban {
                ip,
                until_ms,
                reason: reason.to_owned(),
            },
        );
        self.parts.background.spawn(async move {
            if let Err(error) = store.put(&ban).await {
                tracing::warn!(ip = %ban.ip, %error, "a ban is in force but will not outlast a restart");
            }
        });
        Ok(())
    }

    fn complete<'a>(
        &'a self,
        who: Who<'a>,
        model: String,
        messages: Vec<Message>,
        max_output_tokens: u32,
    ) -> BoxFuture<'a, Result<Completion, String>> {
        if !self.may(who, Kind::Outgoing) {
            return async { Err(SPENT.to_owned()) }.boxed();
        }
        let depth = who.call.map_or(0, |call| call.depth()).saturating_add(1);
        let most = self.view.load().models_depth_max;
        if depth > most {
            let refusal = format!(
                "policies' questions to models may lead to each other {most} times at most; this one is about another policy's question"
            );
            return async { Err(refusal) }.boxed();
        }
        let (reply, answer) = oneshot::channel();
        let call = InnerCall {
            depth,
            policy: who.policy.clone(),
            model,
            messages,
            max_output_tokens,
            reply,
        };
        async move {
            self.inner
                .send(call)
                .await
                .map_err(|_| "the gateway is stopping".to_owned())?;
            answer
                .await
                .unwrap_or_else(|_| Err("the gateway gave the call up".to_owned()))
        }
        .boxed()
    }

    fn count_tokens<'a>(&'a self, _: Who<'a>, model: String, text: String) -> BoxFuture<'a, u32> {
        let counting = self
            .parts
            .background
            .spawn_blocking(move || tokens::count(&model, &text));
        async move { counting.await.unwrap_or_default() }.boxed()
    }

    fn send<'a>(
        &'a self,
        who: Who<'a>,
        request: HttpRequest,
    ) -> BoxFuture<'a, Result<Response, String>> {
        if !self.may(who, Kind::Outgoing) {
            return async { Err(SPENT.to_owned()) }.boxed();
        }
        let view = self.view.load();
        let granted = view
            .policies
            .get(&*who.policy.full_name())
            .map_or(&[][..], |facts| &facts.http);
        let prepared = self.outgoing.prepare(request, granted);
        let outgoing = Arc::clone(&self.outgoing);
        async move {
            let request = prepared?;
            let sent = self
                .on_background(async move { outgoing.exchange(request).await })
                .await;
            sent.unwrap_or_else(|| Err("the gateway is stopping".to_owned()))
        }
        .boxed()
    }
}
