//! Shares of keys, and what counts as a difference.

use std::borrow::Cow;

use weir_store::Decider;

use super::*;

fn decision(hook: Hook, digest: &str, verdict: &str, micros: u32) -> Decision {
    Decision {
        by: Arc::new(Decider {
            hook: Cow::Borrowed(hook.as_str()),
            policy: "p".into(),
            digest: digest.into(),
        }),
        micros,
        verdict: Cow::Owned(verdict.to_owned()),
    }
}

fn settle(trial: &Trial, decisions: &[Decision], answers: &[(Arc<Trial>, Answered)]) -> bool {
    trial.settled(&Settled {
        decisions,
        answers,
        call: "req_1",
        at_ms: 7,
        key: &"k".into(),
        model: &"m".into(),
    })
}

#[test]
fn a_canary_sees_a_share_of_the_keys_and_always_the_same() {
    let trial = |percent| Trial::new(&"p".into(), "new".into(), TrialKind::Canary { percent });
    let keys: Vec<u64> = (0..10_000)
        .map(|key| share_of(&format!("key-{key}")))
        .collect();
    let seen =
        |percent| {
            let trial = trial(percent);
            let sees = |share: &&u64| trial.sees(Part::Tried, **share);
            assert!(keys.iter().all(|share| {
                trial.sees(Part::Tried, *share) != trial.sees(Part::InForce, *share)
            }));
            keys.iter().filter(sees).copied().collect::<Vec<_>>()
        };
    let (few, more) = (seen(10), seen(30));
    assert!((900..1100).contains(&few.len()), "{}", few.len());
    assert!((2800..3200).contains(&more.len()), "{}", more.len());
    assert!(few.iter().all(|share| more.contains(share)));
}

#[test]
fn a_shadows_differences_are_counted_by_call() {
    let trial = Trial::new(&"p".into(), "new".into(), TrialKind::Shadow);
    let same = [
        decision(Hook::Access, "new", "shadow:allow", 3),
        decision(Hook::Access, "old", "allow", 2),
    ];
    assert!(!settle(&trial, &same, &[]));
    let stricter = [
        decision(Hook::Access, "new", "shadow:deny:no", 3),
        decision(Hook::Access, "old", "allow", 2),
        decision(Hook::Limit, "new", "shadow:deny:no", 3),
        decision(Hook::Limit, "old", "allow", 2),
    ];
    assert!(settle(&trial, &stricter, &[]));
    // A hook that the version in force does not have.
    assert!(settle(
        &trial,
        &[decision(Hook::Answer, "new", "shadow:failed:trap", 1)],
        &[]
    ));
    let figures = trial.figures();
    assert_eq!(figures.differences, 2);
    assert_eq!(
        figures.tried,
        SideFigures {
            calls: 3,
            denials: 1,
            failures: 1,
            micros: 10
        }
    );
    assert_eq!(
        figures.in_force,
        SideFigures {
            calls: 2,
            denials: 0,
            failures: 0,
            micros: 6
        }
    );
    let samples = trial.samples();
    assert_eq!(
        (samples[0].hook, &*samples[0].tried),
        ("answer", "failed:trap")
    );
    assert_eq!(
        (&*samples[1].in_force, &*samples[1].tried, &*samples[1].call),
        ("allow", "deny:no", "req_1")
    );
}

#[test]
fn another_answer_is_a_difference_too() {
    let trial = Arc::new(Trial::new(&"p".into(), "new".into(), TrialKind::Shadow));
    let decisions = [
        decision(Hook::Route, "new", "shadow:allow", 3),
        decision(Hook::Route, "old", "allow", 2),
    ];
    let answers = |new: u64| {
        [(Part::Tried, new), (Part::InForce, 1)].map(|(part, hash)| {
            let hook = Hook::Route;
            (Arc::clone(&trial), Answered { part, hook, hash })
        })
    };
    assert!(!settle(&trial, &decisions, &answers(1)));
    assert!(settle(&trial, &decisions, &answers(2)));
    assert_eq!(trial.samples()[0].tried, "allow, with another answer");
}
