//! `export!`: from a type and a list of hooks to a module that the gateway loads.

/// Exports a policy: its type, then the hooks that it implements.
///
/// ```ignore
/// weir_sdk::export!(OnlyGpt: access);
/// weir_sdk::export!(Guard: access, rewrite, events);
/// ```
///
/// The hooks are `access`, `rewrite`, `limit`, `answer`, `route`, `reply`, `events` and `audit`;
/// each needs the trait of the same name. Once per crate. On other targets than wasm32 it only
/// checks that the traits are there, so that `cargo check` and `cargo test` find mistakes.
#[macro_export]
macro_rules! export {
    ($policy:ty: $($hook:ident),+ $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static POLICY: $crate::__private::Instance<$policy> =
                    const { $crate::__private::Instance::new() };
            }

            fn policy() -> &'static $policy {
                POLICY.with($crate::__private::Instance::get)
            }

            struct Exports;

            impl $crate::bindings::lifecycle::exports::weir::policy::lifecycle::Guest for Exports {
                fn init(
                    config: ::std::string::String,
                ) -> ::std::result::Result<(), ::std::vec::Vec<::std::string::String>> {
                    POLICY.with(|instance| instance.init(&config))
                }
            }
            $crate::bindings::lifecycle::export!(Exports with_types_in $crate::bindings::lifecycle);

            $($crate::__export_hook!($hook, $policy);)+
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || {
            $($crate::__check_hook!($hook, $policy);)+
            let _ = <$policy as $crate::Policy>::configure;
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __check_hook {
    (access, $policy:ty) => {
        let _ = <$policy as $crate::Access>::authorize;
    };
    (rewrite, $policy:ty) => {
        let _ = <$policy as $crate::Rewrite>::rewrite;
    };
    (limit, $policy:ty) => {
        let _ = <$policy as $crate::Limit>::limits;
    };
    (answer, $policy:ty) => {
        let _ = <$policy as $crate::Answer>::answer;
    };
    (route, $policy:ty) => {
        let _ = <$policy as $crate::Route>::route;
    };
    (reply, $policy:ty) => {
        let _ = <$policy as $crate::Reply>::reply;
    };
    (events, $policy:ty) => {
        let _ = <$policy as $crate::Events>::push;
    };
    (audit, $policy:ty) => {
        let _ = <$policy as $crate::Audit>::finished;
    };
    ($other:ident, $policy:ty) => {
        ::std::compile_error!(::std::concat!(
            "no hook is called `",
            ::std::stringify!($other),
            "`: access, rewrite, limit, answer, route, reply, events, audit"
        ));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    (access, $policy:ty) => {
        impl $crate::bindings::access::exports::weir::policy::access::Guest for Exports {
            fn authorize(call: $crate::Summary) -> ::std::result::Result<(), $crate::Denial> {
                <$policy as $crate::Access>::authorize(policy(), &call)
            }
        }
        $crate::bindings::access::export!(Exports with_types_in $crate::bindings::access);
    };
    (rewrite, $policy:ty) => {
        impl $crate::bindings::rewrite::exports::weir::policy::rewrite::Guest for Exports {
            fn rewrite(call: $crate::Summary) -> ::std::result::Result<(), $crate::Denial> {
                <$policy as $crate::Rewrite>::rewrite(policy(), &call)
            }
        }
        $crate::bindings::rewrite::export!(Exports with_types_in $crate::bindings::rewrite);
    };
    (limit, $policy:ty) => {
        impl $crate::bindings::limit::exports::weir::policy::limit::Guest for Exports {
            fn limits(
                call: $crate::Summary,
            ) -> ::std::result::Result<::std::vec::Vec<$crate::Rule>, $crate::Denial> {
                <$policy as $crate::Limit>::limits(policy(), &call)
            }
        }
        $crate::bindings::limit::export!(Exports with_types_in $crate::bindings::limit);
    };
    (answer, $policy:ty) => {
        impl $crate::bindings::answer::exports::weir::policy::answer::Guest for Exports {
            fn answer(
                call: $crate::Summary,
            ) -> ::std::result::Result<::std::option::Option<$crate::Response>, $crate::Denial> {
                <$policy as $crate::Answer>::answer(policy(), &call)
            }
        }
        $crate::bindings::answer::export!(Exports with_types_in $crate::bindings::answer);
    };
    (route, $policy:ty) => {
        impl $crate::bindings::route::exports::weir::policy::route::Guest for Exports {
            fn route(
                call: $crate::Summary,
                candidates: ::std::vec::Vec<$crate::Candidate>,
            ) -> ::std::result::Result<::std::vec::Vec<$crate::Attempt>, $crate::Denial> {
                <$policy as $crate::Route>::route(policy(), &call, candidates)
            }
        }
        $crate::bindings::route::export!(Exports with_types_in $crate::bindings::route);
    };
    (reply, $policy:ty) => {
        impl $crate::bindings::reply::exports::weir::policy::reply::Guest for Exports {
            fn reply(
                call: $crate::Summary,
                response: $crate::Response,
            ) -> ::std::result::Result<::std::option::Option<$crate::Response>, $crate::Denial> {
                <$policy as $crate::Reply>::reply(policy(), &call, response)
            }
        }
        $crate::bindings::reply::export!(Exports with_types_in $crate::bindings::reply);
    };
    (events, $policy:ty) => {
        ::std::thread_local! {
            static STREAMS: $crate::__private::Streams<<$policy as $crate::Events>::Stream> =
                const { $crate::__private::Streams::new() };
        }
        impl $crate::bindings::events::exports::weir::policy::events::Guest for Exports {
            fn open(reply: u32, call: $crate::Summary) -> bool {
                STREAMS.with(|streams| streams.open(policy(), reply, &call))
            }
            fn push(
                reply: u32,
                event: $crate::Event,
            ) -> ::std::result::Result<$crate::Action, $crate::Denial> {
                STREAMS.with(|streams| streams.push(policy(), reply, event))
            }
            fn close(reply: u32) -> ::std::vec::Vec<$crate::Event> {
                STREAMS.with(|streams| streams.close(policy(), reply))
            }
        }
        $crate::bindings::events::export!(Exports with_types_in $crate::bindings::events);
    };
    (audit, $policy:ty) => {
        impl $crate::bindings::audit::exports::weir::policy::audit::Guest for Exports {
            fn finished(outcome: $crate::Outcome) {
                <$policy as $crate::Audit>::finished(policy(), &outcome);
            }
        }
        $crate::bindings::audit::export!(Exports with_types_in $crate::bindings::audit);
    };
    // An unknown name: the arm of __check_hook! says which names there are.
    ($other:ident, $policy:ty) => { $crate::__check_hook!($other, $policy); };
}
