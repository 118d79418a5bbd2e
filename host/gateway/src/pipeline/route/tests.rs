//! What comes last, and what candidates cost.

use std::time::Instant;

use http::HeaderMap;
use weir_upstream::Timeouts;

use super::*;
use crate::config::{self, BalanceSource, Globs, KeyStrategy, KeyTerms, Sources, StickyBy};
use crate::keys::{KeyPool, ProviderKey};
use crate::pipeline::channel::{ChannelTimeouts, Target};
use crate::pipeline::health::{Hold, Terms};
use crate::telemetry::Metrics;

const NOW_MS: u64 = 1_800_000_000_000;

fn offer(metrics: &Metrics, number: u32, keys: usize) -> Offer {
    let config = config::load(&Sources::of_text("")).unwrap().config;
    let key = |at: usize| {
        Arc::new(ProviderKey {
            id: format!("k{at}").into(),
            fingerprint: [0; 32],
            header: (
                http::header::AUTHORIZATION,
                http::HeaderValue::from_static("Bearer x"),
            ),
            terms: KeyTerms::default(),
            state: Arc::default(),
        })
    };
    let name: Arc<str> = format!("c{number}").into();
    let channel = Arc::new(Channel {
        metrics: metrics.channel(&name),
        name,
        number,
        labels: Default::default(),
        provider: "fake",
        target: Target::Fake(Box::default()),
        models: Globs::everything(),
        tenants: Globs::everything(),
        model_map: Default::default(),
        priority: 0,
        weight: 100,
        headers: HeaderMap::new(),
        keys: KeyPool::new((0..keys).map(key).collect(), KeyStrategy::RoundRobin),
        sticky_by: StickyBy::Key,
        stream_usage: true,
        timeouts: ChannelTimeouts {
            usual: Timeouts::default(),
            special: Vec::new(),
        },
        balance: BalanceSource::None,
        cascade: false,
        prefill: None,
        breaker: Terms::of(&config::Breaker::default(), &config.cooldown),
        health: Arc::default(),
    });
    Offer::new(channel, "m", None, NOW_MS)
}

fn drafts(count: usize) -> SmallVec<[Draft; 8]> {
    (0..count).map(Draft::plain).collect()
}

#[test]
fn what_is_tripped_comes_last_and_is_not_left_out() {
    let metrics = Metrics::new("test").unwrap();
    let offers: Vec<_> = (0..4).map(|number| offer(&metrics, number, 1)).collect();
    let order = || {
        let mut drafts = drafts(4);
        tripped_last(&offers, &mut drafts, NOW_MS);
        drafts.iter().map(|draft| draft.at).collect::<Vec<_>>()
    };
    assert_eq!(order(), [0, 1, 2, 3]);
    offers[0].health.hold(Hold::Open);
    offers[2].health.hold(Hold::Open);
    assert_eq!(order(), [1, 3, 0, 2]);
    let told = candidates(&offers, &drafts(4), NOW_MS);
    let tripped: Vec<_> = told.iter().map(|told| told.tripped_ms > 0).collect();
    assert_eq!(tripped, [true, false, true, false]);
}

#[test]
fn a_policy_can_only_name_what_it_was_offered() {
    let metrics = Metrics::new("test").unwrap();
    let offers: Vec<_> = (0..3).map(|number| offer(&metrics, number, 0)).collect();
    let offered = drafts(2);
    let named = |channel| {
        let attempt = RouteAttempt {
            channel,
            first_byte_timeout_ms: Some(5),
            hedge_after_ms: None,
        };
        let found = drafted(&offers, &offered, &attempt)?;
        Some((found.at, found.first_byte_timeout_ms))
    };
    assert_eq!(named(1), Some((1, Some(5))));
    assert_eq!(named(2), None);
}

#[test]
#[ignore = "prints a time; run it with --release --ignored --nocapture"]
fn time_of_candidates_for_50_channels() {
    const CHANNELS: usize = 50;
    const ROUNDS: u32 = 20_000;
    let metrics = Metrics::new("test").unwrap();
    let count = u32::try_from(CHANNELS).unwrap();
    let offers: Vec<_> = (0..count)
        .map(|number| offer(&metrics, number, 3))
        .collect();
    for offer in &offers {
        for slot in 0..6 {
            let pass = offer.health.breaker.enter(|| NOW_MS);
            let took = Some(std::time::Duration::from_millis(30));
            let at_ms = NOW_MS - slot * 10_000;
            offer
                .health
                .answered(pass, at_ms, took, &offer.channel.breaker);
        }
    }
    let drafts = drafts(CHANNELS);
    // Told again within the moment, as to a busy worker; and measured anew for every call.
    for (what, step_ms) in [("told again", 0), ("measured", 10)] {
        let mut best = std::time::Duration::MAX;
        for _ in 0..5 {
            let started = Instant::now();
            for round in 0..u64::from(ROUNDS) {
                let now_ms = NOW_MS + round % 100 * step_ms;
                std::hint::black_box(candidates(std::hint::black_box(&offers), &drafts, now_ms));
            }
            best = best.min(started.elapsed() / ROUNDS);
        }
        // Past the lint against printing in code that runs: this is a measurement.
        use std::io::Write as _;
        let _ = writeln!(
            std::io::stdout(),
            "candidates of {CHANNELS} channels, {what}: {best:?}"
        );
    }
}
