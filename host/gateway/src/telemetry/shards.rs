//! Hot metrics are kept once for each worker and added up when they are read.
//!
//! Two threads that count in the same place pass its cache line back and forth: measured, 350 ns for
//! an observation of two threads at once, against 11 for one alone. Each thread therefore counts in
//! a shard of its own.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use prometheus::proto::{Metric, MetricFamily, MetricType};

/// More workers than this share shards.
const SHARDS_MAX: usize = 64;

/// How many shards there are: a power of two with one for each core and as many again, for the
/// threads beside the workers.
pub(super) fn shard_count() -> usize {
    let cores = available_parallelism().map_or(1, usize::from);
    (cores * 2).next_power_of_two().min(SHARDS_MAX)
}

thread_local! {
    /// The shard of this thread; `usize::MAX` until it counts for the first time.
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The thread's shard, before it is brought to the number of shards. Threads take turns.
fn this_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    SHARD.with(|shard| {
        if shard.get() == usize::MAX {
            shard.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        shard.get()
    })
}

/// One `T` for each shard.
#[derive(Debug)]
pub(super) struct Sharded<T>(Arc<[T]>);

// Derived, it would ask for `T: Clone` without a need.
impl<T> Clone for Sharded<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Sharded<T> {
    /// `shards` has a power of two of items, as [`shard_count`] says.
    pub(super) fn new(shards: impl IntoIterator<Item = T>) -> Self {
        Self(shards.into_iter().collect())
    }

    /// The calling thread's own.
    pub(super) fn mine(&self) -> Option<&T> {
        self.0.get(this_shard() & self.0.len().wrapping_sub(1))
    }
}

/// The families of all shards as one: series with the same labels are added up.
pub(super) fn add_up(families: impl IntoIterator<Item = MetricFamily>) -> Vec<MetricFamily> {
    let mut sums: BTreeMap<String, (MetricFamily, BTreeMap<String, Metric>)> = BTreeMap::new();
    for mut family in families {
        let kind = family.get_field_type();
        let metrics = std::mem::take(family.mut_metric());
        let (_, series) = sums
            .entry(family.name().to_owned())
            .or_insert_with(|| (family, BTreeMap::new()));
        for metric in metrics {
            match series.entry(label_key(&metric)) {
                std::collections::btree_map::Entry::Occupied(sum) => {
                    add(sum.into_mut(), &metric, kind);
                }
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(metric);
                }
            }
        }
    }
    let whole = |(mut family, series): (MetricFamily, BTreeMap<String, Metric>)| {
        family.set_metric(series.into_values().collect());
        family
    };
    sums.into_values().map(whole).collect()
}

/// The labels of a series, which the registry gives in the order of their names.
fn label_key(metric: &Metric) -> String {
    let mut key = String::new();
    for pair in metric.get_label() {
        for part in [pair.name(), pair.value()] {
            key.push_str(part);
            key.push('\0');
        }
    }
    key
}

fn add(sum: &mut Metric, more: &Metric, kind: MetricType) {
    match kind {
        MetricType::COUNTER => {
            let mut counter = sum.get_counter().clone();
            counter.set_value(counter.get_value() + more.get_counter().get_value());
            sum.set_counter(counter);
        }
        MetricType::GAUGE => {
            let mut gauge = sum.get_gauge().clone();
            gauge.set_value(gauge.get_value() + more.get_gauge().get_value());
            sum.set_gauge(gauge);
        }
        MetricType::HISTOGRAM => {
            let (mut histogram, more) = (sum.get_histogram().clone(), more.get_histogram());
            let mut buckets = histogram.get_bucket().to_vec();
            for (bucket, more) in buckets.iter_mut().zip(more.get_bucket()) {
                bucket.set_cumulative_count(bucket.cumulative_count() + more.cumulative_count());
            }
            histogram.set_bucket(buckets);
            histogram.set_sample_sum(histogram.get_sample_sum() + more.get_sample_sum());
            histogram.set_sample_count(histogram.get_sample_count() + more.get_sample_count());
            sum.set_histogram(histogram);
        }
        // None of these is sharded.
        MetricType::SUMMARY | MetricType::UNTYPED => {}
    }
}
