//! A simulated day: the router's own code on measured candidates, strategy by strategy.
//!
//! `docs/routing.md` shows what comes out and says how; the test compares, and with `UPDATE_DOCS=1`
//! writes. Nothing is random but by fixed seeds, and every strategy gets the same calls.

mod channel;
mod health;
mod page;
mod run;
mod world;

use std::path::Path;

use run::Outcome;

/// The strategies as their configurations, with the names that the page shows.
const STRATEGIES: &[(&str, &str)] = &[
    ("weighted", "{}"),
    ("least_latency", r#"{"strategy":"least_latency"}"#),
    (
        "least_cost",
        r#"{"strategy":"least_cost","latency_max_ms":1500,"output_tokens":300}"#,
    ),
    ("two_choices", r#"{"strategy":"two_choices"}"#),
    ("affinity", r#"{"strategy":"affinity"}"#),
    (
        "even draw, one try",
        r#"{"error_impact":0,"latency_impact":0,"headroom_min":0,"max_attempts":1}"#,
    ),
];

#[test]
fn the_page_is_what_the_simulation_gives() {
    let calls = world::calls();
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let runs: Vec<_> = STRATEGIES
            .iter()
            .map(|(name, config)| scope.spawn(|| run::run(name, config, &calls)))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let page = page::markdown(&outcomes, calls.len());
    for (name, made) in [("routing.md", page), ("routing.svg", page::svg(&outcomes))] {
        let path = docs.join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(&docs).unwrap();
            std::fs::write(&path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == made,
            "docs/{name} is not what the simulation gives; UPDATE_DOCS=1 writes it"
        );
    }
    // What the page says in words.
    let of = |name: &str| outcomes.iter().find(|one| one.name == name).unwrap();
    for (name, _) in STRATEGIES
        .iter()
        .filter(|(name, _)| *name != "even draw, one try")
    {
        assert!(of(name).success() > 0.995, "{name}: {}", of(name).success());
        assert!(of("even draw, one try").success() < of(name).success());
        assert!(of("least_cost").cost_per_1k() <= of(name).cost_per_1k());
        assert!(of("least_latency").percentile(50) <= of(name).percentile(50));
    }
}
