//! The hooks by name, and sets of them.

use std::fmt;

/// One exported interface of a policy. The names are those of the interfaces in `wit/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Hook {
    /// Takes the configuration; runs once in every new instance.
    Lifecycle,
    /// May the caller make this call at all?
    Access,
    /// Changes the request.
    Rewrite,
    /// Names the limits that the call falls under.
    Limit,
    /// Answers without a provider.
    Answer,
    /// Orders the channels to try.
    Route,
    /// Changes a whole reply.
    Reply,
    /// Changes a streamed reply.
    Events,
    /// Sees finished calls.
    Audit,
}

impl Hook {
    /// All of them, in the order of a call's phases.
    pub const ALL: [Hook; 9] = [
        Hook::Lifecycle,
        Hook::Access,
        Hook::Rewrite,
        Hook::Limit,
        Hook::Answer,
        Hook::Route,
        Hook::Reply,
        Hook::Events,
        Hook::Audit,
    ];

    /// The name in WIT, metrics, logs and the admin API.
    pub fn as_str(self) -> &'static str {
        match self {
            Hook::Lifecycle => "lifecycle",
            Hook::Access => "access",
            Hook::Rewrite => "rewrite",
            Hook::Limit => "limit",
            Hook::Answer => "answer",
            Hook::Route => "route",
            Hook::Reply => "reply",
            Hook::Events => "events",
            Hook::Audit => "audit",
        }
    }

    /// The hook of that name.
    pub fn from_name(name: &str) -> Option<Hook> {
        Hook::ALL.into_iter().find(|hook| hook.as_str() == name)
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which hooks a policy has.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct HookSet(u16);

impl HookSet {
    /// True where the policy has this hook.
    #[inline]
    pub fn contains(self, hook: Hook) -> bool {
        self.0 & (1 << hook as u8) != 0
    }

    /// The hooks, in the order of a call's phases.
    pub fn iter(self) -> impl Iterator<Item = Hook> {
        Hook::ALL
            .into_iter()
            .filter(move |&hook| self.contains(hook))
    }

    pub(crate) fn insert(&mut self, hook: Hook) {
        self.0 |= 1 << hook as u8;
    }
}

impl FromIterator<Hook> for HookSet {
    fn from_iter<I: IntoIterator<Item = Hook>>(hooks: I) -> Self {
        let mut set = Self::default();
        for hook in hooks {
            set.insert(hook);
        }
        set
    }
}

impl fmt::Debug for HookSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(Hook::as_str))
            .finish()
    }
}
