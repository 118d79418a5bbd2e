//! The policy of tests/bare in Rust: wit-bindgen and the interface, nothing else.
//!
//! Elsewhere than in WebAssembly the crate is empty: what it exports has names that no linker takes.

#![cfg(target_arch = "wasm32")]

#[expect(
    unsafe_code,
    reason = "generated: what a component exports has fixed names"
)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/0.2", "../world.wit"],
        world: "weir:bare/bare",
        generate_all,
    });

    export!(Bare with_types_in self);

    use super::Bare;
}

use bindings::exports::weir::policy::access::Guest;
use bindings::weir::policy::types::{Denial, Summary};
use bindings::weir::policy::{call, clock, store};

const ALLOWED: i64 = 2;
const MINUTE_MS: u64 = 60_000;

struct Bare;

impl Guest for Bare {
    fn authorize(asked: Summary) -> Result<(), Denial> {
        let tenant = call::tenant();
        if asked.model == "forbidden" {
            return Err(Denial {
                status: 403,
                code: "model_denied".to_owned(),
                message: format!("`forbidden` is not for {tenant}: ask for another model."),
                retry_after_ms: None,
            });
        }
        let minute_ms = clock::now_ms() % MINUTE_MS;
        let left_ms = u32::try_from(MINUTE_MS - minute_ms).unwrap_or(u32::MAX);
        match store::add(&tenant, 1, Some(left_ms)) {
            Ok(calls) if calls <= ALLOWED => Ok(()),
            _ => Err(Denial {
                status: 429,
                code: "enough".to_owned(),
                message: format!("{tenant} has made its two calls of this minute."),
                retry_after_ms: Some(left_ms),
            }),
        }
    }
}
