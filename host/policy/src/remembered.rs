//! Answers that a policy said hold for a while (`call.remember`), so that it need not be asked again.
//!
//! One list for each version and worker, bounded, found by who calls and what is asked for. Nothing
//! outlives the version, the policy's configuration or the key's settings: the first two end the list,
//! the last are part of the generation that every entry is compared with.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::hook::Hook;
use crate::types::{LimitRule, Operation, Summary};

/// The most answers of one list; a caller that makes up models cannot fill the memory.
const ENTRIES_MAX: usize = 4_096;

/// Who makes a call, as far as a remembered answer may depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Changes with everything that is configured, the key's labels included.
    pub generation: u64,
    /// The public id of the virtual key, which also says whose tenant it is.
    pub key: Arc<str>,
    /// The address.
    pub client: IpAddr,
    /// The dialect.
    pub dialect: &'static str,
}

/// What the policy answered: nothing for `access`, which is remembered where it allowed, else the
/// rules of `limit`.
pub type Rules = Rc<[LimitRule]>;

struct Entry {
    hook: Hook,
    caller: Caller,
    operation: Operation,
    streaming: bool,
    model: Box<str>,
    until: Instant,
    rules: Rules,
}

#[derive(Default)]
pub(crate) struct Remembered {
    hasher: ahash::RandomState,
    entries: RefCell<HashMap<u64, Entry, ahash::RandomState>>,
}

impl Remembered {
    /// The answer to such a call, if it still holds.
    pub(crate) fn find(
        &self,
        hook: Hook,
        caller: &Caller,
        summary: &Summary<'_>,
        now: Instant,
    ) -> Option<Rules> {
        let entries = self.entries.borrow();
        let entry = entries.get(&self.hash(hook, caller, summary))?;
        let same = entry.hook == hook
            && entry.caller == *caller
            && entry.operation == summary.operation
            && entry.streaming == summary.streaming
            && *entry.model == *summary.model;
        (same && now < entry.until).then(|| Rc::clone(&entry.rules))
    }

    /// Keeps an answer until then.
    pub(crate) fn keep(
        &self,
        hook: Hook,
        caller: &Caller,
        summary: &Summary<'_>,
        until: Instant,
        rules: Rules,
    ) {
        let hash = self.hash(hook, caller, summary);
        let mut entries = self.entries.borrow_mut();
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&hash) {
            entries.clear();
        }
        entries.insert(
            hash,
            Entry {
                hook,
                caller: caller.clone(),
                operation: summary.operation,
                streaming: summary.streaming,
                model: summary.model.into(),
                until,
                rules,
            },
        );
    }

    fn hash(&self, hook: Hook, caller: &Caller, summary: &Summary<'_>) -> u64 {
        self.hasher.hash_one((
            &*caller.key,
            summary.model,
            caller.client,
            hook,
            summary.operation as u8,
            summary.streaming,
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn caller(key: &str) -> Caller {
        Caller {
            generation: 1,
            key: key.into(),
            client: IpAddr::from([192, 0, 2, 1]),
            dialect: "openai.chat",
        }
    }

    fn summary(model: &str) -> Summary<'_> {
        Summary {
            operation: Operation::Chat,
            model,
            streaming: false,
            input_tokens: 1,
            max_output_tokens: 0,
        }
    }

    #[test]
    fn an_answer_is_for_one_caller_one_question_and_a_while() {
        let (kept, now) = (Remembered::default(), Instant::now());
        let until = now + Duration::from_secs(1);
        kept.keep(Hook::Access, &caller("a"), &summary("m"), until, [].into());
        let found = |hook, caller: &Caller, model, now| {
            kept.find(hook, caller, &summary(model), now).is_some()
        };
        assert!(found(Hook::Access, &caller("a"), "m", now));
        assert!(!found(Hook::Access, &caller("a"), "m", until));
        assert!(!found(Hook::Access, &caller("b"), "m", now));
        assert!(!found(Hook::Access, &caller("a"), "n", now));
        assert!(!found(Hook::Limit, &caller("a"), "m", now));
        let others = [
            Caller {
                generation: 2,
                ..caller("a")
            },
            Caller {
                client: IpAddr::from([192, 0, 2, 2]),
                ..caller("a")
            },
            Caller {
                dialect: "openai.responses",
                ..caller("a")
            },
        ];
        assert!(
            !others
                .iter()
                .any(|other| found(Hook::Access, other, "m", now))
        );
    }

    #[test]
    fn made_up_models_do_not_fill_the_memory() {
        let (kept, now) = (Remembered::default(), Instant::now());
        let until = now + Duration::from_secs(1);
        for number in 0..2 * ENTRIES_MAX {
            let model = number.to_string();
            kept.keep(
                Hook::Limit,
                &caller("a"),
                &summary(&model),
                until,
                [].into(),
            );
        }
        assert!(kept.entries.borrow().len() <= ENTRIES_MAX);
    }
}
