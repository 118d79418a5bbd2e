//! A policy for tests of old policies: written for version 0.1 of the interface, and for good.
//!
//! It denies calls with the header `x-deny: 0.1` and tries channels in the opposite order. Written
//! with wit-bindgen alone, as the kit is for the newest version; never to be changed to another one.
//!
//! Elsewhere than in WebAssembly the crate is empty: what it exports has names that no linker takes.

#![cfg(target_arch = "wasm32")]

#[expect(
    unsafe_code,
    reason = "generated: what a component exports has fixed names"
)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit/0.1",
        inline: "
            package weir:testing;
            world first {
                import weir:policy/call@0.1.0;
                export weir:policy/access@0.1.0;
                export weir:policy/route@0.1.0;
            }
        ",
        world: "weir:testing/first",
        generate_all,
    });

    export!(First with_types_in self);

    use super::First;
}

use bindings::exports::weir::policy::{access, route};
use bindings::weir::policy::call;
use bindings::weir::policy::types::{Denial, Summary};

struct First;

impl access::Guest for First {
    fn authorize(_: Summary) -> Result<(), Denial> {
        if call::header("x-deny").as_deref() != Some("0.1") {
            return Ok(());
        }
        Err(Denial {
            status: 403,
            code: "denied_by_0_1".to_owned(),
            message: format!("Ask {} without the header x-deny.", call::path()),
            retry_after_ms: None,
        })
    }
}

impl route::Guest for First {
    fn route(_: Summary, candidates: Vec<route::Candidate>) -> Result<Vec<route::Attempt>, Denial> {
        let attempt = |candidate: &route::Candidate| route::Attempt {
            channel: candidate.channel,
            first_byte_timeout_ms: None,
            hedge_after_ms: None,
        };
        Ok(candidates.iter().rev().map(attempt).collect())
    }
}
