//! Each hostile policy in its turn, on one gateway, beside a tenant that must not notice.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use weir_tests::{Reply, eventually};

use super::arena::{Arena, HEAD, Hostile, report};
use super::{deeds, modules};

/// What becomes of the calls of the tenant whose policy it is.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    /// They are refused because the policy failed, with a code that begins like this.
    Fails(&'static str),
    /// They are refused by the policy itself, with a code that begins like this.
    Denied(&'static str),
    /// Their streams end with an error; the decision says why, beginning like this.
    Stream(&'static str),
    /// Their streams have no text.
    Silent,
    /// They go on.
    Passes,
    /// They go on, and the audit fails like this.
    Audit(&'static str),
}

/// One hostile policy.
pub(super) struct Case {
    pub(super) what: &'static str,
    pub(super) hostile: Hostile,
    pub(super) fate: Fate,
}

/// The gateway never takes the policy out, so that all of its harm is seen.
const SETTINGS: &str = "[runtime]\nmemory_max_bytes = 268435456\nfailures_before_rollback = 0\nfailures_per_minute_max = 0\n";

/// Callers of the tenant whose policy it is, and those of one more case at its end.
const CALLERS: usize = 4;
const MANY_CALLERS: usize = 24;

/// How much the gateway may have grown over the whole suite.
const GROWTH_MAX_BYTES: usize = 160 << 20;
const GROWTH_MAX_FILES: usize = 40;

#[test]
fn whatever_a_policy_does_only_its_own_tenant_suffers() {
    let arena = Arena::new(SETTINGS);
    let mut table = HEAD.to_owned();
    let (mut begin, mut wrong) = (None, Vec::new());
    let only = std::env::var("HOSTILE_CASE").unwrap_or_default();
    let cases = deeds::cases().into_iter().chain(modules::cases());
    let cases = cases.map(|case| (case, CALLERS)).chain([(
        Case {
            what: "endless loop in access, 24 callers",
            hostile: Hostile::told("access = \"loop\""),
            fate: Fate::Fails("policy_deadline"),
        },
        MANY_CALLERS,
    )]);
    for (case, callers) in cases.filter(|(case, _)| case.what.contains(&only)) {
        // Each is tried, also after one that went wrong.
        let tried = catch_unwind(AssertUnwindSafe(|| {
            arena.set(&case.hostile);
            let beside = arena.beside_evil(case.what, callers);
            beside.line(case.what, &fate(&arena, &case, &beside.did))
        }));
        match tried {
            Ok(line) => table += &line,
            Err(_) => wrong.push(case.what),
        }
        // When the first ones have run everything is warm.
        begin.get_or_insert_with(|| arena.footprint());
    }
    arena.configure("");
    arena.calls_of_good("afterwards", 10);
    let begin = begin.unwrap();
    let end = eventually("memory comes back", || {
        let end = arena.footprint();
        let flat = end.0 < begin.0 + GROWTH_MAX_BYTES && end.1 < begin.1 + GROWTH_MAX_FILES;
        flat.then_some(end).or_else(|| {
            std::thread::sleep(Duration::from_millis(200));
            println!("resident and open files: {begin:?}, now {end:?}");
            None
        })
    });
    let mib = |bytes: usize| bytes >> 20;
    let _ = write!(
        table,
        "\nResident after the first case {} MiB, after the last {} MiB; open files {}, {}. The log has {} KiB, the metrics {} KiB.\n",
        mib(begin.0),
        mib(end.0),
        begin.1,
        end.1,
        arena.gateway.log().len() >> 10,
        arena.gateway.admin().get("/metrics").text().len() >> 10,
    );
    report("suite", &table);
    assert!(wrong.is_empty(), "see above: {wrong:#?}");
    let metrics = arena.gateway.admin().get("/metrics").text();
    assert!(
        metrics.len() < 2 << 20,
        "{} bytes of metrics",
        metrics.len()
    );
}

/// What became of the calls, in a few words, once it is known to be what it should.
fn fate(arena: &Arena, case: &Case, replies: &[Reply]) -> String {
    let what = case.what;
    let some = |wanted: &str, is: &dyn Fn(&Reply) -> bool| {
        let found = replies.iter().find(|reply| is(reply));
        let last = replies.last().map(Reply::text).unwrap_or_default();
        found.unwrap_or_else(|| panic!("{what}: no call {wanted}; the last one: {last:.2000}"))
    };
    match case.fate {
        Fate::Fails(code) => {
            let is =
                |reply: &Reply| reply.status == 503 && reply.text().contains(&format!("({code}"));
            let reply = some("fails like this", &is);
            assert_eq!(reply.code(), "policy_failed", "{what}");
            let text = reply.text();
            let code = text.split(['(', ')']).nth(1).unwrap_or_default();
            format!("503 `{code}`")
        }
        Fate::Denied(code) => {
            let reply = some("is denied", &|reply| reply.code().starts_with(code));
            format!("{} `{}`", reply.status, reply.code())
        }
        Fate::Stream(code) => {
            let is = |reply: &Reply| {
                let text = reply.text();
                reply.broken.is_some() && text.contains("\"error\"") && !text.contains("[DONE]")
            };
            let reply = some("has its stream ended", &is);
            let call = arena.gateway.call(&reply.id());
            let decisions = call["decisions"].to_string();
            assert!(decisions.contains(code), "{what}: {decisions}");
            let verdict = call["decisions"].as_array().and_then(|all| {
                let mut verdicts = all.iter().filter_map(|one| one["verdict"].as_str());
                verdicts
                    .find(|verdict| verdict.contains(code))
                    .map(str::to_owned)
            });
            format!(
                "stream ends with an error, `{}`",
                verdict.unwrap_or_default()
            )
        }
        Fate::Silent => {
            some("is silent", &|reply| {
                reply.broken.is_none() && super::arena::spoken(&reply.text()).is_empty()
            });
            "streams without text".to_owned()
        }
        Fate::Passes => {
            some("passes", &|reply| reply.status == 200);
            "200".to_owned()
        }
        Fate::Audit(code) => {
            some("passes", &|reply| reply.status == 200);
            eventually(&format!("{what}: a failure of audit, {code}"), || {
                let metrics = arena.gateway.admin().get("/metrics").text();
                let line = metrics.lines().find(|line| {
                    line.starts_with("weir_policy_failures_total")
                        && line.contains("hook=\"audit\"")
                        && line.contains(code)
                });
                line.map(drop)
            });
            format!("200; audit `{code}`")
        }
    }
}
