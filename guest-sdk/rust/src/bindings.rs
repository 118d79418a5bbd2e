//! What wit-bindgen makes of `wit/`, the newest version of the interface: the imports once, then each hook in a module of its own.
//!
//! A policy's component has exactly the hooks that its `export!` names, so every hook needs a
//! world of its own; wit-component unites the worlds of one module when the gateway loads it,
//! and drops the imports that nothing calls. Policies never name this module: `lib.rs`
//! re-exports the types, `host.rs` wraps the imports, and `export!` reaches the rest.

/// The shared types and everything that may be imported.
pub mod imports {
    wit_bindgen::generate!({
        path: "wit",
        world: "weir:policy/imports",
        generate_all,
        pub_export_macro: true,
        runtime_path: "::weir_sdk::__wit_bindgen::rt",
        additional_derives: [Clone, PartialEq],
    });
}

macro_rules! hook {
    ($module:ident, $world:literal, $inline:literal $(, $with:literal)?) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "wit",
                inline: $inline,
                world: $world,
                pub_export_macro: true,
                runtime_path: "::weir_sdk::__wit_bindgen::rt",
                $(with: { $with: ::weir_sdk::bindings::imports::weir::policy::types },)?
                additional_derives: [Clone, PartialEq],
            });
        }
    };
}

hook!(
    lifecycle,
    "hook-lifecycle",
    "package weir:sdk; world hook-lifecycle { export weir:policy/lifecycle@0.2.0; }"
);
hook!(
    access,
    "hook-access",
    "package weir:sdk; world hook-access { export weir:policy/access@0.2.0; }",
    "weir:policy/types@0.2.0"
);
hook!(
    rewrite,
    "hook-rewrite",
    "package weir:sdk; world hook-rewrite { export weir:policy/rewrite@0.2.0; }",
    "weir:policy/types@0.2.0"
);
hook!(
    limit,
    "hook-limit",
    "package weir:sdk; world hook-limit { export weir:policy/limit@0.2.0; }",
    "weir:policy/types@0.2.0"
);
hook!(
    answer,
    "hook-answer",
    "package weir:sdk; world hook-answer { export weir:policy/answer@0.2.0; }",
    "weir:policy/types@0.2.0"
);
hook!(
    route,
    "hook-route",
    "package weir:sdk; world hook-route { export weir:policy/route@0.2.0; }",
    "weir:policy/types@0.2.0"
);
hook!(
    reply,
    "hook-reply",
    "package weir:sdk; world hook-reply { export weir:policy/reply@0.2.0; }",
    "weir:policy/types@0.2.0"
);
hook!(
    events,
    "hook-events",
    "package weir:sdk; world hook-events { export weir:policy/events@0.2.0; }",
    "weir:policy/types@0.2.0"
);
hook!(
    audit,
    "hook-audit",
    "package weir:sdk; world hook-audit { export weir:policy/audit@0.2.0; }",
    "weir:policy/types@0.2.0"
);
