//! One day with one strategy: events in the order of their time, and what callers saw.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use weir_sdk::prelude::*;
use weir_sdk::testing::Host;

use super::channel::{Channel, Course, PROVIDERS};
use super::health::Pass;
use super::world::{Call, HOUR_MS, Random};
use crate::Router;
use crate::draw::{Draw, mix};

/// Half-hours of the day, the plot's steps.
pub(super) const STEPS: usize = 48;

/// What callers saw of a day.
pub(super) struct Outcome {
    pub(super) name: &'static str,
    calls: u32,
    attempts: u32,
    cost_micros: f64,
    /// Of the calls that succeeded, sorted: from the request to the first byte.
    first_byte_ms: Vec<u64>,
    /// The same by half-hours of arrival, each sorted.
    steps: Vec<Vec<u64>>,
}

impl Outcome {
    pub(super) fn success(&self) -> f64 {
        self.first_byte_ms.len() as f64 / f64::from(self.calls)
    }

    /// Milliseconds to the first byte.
    pub(super) fn percentile(&self, percent: usize) -> u64 {
        percentile(&self.first_byte_ms, percent)
    }

    pub(super) fn step_p95(&self, step: usize) -> u64 {
        percentile(&self.steps[step], 95)
    }

    /// Dollars.
    pub(super) fn cost_per_1k(&self) -> f64 {
        self.cost_micros / 1e3 / self.first_byte_ms.len() as f64
    }

    pub(super) fn attempts_per_call(&self) -> f64 {
        f64::from(self.attempts) / f64::from(self.calls)
    }
}

fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives(usize),
    Failed {
        call: usize,
        channel: usize,
        pass: Pass,
        refused: bool,
    },
    Answered {
        call: usize,
        channel: usize,
        pass: Pass,
        began_ms: u64,
        left_ms: u64,
    },
    Ended(usize),
}

struct Day<'a> {
    router: Router,
    calls: &'a [Call],
    channels: Vec<Channel>,
    /// What is left of each call's plan.
    plans: Vec<Vec<usize>>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    /// So that events of the same millisecond keep their order.
    number: u64,
    random: Random,
    outcome: Outcome,
}

pub(super) fn run(name: &'static str, config: &str, calls: &[Call]) -> Outcome {
    let named = PROVIDERS.map(|one| serde_json::json!({ "channel": one.name }));
    let channels = serde_json::from_value(named.into_iter().collect()).unwrap();
    let mut day = Day {
        router: Router::configure(config).unwrap(),
        calls,
        channels: PROVIDERS.iter().map(Channel::new).collect(),
        plans: calls.iter().map(|_| Vec::new()).collect(),
        events: BinaryHeap::new(),
        number: 0,
        random: Random(2),
        outcome: Outcome {
            name,
            calls: u32::try_from(calls.len()).unwrap(),
            attempts: 0,
            cost_micros: 0.0,
            first_byte_ms: Vec::with_capacity(calls.len()),
            steps: vec![Vec::new(); STEPS],
        },
    };
    for (index, call) in calls.iter().enumerate() {
        day.at(call.at_ms, Event::Arrives(index));
    }
    // One run for the whole day: the host is asked for the channels' names only.
    Host::new()
        .channels(channels)
        .run(|summary| day.pass(&mut summary.clone()));
    day.outcome.first_byte_ms.sort_unstable();
    day.outcome
        .steps
        .iter_mut()
        .for_each(|step| step.sort_unstable());
    day.outcome
}

impl Day<'_> {
    fn at(&mut self, at_ms: u64, event: Event) {
        self.number += 1;
        self.events.push(Reverse((at_ms, self.number, event)));
    }

    fn pass(&mut self, summary: &mut Summary) {
        while let Some(Reverse((now_ms, _, event))) = self.events.pop() {
            match event {
                Event::Arrives(call) => {
                    self.plan(call, now_ms, summary);
                    self.attempt(call, now_ms);
                }
                Event::Failed {
                    call,
                    channel,
                    pass,
                    refused,
                } => {
                    self.channels[channel].failed(pass, now_ms, refused);
                    self.attempt(call, now_ms);
                }
                Event::Answered {
                    call,
                    channel,
                    pass,
                    began_ms,
                    left_ms,
                } => {
                    self.channels[channel].answered(pass, now_ms, now_ms - began_ms);
                    self.at(now_ms + left_ms, Event::Ended(channel));
                    let arrived_ms = self.calls[call].at_ms;
                    self.outcome.first_byte_ms.push(now_ms - arrived_ms);
                    let step = (arrived_ms / (HOUR_MS / 2)) as usize;
                    self.outcome.steps[step].push(now_ms - arrived_ms);
                }
                Event::Ended(channel) => self.channels[channel].ended(),
            }
        }
    }

    /// Asks the router.
    fn plan(&mut self, index: usize, now_ms: u64, summary: &mut Summary) {
        let call = &self.calls[index];
        summary.input_tokens = call.input_tokens;
        let numbered = self.channels.iter().zip(1..);
        let candidates: Vec<_> = numbered
            .map(|(one, number)| one.candidate(number, now_ms))
            .collect();
        let sticky = Some(mix(u64::from(call.caller) + 1));
        let mut draw = Draw::seeded(mix(index as u64));
        let attempts = self
            .router
            .order(summary, &candidates, sticky, &mut draw)
            .unwrap();
        let places = attempts.iter().map(|one| one.channel as usize - 1);
        self.plans[index] = places.rev().collect();
    }

    /// Begins the next attempt of the plan. A plan that is used up is a call that failed.
    fn attempt(&mut self, call: usize, now_ms: u64) {
        while let Some(channel) = self.plans[call].pop() {
            let course = self.channels[channel].begin(&self.calls[call], now_ms, &mut self.random);
            // Without a key nothing is sent.
            let Some((pass, course)) = course else {
                continue;
            };
            self.outcome.attempts += 1;
            match course {
                Course::Failed { after_ms, refused } => {
                    self.at(
                        now_ms + after_ms,
                        Event::Failed {
                            call,
                            channel,
                            pass,
                            refused,
                        },
                    );
                }
                Course::Answered {
                    first_byte_ms,
                    total_ms,
                    cost_micros,
                } => {
                    self.outcome.cost_micros += cost_micros;
                    let left_ms = total_ms - first_byte_ms;
                    let answered = Event::Answered {
                        call,
                        channel,
                        pass,
                        began_ms: now_ms,
                        left_ms,
                    };
                    self.at(now_ms + first_byte_ms, answered);
                }
            }
            return;
        }
    }
}
