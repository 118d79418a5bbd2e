//! What an instance of a policy holds while it lives: the policy itself and its open streams.
//!
//! Used by `export!` only. A WebAssembly instance has one thread, so a thread-local is a plain
//! variable there.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::hooks::{Events, Policy};
use crate::log;
use crate::types::{Action, Denial, Event, Summary};

/// Where `export!` keeps the policy once `init` has made it.
#[doc(hidden)]
pub struct Instance<P: 'static>(Cell<Option<&'static P>>);

impl<P: Policy> Instance<P> {
    #[doc(hidden)]
    pub const fn new() -> Self {
        Instance(Cell::new(None))
    }

    /// Makes the policy; it lives as long as the instance.
    #[doc(hidden)]
    pub fn init(&self, config: &str) -> Result<(), Vec<String>> {
        report_panics();
        let policy = P::configure(config)?;
        self.0.set(Some(Box::leak(Box::new(policy))));
        Ok(())
    }

    /// The policy. The host calls `init` before any hook; a host that did not gets a trap.
    #[doc(hidden)]
    #[inline]
    pub fn get(&self) -> &'static P {
        match self.0.get() {
            Some(policy) => policy,
            None => not_initialised(),
        }
    }
}

#[cold]
#[expect(
    clippy::panic,
    reason = "a trap is all that a policy without configuration can answer"
)]
fn not_initialised() -> ! {
    panic!("a hook was called before init")
}

/// Sends the message of a panic to the policy's log before it becomes a bare trap.
fn report_panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|info| {
        log::write(log::Level::Error, &info.to_string())
    }));
    #[cfg(not(target_arch = "wasm32"))]
    let _ = log::write;
}

/// The open streams of an instance, by the host's number.
#[doc(hidden)]
pub struct Streams<S>(RefCell<BTreeMap<u32, S>>);

impl<S: 'static> Streams<S> {
    #[doc(hidden)]
    pub const fn new() -> Self {
        Streams(RefCell::new(BTreeMap::new()))
    }

    #[doc(hidden)]
    pub fn open<P: Events<Stream = S>>(&self, policy: &P, reply: u32, call: &Summary) -> bool {
        match policy.open(call) {
            Some(stream) => {
                self.0.borrow_mut().insert(reply, stream);
                true
            }
            None => false,
        }
    }

    #[doc(hidden)]
    pub fn push<P: Events<Stream = S>>(
        &self,
        policy: &P,
        reply: u32,
        event: Event,
    ) -> Result<Action, Denial> {
        match self.0.borrow_mut().get_mut(&reply) {
            Some(stream) => policy.push(stream, event),
            None => Ok(Action::Pass),
        }
    }

    #[doc(hidden)]
    pub fn close<P: Events<Stream = S>>(&self, policy: &P, reply: u32) -> Vec<Event> {
        let stream = self.0.borrow_mut().remove(&reply);
        stream.map_or_else(Vec::new, |stream| policy.close(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Call, Host};

    #[derive(serde::Deserialize)]
    struct Echo {
        only: String,
    }

    impl Events for Echo {
        type Stream = Vec<Event>;

        fn open(&self, call: &Summary) -> Option<Vec<Event>> {
            (call.model == self.only).then(Vec::new)
        }

        fn push(&self, stream: &mut Vec<Event>, event: Event) -> Result<Action, Denial> {
            stream.push(event);
            Ok(Action::Drop)
        }

        fn close(&self, stream: Vec<Event>) -> Vec<Event> {
            stream
        }
    }

    #[test]
    fn init_makes_the_policy_or_says_why_not() {
        let instance: Instance<Echo> = Instance::new();
        assert!(instance.init("{}").unwrap_err()[0].contains("missing field `only`"));
        instance.init(r#"{"only":"a"}"#).unwrap();
        assert_eq!(instance.get().only, "a");
    }

    #[test]
    #[should_panic(expected = "before init")]
    fn a_hook_before_init_traps() {
        Instance::<Echo>::new().get();
    }

    #[test]
    fn streams_are_told_apart() {
        let (echo, streams) = (
            Echo {
                only: "a".to_owned(),
            },
            Streams::new(),
        );
        let open = |number, model: &str| {
            Host::new()
                .call(Call::chat(model))
                .run(|call| streams.open(&echo, number, call))
                .0
        };
        assert!(open(1, "a") && open(2, "a") && !open(3, "b"));
        for (number, text) in [(1, "x"), (2, "y"), (1, "z")] {
            assert_eq!(
                streams.push(&echo, number, Event::text(text)),
                Ok(Action::Drop)
            );
        }
        assert_eq!(streams.push(&echo, 3, Event::text("?")), Ok(Action::Pass));
        assert_eq!(
            streams.close(&echo, 1),
            [Event::text("x"), Event::text("z")]
        );
        assert_eq!(streams.close(&echo, 1), []);
        assert_eq!(streams.close(&echo, 2), [Event::text("y")]);
    }
}
