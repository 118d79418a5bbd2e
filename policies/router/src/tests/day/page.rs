//! The page and the plot of docs/, as text.

use std::fmt::Write;

use super::channel::PROVIDERS;
use super::run::{Outcome, STEPS};

const COLOURS: [&str; 6] = [
    "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#7f7f7f",
];

pub(super) fn markdown(outcomes: &[Outcome], calls: usize) -> String {
    let mut page = HEAD.replace("CALLS", &calls.to_string());
    page += "| channel | input | output | first byte | tokens/s | calls at a time | errors |\n| --- | --- | --- | --- | --- | --- | --- |\n";
    for one in PROVIDERS {
        let dollars = |micros: u64| micros as f64 / 1e6;
        let _ = writeln!(
            page,
            "| `{}` | ${:.2} | ${:.2} | {} ms | {} | {} | {:.1} % |",
            one.name,
            dollars(one.input_price),
            dollars(one.output_price),
            one.first_byte_ms,
            one.tokens_per_second,
            one.capacity,
            one.error_rate * 100.0
        );
    }
    page += MIDDLE;
    page += "| strategy | success | first byte p50 | p95 | p99 | cost of 1,000 calls | attempts per call |\n| --- | --- | --- | --- | --- | --- | --- |\n";
    for one in outcomes {
        let _ = writeln!(
            page,
            "| {} | {:.2} % | {} ms | {} ms | {} ms | ${:.2} | {:.3} |",
            one.name,
            one.success() * 100.0,
            one.percentile(50),
            one.percentile(95),
            one.percentile(99),
            one.cost_per_1k(),
            one.attempts_per_call()
        );
    }
    page += TAIL;
    page
}

const HEAD: &str = "# Routing strategies on a simulated day

Written by the simulation in `policies/router/src/tests/day` (`UPDATE_DOCS=1 cargo test -p
weir-policy-router day`); a test holds this page to it. The simulation runs the router's own code on
candidates measured as the gateway measures them: failures over the last minute, exponentially
weighted means, the circuit breaker, keys that rest after a refusal. The providers are made up, and
so are their prices and faults: the page says how the strategies differ from each other, and nothing
about any real provider.

CALLS calls of 120 callers arrive over 24 hours, 0.25 a second at night and 2.4 in the afternoon,
the same calls for each strategy. Five channels of the same priority and weight serve them; prices
are per million tokens:

";

const MIDDLE: &str = "
Beyond its calls at a time a channel slows down in proportion, and at twice as many it refuses (429).
A caller's prompt stays in a channel's cache for five minutes after use; a cached one costs a tenth
for 80 % of its input and has its first byte in 60 % of the time. **From 13:00 to 15:00 `budget` is
degraded**: half of its calls fail after three times its usual first byte, the others take six times
as long. Each call has up to three attempts of ten seconds to the first byte.

";

const TAIL: &str = "
`least_cost` has `latency_max_ms = 1500` and `output_tokens = 300`, `affinity` goes by the virtual
key, all else is default. *even draw, one try* is `weighted` with its impacts 0 and
`max_attempts = 1`, to compare with. Latency is what the caller waits from its request to the first
byte, failed attempts included; calls that failed have none. The cost is that of calls that
succeeded; a failed attempt costs nothing.

![First byte over the day, failures, latency and cost, by strategy](routing.svg)
";

const WIDTH: usize = 760;
const LEFT: usize = 56;
const TOP: usize = 30;
const PLOT_WIDTH: usize = 540;
const PLOT_HEIGHT: usize = 240;
/// The top of the plot, milliseconds.
const MAX_MS: usize = 5_000;
/// Where the bars begin, the height of a row of them, and the width of the longest.
const BARS_TOP: usize = TOP + PLOT_HEIGHT + 62;
const BAR_ROW: usize = 20;
const BAR_WIDTH: f64 = 120.0;

/// Lines over the day, and below them a bar of each strategy for each of three totals.
pub(super) fn svg(outcomes: &[Outcome]) -> String {
    let height = BARS_TOP + outcomes.len() * BAR_ROW + 8;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    lines(&mut svg, outcomes);
    bars(&mut svg, outcomes);
    svg + "</svg>\n"
}

fn lines(svg: &mut String, outcomes: &[Outcome]) {
    let x = |step: usize| LEFT + step * PLOT_WIDTH / STEPS;
    let y = |ms: usize| TOP + PLOT_HEIGHT - ms.min(MAX_MS) * PLOT_HEIGHT / MAX_MS;
    text(
        svg,
        LEFT,
        16,
        "start",
        "First byte, 95th percentile of each half-hour (ms)",
    );
    let (from, to) = (x(26), x(30));
    let _ = writeln!(
        svg,
        "<rect x=\"{from}\" y=\"{TOP}\" width=\"{}\" height=\"{PLOT_HEIGHT}\" fill=\"#fde8e8\"/>",
        to - from
    );
    text(svg, from - 6, TOP + 14, "end", "budget degraded");
    for ms in (0..=MAX_MS).step_by(1_000) {
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {}h{PLOT_WIDTH}\" stroke=\"#ddd\"/>",
            y(ms)
        );
        text(svg, LEFT - 6, y(ms) + 4, "end", &ms.to_string());
    }
    for hour in (0..=24).step_by(3) {
        let label = format!("{hour:02}:00");
        text(svg, x(hour * 2), TOP + PLOT_HEIGHT + 18, "middle", &label);
    }
    for ((one, colour), place) in outcomes.iter().zip(COLOURS).zip(0..) {
        let points = (0..STEPS).map(|step| {
            let ms = usize::try_from(one.step_p95(step)).unwrap();
            format!("{},{}", x(step) + PLOT_WIDTH / STEPS / 2, y(ms))
        });
        let points = points.collect::<Vec<_>>().join(" ");
        let (row, right) = (TOP + 14 + place * BAR_ROW, LEFT + PLOT_WIDTH + 12);
        let _ = writeln!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>\n<path d=\"M{right} {}h16\" stroke=\"{colour}\" stroke-width=\"3\"/>",
            row - 4
        );
        text(svg, right + 22, row, "start", one.name);
    }
}

/// Each kind has a scale of its own, from 0 to its largest value.
fn bars(svg: &mut String, outcomes: &[Outcome]) {
    type Total = fn(&Outcome) -> f64;
    let kinds: [(&str, usize, Total); 3] = [
        ("Failed of 1,000 calls", 1, |one| {
            (1.0 - one.success()) * 1e3
        }),
        ("First byte p99 (ms)", 0, |one| one.percentile(99) as f64),
        ("Dollars for 1,000 calls", 2, Outcome::cost_per_1k),
    ];
    for ((one, colour), row) in outcomes.iter().zip(COLOURS).zip(0..) {
        let y = BARS_TOP + row * BAR_ROW;
        text(svg, 12, y + 12, "start", one.name);
        for ((_, digits, value), column) in kinds.iter().zip(0..) {
            let most = outcomes.iter().map(value).fold(f64::MIN_POSITIVE, f64::max);
            let (x, width) = (bar_left(column), (value(one) / most * BAR_WIDTH) as usize);
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"14\" fill=\"{colour}\"/>"
            );
            let label = format!("{:.digits$}", value(one));
            text(svg, x + width + 5, y + 12, "start", &label);
        }
    }
    for ((title, ..), column) in kinds.iter().zip(0..) {
        text(svg, bar_left(column), BARS_TOP - 10, "start", title);
    }
}

fn bar_left(column: usize) -> usize {
    150 + column * 200
}

fn text(svg: &mut String, x: usize, y: usize, anchor: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}
