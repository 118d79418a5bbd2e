//! From a name to its addresses: by the system's resolver, remembered for a short while.
//!
//! Only new connections ask. What is remembered is bounded in time (`dns_cache_ms`, because the
//! system's resolver does not tell how long an answer holds) and in number, and forgotten at once
//! where none of its addresses could be connected to. Those who ask for one name at the same time
//! share one lookup.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};

use crate::watch::Watch;

/// The most names that are remembered.
const NAMES_MAX: usize = 1_024;

/// The addresses of a name, in the order in which they are to be tried; the ports mean nothing.
type Answer = Result<Rc<[SocketAddr]>, Rc<io::Error>>;

/// How a name is looked up. Another one than the system's is for tests.
pub(crate) type Lookup = Box<dyn Fn(&str) -> LocalBoxFuture<'static, io::Result<Vec<SocketAddr>>>>;

/// What one worker knows of names.
pub(crate) struct Resolver {
    watch: Rc<Watch>,
    cache_ms: u64,
    lookup: Lookup,
    names: RefCell<HashMap<Box<str>, Known>>,
}

struct Known {
    since_ms: u64,
    answer: Shared<LocalBoxFuture<'static, Answer>>,
}

impl Resolver {
    pub(crate) fn new(watch: Rc<Watch>, cache_ms: u64, lookup: Lookup) -> Resolver {
        Resolver {
            watch,
            cache_ms,
            lookup,
            names: RefCell::default(),
        }
    }

    /// The addresses of `host`.
    pub(crate) async fn resolve(&self, host: &str) -> Answer {
        let answer = self.ask(host);
        let answer = answer.await;
        if answer.is_err() {
            self.forget(host);
        }
        answer
    }

    fn ask(&self, host: &str) -> Shared<LocalBoxFuture<'static, Answer>> {
        let now_ms = self.watch.now_ms();
        let fresh = |known: &Known| known.since_ms.saturating_add(self.cache_ms) > now_ms;
        let mut names = self.names.borrow_mut();
        if let Some(known) = names.get(host).filter(|known| fresh(known)) {
            return known.answer.clone();
        }
        let lookup = (self.lookup)(host);
        let answer = async move {
            let addresses = lookup.await.map_err(Rc::new)?;
            Ok(in_turns(addresses).into())
        };
        let answer = answer.boxed_local().shared();
        if self.cache_ms > 0 {
            if names.len() >= NAMES_MAX {
                names.retain(|_, known| fresh(known));
            }
            if names.len() < NAMES_MAX {
                let known = Known {
                    since_ms: now_ms,
                    answer: answer.clone(),
                };
                names.insert(host.into(), known);
            }
        }
        answer
    }

    /// What is remembered of `host` did not help.
    pub(crate) fn forget(&self, host: &str) {
        self.names.borrow_mut().remove(host);
    }
}

/// The system's resolver, on the runtime's threads for what blocks.
pub(crate) fn by_system() -> Lookup {
    Box::new(|host| {
        let host = host.to_owned();
        async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) }.boxed_local()
    })
}

/// IPv6 and IPv4 by turns, beginning with the resolver's favourite (RFC 8305, section 4), so that a
/// family that does not work costs one head start and not one for each of its addresses.
fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (favoured, others): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let (mut favoured, mut others) = (favoured.into_iter(), others.into_iter());
    let mut turns = Vec::with_capacity(favoured.len() + others.len());
    while favoured.len() + others.len() > 0 {
        turns.extend(favoured.next());
        turns.extend(others.next());
    }
    turns
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn counting(cache_ms: u64) -> (Resolver, Rc<Cell<u32>>, Rc<Watch>) {
        let (watch, count) = (Watch::new(), Rc::new(Cell::new(0)));
        let counted = Rc::clone(&count);
        let lookup: Lookup = Box::new(move |host| {
            counted.set(counted.get() + 1);
            let found = match host {
                "none" => Err(io::Error::other("no such host")),
                _ => Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))]),
            };
            async move {
                tokio::task::yield_now().await;
                found
            }
            .boxed_local()
        });
        let resolver = Resolver::new(Rc::clone(&watch), cache_ms, lookup);
        (resolver, count, watch)
    }

    #[tokio::test(flavor = "local")]
    async fn those_who_ask_together_share_a_lookup_and_failures_are_not_remembered() {
        let (resolver, count, _watch) = counting(1_000);
        let (a, b) = tokio::join!(resolver.resolve("a"), resolver.resolve("a"));
        assert_eq!((a.unwrap().len(), b.unwrap().len(), count.get()), (1, 1, 1));
        resolver.resolve("a").await.unwrap();
        assert_eq!(count.get(), 1);
        resolver.forget("a");
        resolver.resolve("a").await.unwrap();
        assert_eq!(count.get(), 2);
        resolver.resolve("none").await.unwrap_err();
        resolver.resolve("none").await.unwrap_err();
        assert_eq!(count.get(), 4);
    }

    #[tokio::test(flavor = "local")]
    async fn without_a_cache_every_connection_asks() {
        let (resolver, count, _watch) = counting(0);
        resolver.resolve("a").await.unwrap();
        resolver.resolve("a").await.unwrap();
        assert_eq!(count.get(), 2);
    }

    #[tokio::test(flavor = "local")]
    async fn the_number_of_names_is_bounded() {
        let (resolver, _, _watch) = counting(60_000);
        for number in 0..NAMES_MAX + 10 {
            resolver.resolve(&number.to_string()).await.unwrap();
        }
        assert_eq!(resolver.names.borrow().len(), NAMES_MAX);
    }

    #[test]
    fn families_take_turns() {
        let parse = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let found = ["::1", "::2", "::3", "1.1.1.1"].map(parse).to_vec();
        let turns = ["::1", "1.1.1.1", "::2", "::3"].map(parse).to_vec();
        assert_eq!(in_turns(found), turns);
    }
}
