//! The hooks of a component, found once per version and bound once per instance.
//!
//! A component exports any subset of them, each of any release that this program runs. Types of
//! components have no names, only shapes, and records are frozen: a hook of an older release is
//! called exactly as the same hook of the newest, and nothing but the look-up here knows which it is.
//! The types are checked when an instance is made, never when it is called.

use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, Func, Instance, TypedFunc};

use crate::candidate::Candidate;
use crate::hook::Hook;
use crate::load_error::{LoadError, short};
use crate::release::Release;
use crate::state::State;
use crate::types::{
    Action, Denial, LimitRule, NewEvent, Outcome, Response, RouteAttempt, StreamEvent, Summary,
    WholeReply,
};

/// The results of a function as wasmtime counts them: one, or none.
macro_rules! results {
    () => {
        ()
    };
    ($answer:ty) => {
        ($answer,)
    };
}

/// What is in them: its type,
macro_rules! answered {
    () => {
        ()
    };
    ($answer:ty) => {
        $answer
    };
}

/// and itself.
macro_rules! answer {
    ($results:ident) => {
        $results
    };
    ($results:ident $answer:ty) => {
        $results.0
    };
}

macro_rules! guests {
    ($($hook:ident $module:ident {
        $($func:ident = $name:literal ($($arg:ident: $type:ty),*) $(-> $answer:ty)?;)+
    })*) => {
        $(
            /// The functions of a hook: where they are in a component, or in an instance.
            pub(crate) struct $hook<F = Func> { $($func: F,)+ }

            impl $hook<ComponentExportIndex> {
                fn find(component: &Component, release: Release) -> wasmtime::Result<Self> {
                    let name = release.name(Hook::$hook.as_str());
                    let hook = component.get_export_index(None, &name);
                    let hook = hook.ok_or_else(|| missing(&name))?;
                    Ok(Self { $(
                        $func: component
                            .get_export_index(Some(&hook), $name)
                            .ok_or_else(|| missing($name))?,
                    )+ })
                }

                /// Fails where a function has other types than are used to call it.
                fn bind(
                    &self,
                    store: &mut Store<State>,
                    instance: &Instance,
                ) -> wasmtime::Result<$hook> {
                    Ok($hook { $(
                        $func: *instance
                            .get_typed_func::<($($type,)*), results!($($answer)?)>(
                                &mut *store,
                                &self.$func,
                            )?
                            .func(),
                    )+ })
                }
            }

            impl $hook { $(
                /// Calls the function.
                pub(crate) async fn $func(
                    &self,
                    store: &mut Store<State>,
                    $($arg: $type),*
                ) -> wasmtime::Result<answered!($($answer)?)> {
                    // SAFETY: the types must be the function's, which `bind` has found.
                    #[expect(
                        unsafe_code,
                        reason = "to check at every call would cost as much as the call"
                    )]
                    let func = unsafe {
                        TypedFunc::<($($type,)*), results!($($answer)?)>::new_unchecked(self.$func)
                    };
                    let results = func.call_async(store, ($($arg,)*)).await?;
                    Ok(answer!(results $($answer)?))
                }
            )+ }
        )*

        /// Where the hooks are in a component, and of which release.
        pub(crate) struct Indices {
            $($module: Option<($hook<ComponentExportIndex>, Release)>,)*
        }

        /// The hooks of an instance.
        pub(crate) struct Guests { $(pub(crate) $module: Option<$hook>,)* }

        impl Indices {
            /// Finds these hooks; the error names the one that lacks a function.
            pub(crate) fn find(
                component: &Component,
                exports: &[(Hook, Release)],
            ) -> Result<Self, LoadError> {
                Ok(Self { $(
                    $module: match exports.iter().find(|(hook, _)| *hook == Hook::$hook) {
                        Some((hook, release)) => {
                            let found = $hook::find(component, *release);
                            Some((found.map_err(wrong_type(*hook, *release))?, *release))
                        }
                        None => None,
                    },
                )* })
            }

            /// Binds them; the error names the one whose types are not Weir's.
            pub(crate) fn bind(
                &self,
                store: &mut Store<State>,
                instance: &Instance,
            ) -> Result<Guests, LoadError> {
                Ok(Guests { $(
                    $module: match &self.$module {
                        Some((hook, release)) => {
                            let bound = hook.bind(store, instance);
                            Some(bound.map_err(wrong_type(Hook::$hook, *release))?)
                        }
                        None => None,
                    },
                )* })
            }
        }
    };
}

guests! {
    Lifecycle lifecycle {
        call_init = "init" (config: &str) -> Result<(), Vec<String>>;
    }
    Access access {
        call_authorize = "authorize" (call: Summary<'_>) -> Result<(), Denial>;
    }
    Rewrite rewrite {
        call_rewrite = "rewrite" (call: Summary<'_>) -> Result<(), Denial>;
    }
    Limit limit {
        call_limits = "limits" (call: Summary<'_>) -> Result<Vec<LimitRule>, Denial>;
    }
    Answer answer {
        call_answer = "answer" (call: Summary<'_>) -> Result<Option<Response>, Denial>;
    }
    Route route {
        call_route = "route" (call: Summary<'_>, candidates: &[Candidate])
            -> Result<Vec<RouteAttempt>, Denial>;
    }
    Reply reply {
        call_reply = "reply" (call: Summary<'_>, response: WholeReply<'_>)
            -> Result<Option<Response>, Denial>;
    }
    Events events {
        call_open = "open" (reply: u32, call: Summary<'_>) -> bool;
        call_push = "push" (reply: u32, event: StreamEvent<'_>) -> Result<Action, Denial>;
        call_close = "close" (reply: u32) -> Vec<NewEvent>;
    }
    Audit audit {
        call_finished = "finished" (outcome: Outcome<'_>);
    }
}

fn missing(name: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!("`{name}` is not exported"))
}

fn wrong_type(hook: Hook, release: Release) -> impl FnOnce(wasmtime::Error) -> LoadError {
    move |error| LoadError::WrongType {
        interface: release.name(hook.as_str()),
        reason: short(format!("{error:#}")),
    }
}
