//! A policy for tests: does in each hook the harm that its configuration asks for.
//!
//! ```json
//! { "access": "loop", "push": "many" }
//! ```
//!
//! The hooks are `init`, `access`, `rewrite`, `limit`, `answer`, `route`, `reply`, `open`, `push`,
//! `close` and `audit`; the deeds are in `deeds.rs`. What a hook answers after a deed that came to an
//! end: as much as it can, where the deed is `big` or `many`, else what lets the call go on.
//!
//! Never does: harm that is not asked for; a hook that is not configured does nothing.

mod deeds;

use deeds::Deed;
use serde::Deserialize;
use weir_sdk::TextDelta;
use weir_sdk::prelude::*;

/// What to do in each hook.
#[derive(Default)]
pub struct Hostile {
    written: Written,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Written {
    init: Option<Deed>,
    access: Option<Deed>,
    rewrite: Option<Deed>,
    limit: Option<Deed>,
    answer: Option<Deed>,
    route: Option<Deed>,
    reply: Option<Deed>,
    open: Option<Deed>,
    push: Option<Deed>,
    close: Option<Deed>,
    audit: Option<Deed>,
}

/// Does what is asked for; denies where that is it, or where the host refuses.
fn commit(deed: Option<Deed>) -> Result<(), Denial> {
    deed.map_or(Ok(()), Deed::commit)
}

impl Policy for Hostile {
    fn configure(config: &str) -> Result<Self, Vec<String>> {
        let written = weir_sdk::config::parse::<Written>(config)?;
        commit(written.init).map_err(|denial| vec![denial.message])?;
        Ok(Hostile { written })
    }
}

impl Access for Hostile {
    fn authorize(&self, _: &Summary) -> Result<(), Denial> {
        commit(self.written.access)
    }
}

impl Rewrite for Hostile {
    fn rewrite(&self, _: &Summary) -> Result<(), Denial> {
        commit(self.written.rewrite)
    }
}

impl Limit for Hostile {
    fn limits(&self, _: &Summary) -> Result<Vec<Rule>, Denial> {
        commit(self.written.limit)?;
        let rule = |key: String| Rule {
            key,
            unit: Unit::Requests,
            window: Window::Sliding(60),
            limit: 1_000_000,
        };
        Ok(match self.written.limit {
            Some(Deed::Big) => vec![rule(deeds::big())],
            Some(Deed::Many) => (0..deeds::MANY).map(|at| rule(at.to_string())).collect(),
            _ => Vec::new(),
        })
    }
}

impl Answer for Hostile {
    fn answer(&self, _: &Summary) -> Result<Option<Response>, Denial> {
        commit(self.written.answer)?;
        Ok(response(self.written.answer))
    }
}

impl Route for Hostile {
    fn route(&self, _: &Summary, candidates: Vec<Candidate>) -> Result<Vec<Attempt>, Denial> {
        commit(self.written.route)?;
        let numbers = candidates.iter().map(|candidate| candidate.channel);
        let times = match self.written.route {
            Some(Deed::Big | Deed::Many) => deeds::MANY,
            _ => 1,
        };
        Ok((0..times)
            .flat_map(|_| numbers.clone())
            .map(Attempt::at)
            .collect())
    }
}

impl Reply for Hostile {
    fn reply(&self, _: &Summary, _: Response) -> Result<Option<Response>, Denial> {
        commit(self.written.reply)?;
        Ok(response(self.written.reply))
    }
}

fn response(deed: Option<Deed>) -> Option<Response> {
    let response = |headers, body| {
        Some(Response {
            status: 200,
            headers,
            body,
        })
    };
    match deed? {
        Deed::Big => response(Vec::new(), deeds::big().into_bytes()),
        Deed::Many => {
            let headers = (0..deeds::MANY).map(|at| (format!("x-{at}"), String::new()));
            response(headers.collect(), Vec::new())
        }
        _ => None,
    }
}

fn text(text: String) -> Event {
    Event::Text(TextDelta { choice: 0, text })
}

/// What a stream is made of instead; none where it stays as it is.
fn events(deed: Option<Deed>) -> Option<Vec<Event>> {
    match deed? {
        Deed::Big => Some(vec![text(deeds::big())]),
        Deed::Many => Some((0..deeds::MANY).map(|_| text(String::from("x"))).collect()),
        _ => None,
    }
}

impl Events for Hostile {
    /// How many events there were.
    type Stream = u32;

    fn open(&self, _: &Summary) -> Option<u32> {
        let is_asked = self.written.push.is_some() || self.written.close.is_some();
        commit(self.written.open)
            .is_ok_and(|()| is_asked)
            .then_some(0)
    }

    fn push(&self, count: &mut u32, event: Event) -> Result<Action, Denial> {
        *count += 1;
        // The first event passes, so that the stream is under way.
        if *count == 1 || !matches!(event, Event::Text(_)) {
            return Ok(Action::Pass);
        }
        commit(self.written.push)?;
        Ok(match (self.written.push, events(self.written.push)) {
            (Some(Deed::Hold), _) => Action::Drop,
            (_, Some(events)) => Action::Replace(events),
            _ => Action::Pass,
        })
    }

    fn close(&self, _: u32) -> Vec<Event> {
        let _ = commit(self.written.close);
        events(self.written.close).unwrap_or_default()
    }
}

impl Audit for Hostile {
    fn finished(&self, _: &Outcome) {
        let _ = commit(self.written.audit);
    }
}

weir_sdk::export!(Hostile: access, rewrite, limit, answer, route, reply, events, audit);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::Host;

    fn hostile(config: &str) -> Hostile {
        Hostile::configure(config).unwrap()
    }

    #[test]
    fn nothing_is_done_that_is_not_asked_for() {
        let policy = hostile("{}");
        let (result, _) = Host::new().run(|call| policy.authorize(call));
        assert_eq!(result, Ok(()));
        assert!(Host::new().run(|call| policy.open(call)).0.is_none());
    }

    #[test]
    fn what_the_host_says_is_a_denial() {
        // Outside of `init` there is a call to be seen.
        let policy = hostile(r#"{"access": "call"}"#);
        let (result, _) = Host::new().run(|call| policy.authorize(call));
        assert_eq!(result.unwrap_err().code, "refused_by_host");
    }

    #[test]
    fn streams_are_held_back_and_multiplied() {
        let push = |config: &str| {
            let policy = hostile(config);
            let run = |call: &Summary| {
                let mut count = policy.open(call).unwrap();
                let first = policy.push(&mut count, Event::text("a")).unwrap();
                assert_eq!(first, Action::Pass);
                policy.push(&mut count, Event::text("b")).unwrap()
            };
            Host::new().run(run).0
        };
        assert_eq!(push(r#"{"push": "hold"}"#), Action::Drop);
        let many = push(r#"{"push": "many"}"#);
        assert!(matches!(many, Action::Replace(events) if events.len() == deeds::MANY));
    }
}
