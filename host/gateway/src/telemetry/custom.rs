//! Metrics that policies keep for themselves, through `metrics.count` and `metrics.observe`.
//!
//! A policy may be careless or hostile: names are checked, and the number of series is bounded. What
//! does not fit is dropped and counted; a policy never fails because of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use prometheus::core::Metric as _;
use prometheus::proto::{Counter, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec};

use super::names::{CUSTOM_BUCKETS, CUSTOM_PREFIX};

/// Series (combinations of name and labels) of one policy. What would be one more is dropped.
const SERIES_MAX: usize = 100;
/// Bytes of a name. What has a longer one is dropped.
const NAME_MAX_BYTES: usize = 64;
/// Labels of one value. What has more is dropped.
const LABELS_MAX: usize = 8;
/// Bytes of a label's value.
const LABEL_VALUE_MAX_BYTES: usize = 128;

/// One policy's own metrics. Counting takes a read lock that only a new series contends for.
#[derive(Debug)]
pub struct CustomMetrics {
    series: RwLock<HashMap<String, Series>>,
    families: Arc<Mutex<Claims>>,
    dropped: IntCounter,
}

#[derive(Debug)]
struct Series {
    name: String,
    labels: Vec<LabelPair>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Count(AtomicU64),
    Observations(Box<Histogram>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Histogram,
}

impl CustomMetrics {
    /// Adds `by` to the counter `name` with these labels.
    pub fn count(&self, name: &str, by: u32, labels: &[(String, String)]) {
        self.record(Kind::Counter, name, labels, |value| match value {
            Value::Count(count) => {
                count.fetch_add(u64::from(by), Ordering::Relaxed);
                true
            }
            Value::Observations(_) => false,
        });
    }

    /// Adds `observed` to the histogram `name` with these labels.
    pub fn observe(&self, name: &str, observed: f64, labels: &[(String, String)]) {
        if !observed.is_finite() {
            // One of them would make the sum useless for good.
            self.dropped.inc();
            return;
        }
        self.record(Kind::Histogram, name, labels, |value| match value {
            Value::Count(_) => false,
            Value::Observations(histogram) => {
                histogram.observe(observed);
                true
            }
        });
    }

    fn record(
        &self,
        kind: Kind,
        name: &str,
        labels: &[(String, String)],
        record: impl Fn(&Value) -> bool,
    ) {
        let recorded = series_key(name, labels).is_some_and(|key| {
            let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(series) = series.get(&key) {
                return record(&series.value);
            }
            drop(series);
            self.add_series(kind, name, labels, key, &record)
        });
        if !recorded {
            self.dropped.inc();
        }
    }

    fn add_series(
        &self,
        kind: Kind,
        name: &str,
        labels: &[(String, String)],
        key: String,
        record: &impl Fn(&Value) -> bool,
    ) -> bool {
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SERIES_MAX && !all.contains_key(&key) {
            return false;
        }
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        if !families.claim(name, kind) {
            return false;
        }
        drop(families);
        let Some(value) = Value::new(kind) else {
            return false;
        };
        let series = all.entry(key).or_insert_with(|| Series {
            name: name.to_owned(),
            labels: labels
                .iter()
                .map(|(name, value)| label(name, value))
                .collect(),
            value,
        });
        record(&series.value)
    }
}

impl Value {
    fn new(kind: Kind) -> Option<Self> {
        Some(match kind {
            Kind::Counter => Self::Count(AtomicU64::new(0)),
            Kind::Histogram => {
                // The name stands in the family; the histogram is registered nowhere.
                let opts = HistogramOpts::new("custom", "custom").buckets(CUSTOM_BUCKETS.to_vec());
                Self::Observations(Box::new(Histogram::with_opts(opts).ok()?))
            }
        })
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Count(_) => Kind::Counter,
            Self::Observations(_) => Kind::Histogram,
        }
    }
}

/// What identifies a series: its name and its labels in the order of their names. `None` where one of
/// them is not allowed.
fn series_key(name: &str, labels: &[(String, String)]) -> Option<String> {
    if !is_name(name) || labels.len() > LABELS_MAX {
        return None;
    }
    let mut key = name.to_owned();
    let mut labels: smallvec::SmallVec<[&(String, String); LABELS_MAX]> = labels.iter().collect();
    labels.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    let mut previous = "";
    for (name, value) in labels {
        // `policy` is the host's to say and `le` the histogram's.
        let reserved = matches!(name.as_str(), "policy" | "le") || name.starts_with("__");
        if !is_name(name) || reserved || name == previous || value.len() > LABEL_VALUE_MAX_BYTES {
            return None;
        }
        previous = name;
        for part in [name, value] {
            // A byte that no name has, so that two different lists never make one key.
            key.push('\0');
            key.push_str(part);
        }
    }
    Some(key)
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let begins = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    begins && name.len() <= NAME_MAX_BYTES && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// Which names are taken, for all policies: Prometheus wants one kind for each name, and a histogram
/// takes three more names than its own.
#[derive(Debug, Default)]
struct Claims(HashMap<String, (String, Kind)>);

impl Claims {
    fn claim(&mut self, name: &str, kind: Kind) -> bool {
        let names = match kind {
            Kind::Counter => vec![name.to_owned()],
            Kind::Histogram => {
                let parts = ["", "_bucket", "_sum", "_count"];
                parts.map(|part| format!("{name}{part}")).to_vec()
            }
        };
        let owner = (name.to_owned(), kind);
        // The program's own counter of what was dropped has a name of the same form.
        let free = |name: &String| {
            name != "dropped_total" && self.0.get(name).is_none_or(|taken| *taken == owner)
        };
        if !names.iter().all(free) {
            return false;
        }
        self.0
            .extend(names.into_iter().map(|name| (name, owner.clone())));
        true
    }
}

/// The own metrics of all policies.
#[derive(Debug)]
pub(super) struct CustomRegistry {
    policies: Mutex<BTreeMap<String, Arc<CustomMetrics>>>,
    families: Arc<Mutex<Claims>>,
    dropped: IntCounterVec,
}

impl CustomRegistry {
    pub(super) fn new(dropped: IntCounterVec) -> Self {
        Self {
            policies: Mutex::default(),
            families: Arc::default(),
            dropped,
        }
    }

    /// The metrics of a policy, the same ones for every version of it.
    pub(super) fn of_policy(&self, policy: &str) -> Arc<CustomMetrics> {
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = policies.entry(policy.to_owned()).or_insert_with(|| {
            Arc::new(CustomMetrics {
                series: RwLock::default(),
                families: self.families.clone(),
                dropped: self.dropped.with_label_values(&[policy]),
            })
        });
        metrics.clone()
    }

    pub(super) fn forget(&self, policy: &str) {
        self.policies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(policy);
        let _ = self.dropped.remove_label_values(&[policy]);
    }

    /// What there is to report, a family for each name.
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let mut families: BTreeMap<String, (Kind, Vec<Metric>)> = BTreeMap::new();
        let policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        for (policy, metrics) in policies.iter() {
            let all = metrics
                .series
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            let mut all: Vec<_> = all.iter().collect();
            all.sort_unstable_by_key(|(key, _)| *key);
            for (_, series) in all {
                let kind = series.value.kind();
                let family = families
                    .entry(series.name.clone())
                    .or_insert((kind, Vec::new()));
                family.1.push(series.metric(policy));
            }
        }
        drop(policies);
        families
            .into_iter()
            .map(|(name, (kind, metrics))| family(&name, kind, metrics))
            .collect()
    }
}

impl Series {
    fn metric(&self, policy: &str) -> Metric {
        let mut metric = match &self.value {
            Value::Count(count) => {
                let mut counter = Counter::default();
                #[expect(clippy::cast_precision_loss, reason = "the format has only floats")]
                counter.set_value(count.load(Ordering::Relaxed) as f64);
                let mut metric = Metric::default();
                metric.set_counter(counter);
                metric
            }
            Value::Observations(histogram) => histogram.metric(),
        };
        let mut labels = vec![label("policy", policy)];
        labels.extend(self.labels.iter().cloned());
        metric.set_label(labels);
        metric
    }
}

fn family(name: &str, kind: Kind, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(format!("{CUSTOM_PREFIX}{name}"));
    family.set_help("A metric of policies' own.".to_owned());
    family.set_field_type(match kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Histogram => MetricType::HISTOGRAM,
    });
    family.set_metric(metrics);
    family
}
