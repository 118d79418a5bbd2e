//! A million calls over nine keys with different limits, at 95 % of what the limits sum up to: no
//! provider ever has to refuse one, however it counts its minutes.
//!
//! Time is simulated. Calls come at random moments, are of random sizes, reach the provider up to
//! 400 ms after they left, and last up to four seconds, after which their real usage is settled.
//! Each key has three providers at once that all see the same calls: one counts by the clock's minutes,
//! one over the last sixty seconds to the millisecond, one with a bucket. Whatever the pool has
//! no room for waits, as a caller who comes again would.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::*;

const LOAD: f64 = 0.95;
const TICK_MS: u64 = 5;
const START_MS: u64 = 1_800_000_012_345;
/// Requests and tokens of a minute; tokens are what binds the first three of those that have both.
const LIMITS: [(Option<u64>, Option<u64>); 9] = [
    (Some(500), None),
    (Some(1_000), Some(900_000)),
    (Some(3_000), Some(2_000_000)),
    (Some(5_000), Some(3_500_000)),
    (None, Some(9_000_000)),
    (Some(10_000), None),
    (Some(15_000), Some(40_000_000)),
    (Some(20_000), None),
    (Some(30_000), None),
];
/// What comes before shows how the windows filled, not how they are used.
const SETTLED_MS: u64 = 70_000;
/// Mean of what [`Call::new`] makes.
const TOKENS_MEAN: f64 = 1_000.0;
/// Longer than any call lasts or any request travels, in ticks.
const HORIZON: usize = 1_024;

/// Random numbers, the same ones in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

#[derive(Clone, Copy)]
struct Call {
    input: u64,
    output: u64,
    output_max: u64,
    since_tick: u64,
}

impl Call {
    fn new(dice: &mut Dice, since_tick: u64) -> Self {
        let output = 50 + dice.below(501);
        Self {
            input: 100 + dice.below(1_201),
            output,
            output_max: output + dice.below(output),
            since_tick,
        }
    }
}

/// One key's providers: the same account, counted in three ways.
struct Provider {
    requests: f64,
    tokens: f64,
    clock: (u64, f64, f64),
    clock_offset_ms: u64,
    last: VecDeque<(u64, f64)>,
    last_tokens: f64,
    bucket: (u64, f64, f64),
    refusals: [u64; 3],
    served: (f64, f64),
}

impl Provider {
    fn new(at: usize, (requests, tokens): (Option<u64>, Option<u64>)) -> Self {
        let number = |limit: Option<u64>| limit.map_or(f64::INFINITY, |limit| limit as f64);
        let (requests, tokens) = (number(requests), number(tokens));
        Self {
            requests,
            tokens,
            clock: (0, 0.0, 0.0),
            clock_offset_ms: at as u64 * 7_001,
            last: VecDeque::new(),
            last_tokens: 0.0,
            bucket: (START_MS, requests, tokens),
            refusals: [0; 3],
            served: (0.0, 0.0),
        }
    }

    fn takes(&mut self, tokens: f64, now_ms: u64) {
        if now_ms >= START_MS + SETTLED_MS {
            self.served.0 += 1.0;
            self.served.1 += tokens;
        }
        let minute = (now_ms + self.clock_offset_ms) / 60_000;
        if self.clock.0 != minute {
            self.clock = (minute, 0.0, 0.0);
        }
        self.clock.1 += 1.0;
        self.clock.2 += tokens;
        let by_clock = self.clock.1 > self.requests || self.clock.2 > self.tokens;

        while let Some((_, gone)) = self.last.pop_front_if(|(at, _)| *at + 60_000 <= now_ms) {
            self.last_tokens -= gone;
        }
        self.last.push_back((now_ms, tokens));
        self.last_tokens += tokens;
        let by_last = self.last.len() as f64 > self.requests || self.last_tokens > self.tokens;

        let minutes = (now_ms - self.bucket.0) as f64 / 60_000.0;
        let refilled = |left: f64, limit: f64| (left + limit * minutes).min(limit);
        self.bucket = (
            now_ms,
            refilled(self.bucket.1, self.requests) - 1.0,
            refilled(self.bucket.2, self.tokens) - tokens,
        );
        let by_bucket = self.bucket.1 < -1e-6 || self.bucket.2 < -1e-6;
        for (count, refused) in self.refusals.iter_mut().zip([by_clock, by_last, by_bucket]) {
            *count += u64::from(refused);
        }
    }

    /// Calls a minute that it can serve.
    fn capacity(&self) -> f64 {
        self.requests.min(self.tokens / TOKENS_MEAN)
    }

    /// The tightest limit's use, over so many minutes.
    fn utilisation(&self, minutes: f64) -> f64 {
        let by_requests = self.served.0 / minutes / self.requests;
        by_requests.max(self.served.1 / minutes / self.tokens)
    }
}

/// What happens at one tick.
#[derive(Default)]
struct Tick {
    arrivals: Vec<(usize, f64)>,
    ends: Vec<(Lease, u64)>,
}

struct Outcome {
    refusals: [u64; 3],
    utilisations: Vec<f64>,
    waited: u64,
    longest_wait_ms: u64,
    minutes: f64,
}

impl Outcome {
    fn report(&self) -> String {
        let mut text = format!(
            "{:.1} simulated minutes after the first 70 s; refusals by clock, last 60 s, bucket: {:?}; {} calls waited, {} ms at most; use of each key:",
            self.minutes, self.refusals, self.waited, self.longest_wait_ms
        );
        for used in &self.utilisations {
            let _ = write!(text, " {:.1}%", used * 100.0);
        }
        text
    }
}

fn simulate(strategy: KeyStrategy, calls: u64) -> Outcome {
    let terms = |(rpm, tpm): (Option<u64>, Option<u64>)| KeyTerms {
        rpm,
        tpm,
        weight: u32::try_from(
            rpm.into_iter()
                .chain(tpm.map(|tpm| tpm / 1_000))
                .min()
                .unwrap(),
        )
        .unwrap(),
        ..KeyTerms::default()
    };
    let keys: Vec<_> = (0..LIMITS.len())
        .map(|at| key(&at.to_string(), terms(LIMITS[at])))
        .collect();
    let pool = KeyPool::new(keys.clone(), strategy);
    let mut providers: Vec<_> = (0..LIMITS.len())
        .map(|at| Provider::new(at, LIMITS[at]))
        .collect();
    let capacity: f64 = providers.iter().map(Provider::capacity).sum();
    let gap_ticks = 60_000.0 / TICK_MS as f64 / (capacity * LOAD);

    let mut dice = Dice(1);
    let mut ticks: Vec<Tick> = (0..HORIZON).map(|_| Tick::default()).collect();
    let mut queue: VecDeque<Call> = VecDeque::new();
    let (mut made, mut served, mut tick) = (0, 0, 0_u64);
    let mut next_call = 0.0;
    let (mut waited, mut longest) = (0, 0);
    let mut full = None;
    while served < calls {
        let now_ms = START_MS + tick * TICK_MS;
        let mut due = std::mem::take(&mut ticks[tick as usize % HORIZON]);
        for (at, tokens) in due.arrivals.drain(..) {
            providers[at].takes(tokens, now_ms);
        }
        for (mut lease, tokens) in due.ends.drain(..) {
            lease.settle(tokens, now_ms);
        }
        // Its memory is used again.
        ticks[tick as usize % HORIZON] = due;
        while made < calls && next_call < (tick + 1) as f64 {
            queue.push_back(Call::new(&mut dice, tick));
            made += 1;
            next_call -= dice.unit().ln() * gap_ticks;
        }
        while let Some(call) = queue.front().copied() {
            let ask = Ask {
                now_ms,
                model: "m",
                input_tokens: call.input,
                output_tokens: call.output_max,
                tried: &[],
            };
            // Room comes only with a new half second or a settled call; asking in between is futile.
            if full.is_some_and(|until| now_ms < until) {
                break;
            }
            let Some(lease) = pool.pick(&ask, || 0) else {
                full = Some(now_ms + 25);
                break;
            };
            full = None;
            queue.pop_front();
            served += 1;
            waited += u64::from(tick > call.since_tick);
            longest = longest.max(tick - call.since_tick);
            let tokens = call.input + call.output;
            let at: usize = lease.id.parse().unwrap();
            let arrives = tick + 1 + dice.below(400 / TICK_MS);
            let ends = arrives + 1 + dice.below(4_000 / TICK_MS);
            let arrival = (at, tokens as f64);
            ticks[arrives as usize % HORIZON].arrivals.push(arrival);
            ticks[ends as usize % HORIZON].ends.push((lease, tokens));
        }
        tick += 1;
    }
    let minutes = (tick * TICK_MS - SETTLED_MS) as f64 / 60_000.0;
    let mut refusals = [0; 3];
    for provider in &providers {
        for (sum, more) in refusals.iter_mut().zip(provider.refusals) {
            *sum += more;
        }
    }
    drop(ticks);
    assert!(keys.iter().all(|key| key.state.in_flight() == 0));
    Outcome {
        refusals,
        utilisations: providers
            .iter()
            .map(|provider| provider.utilisation(minutes))
            .collect(),
        waited,
        longest_wait_ms: longest * TICK_MS,
        minutes,
    }
}

fn check(strategy: KeyStrategy, calls: u64) -> Outcome {
    let outcome = simulate(strategy, calls);
    let report = outcome.report();
    eprintln!("{}: {calls} calls; {report}", strategy.as_str());
    assert_eq!(outcome.refusals, [0; 3], "{report}");
    assert!(outcome.longest_wait_ms < 2_000, "{report}");
    outcome
}

#[test]
fn a_million_calls_at_95_percent_of_the_limits_are_never_refused() {
    let outcome = check(KeyStrategy::RoundRobin, 1_000_000);
    // The smallest keys fill first; none is left idle.
    let least = outcome.utilisations.iter().copied().fold(1.0, f64::min);
    assert!(least > 0.80, "{}", outcome.report());
}

#[test]
fn other_strategies_stay_below_the_limits_too() {
    for strategy in [KeyStrategy::LeastLoaded, KeyStrategy::Weighted] {
        check(strategy, 200_000);
    }
}
