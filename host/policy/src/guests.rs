//! The hooks of a component, found once per version and bound once per instance.
//!
//! A component exports any subset of them, which bindgen's own world type cannot say, so each
//! interface is bound on its own.

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use crate::bindings::exports::weir::policy::{
    access, answer, audit, events, lifecycle, limit, reply, rewrite, route,
};
use crate::candidate;
use crate::hook::{Hook, HookSet};
use crate::state::State;

macro_rules! guests {
    ($($hook:ident $module:ident),* $(,)?) => {
        /// Where the hooks are in a component.
        pub(crate) struct Indices { $($module: Option<$module::GuestIndices>,)* }

        /// The hooks of an instance.
        pub(crate) struct Guests { $(pub(crate) $module: Option<$module::Guest>,)* }

        impl Indices {
            /// Finds these hooks; the error names the one that lacks a function.
            pub(crate) fn find(
                pre: &InstancePre<State>,
                hooks: HookSet,
            ) -> Result<Self, (Hook, wasmtime::Error)> {
                Ok(Self { $(
                    $module: if hooks.contains(Hook::$hook) {
                        Some($module::GuestIndices::new(pre).map_err(|error| (Hook::$hook, error))?)
                    } else {
                        None
                    },
                )* })
            }

            /// Binds them; the error names the one whose types are not Weir's.
            pub(crate) fn bind(
                &self,
                store: &mut Store<State>,
                instance: &Instance,
            ) -> Result<Guests, (Hook, wasmtime::Error)> {
                let guests = Guests { $(
                    $module: match &self.$module {
                        Some(indices) => Some(
                            indices
                                .load(&mut *store, instance)
                                .map_err(|error| (Hook::$hook, error))?,
                        ),
                        None => None,
                    },
                )* };
                if let Some(route) = &guests.route {
                    candidate::check(route, store).map_err(|error| (Hook::Route, error))?;
                }
                Ok(guests)
            }
        }
    };
}

guests! {
    Lifecycle lifecycle,
    Access access,
    Rewrite rewrite,
    Limit limit,
    Answer answer,
    Route route,
    Reply reply,
    Events events,
    Audit audit,
}
