//! What only hand-written WebAssembly does: answers that are no answers by the canonical ABI, and
//! exports that misbehave around the hook.

use super::arena::Hostile;
use super::guests::{ACCESS, authorizing, module, policy};
use super::suite::{Case, Fate};

/// A denial at 128 whose code is `bytes` long and lies at `at`; status 403, no message, no delay.
fn denying(at: i64, bytes: i64) -> String {
    format!(
        "(i32.store8 (i32.const 128) (i32.const 1)) (i32.store16 (i32.const 132) (i32.const 403))
         (i32.store (i32.const 136) (i32.const {at})) (i32.store (i32.const 140) (i32.const {bytes}))
         (return (i32.const 128))"
    )
}

/// A list at 128 of `count` items at 256.
fn list(count: i64, more: &str) -> String {
    format!(
        "(i32.store8 (i32.const 128) (i32.const 0)) (i32.store (i32.const 132) (i32.const 256))
         (i32.store (i32.const 136) (i32.const {count})) {more} (return (i32.const 128))"
    )
}

const CLOCK: &str = "import weir:policy/clock@0.1.0;";

fn limiting(body: &str) -> Vec<u8> {
    let items = "export weir:policy/limit@0.1.0;";
    module(items, "", "weir:policy/limit@0.1.0#limits", 6, body)
}

fn routing(body: &str) -> Vec<u8> {
    let items = "export weir:policy/route@0.1.0;";
    module(items, "", "weir:policy/route@0.1.0#route", 8, body)
}

fn with_allocator(allocator: &str) -> Vec<u8> {
    let text = format!(
        r#"(module (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {allocator})
            (func (export "weir:policy/access@0.1.0#authorize")
                (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 64)))"#
    );
    policy(ACCESS, &text)
}

fn after_return(body: &str) -> Vec<u8> {
    let more = format!(
        r#"(func (export "cabi_post_weir:policy/access@0.1.0#authorize") (param i32) {body})"#
    );
    authorizing(&more, "")
}

pub(super) fn cases() -> Vec<Case> {
    use Fate::Fails;
    let case = |what, code, fate| Case {
        what,
        hostile: Hostile::made(code),
        fate,
    };
    let patient = |what, code, fate| Case {
        what,
        hostile: Hostile::made(code).patient(),
        fate,
    };
    let text = |bytes: &str, len| {
        let data = format!("(data (i32.const 512) \"{bytes}\")");
        authorizing(&data, &denying(512, len))
    };
    vec![
        case(
            "invalid UTF-8 in a string",
            text("a\\ff\\fe", 3),
            Fails("policy_trapped"),
        ),
        case(
            "half a character at the end",
            text("a\\e2\\82", 3),
            Fails("policy_trapped"),
        ),
        case(
            "a surrogate in UTF-8",
            text("\\ed\\a0\\80", 3),
            Fails("policy_trapped"),
        ),
        case(
            "a string outside of memory",
            authorizing("", &denying(-16, 1000)),
            Fails("policy_trapped"),
        ),
        case(
            "a string of 4 GiB",
            authorizing("", &denying(0, -1)),
            Fails("policy_trapped"),
        ),
        case(
            "a string that is too long by one",
            authorizing("", &denying(2_097_152 - 8, 9)),
            Fails("policy_trapped"),
        ),
        case(
            "a result that is neither",
            authorizing(
                "",
                "(i32.store8 (i32.const 128) (i32.const 7)) (return (i32.const 128))",
            ),
            Fails("policy_trapped"),
        ),
        case(
            "an option that is neither",
            authorizing(
                "",
                "(i32.store8 (i32.const 152) (i32.const 9)) (i32.store8 (i32.const 128) (i32.const 1)) (return (i32.const 128))",
            ),
            Fails("policy_trapped"),
        ),
        case(
            "an answer at an odd address",
            authorizing("", "(return (i32.const 129))"),
            Fails("policy_trapped"),
        ),
        case(
            "an answer outside of memory",
            authorizing("", "(return (i32.const -4))"),
            Fails("policy_trapped"),
        ),
        case(
            "an enum that has no such value",
            limiting(&list(1, "(i32.store8 (i32.const 264) (i32.const 99))")),
            Fails("policy_trapped"),
        ),
        case(
            "a variant that has no such case",
            limiting(&list(1, "(i32.store8 (i32.const 268) (i32.const 99))")),
            Fails("policy_trapped"),
        ),
        case(
            "a list of 4 billion rules",
            limiting(&list(-1, "")),
            Fails("policy_trapped"),
        ),
        case(
            "a list of attempts beyond memory",
            routing(&list(0x0fff_ffff, "")),
            Fails("policy_trapped"),
        ),
        case(
            "an allocator that allocates nowhere",
            with_allocator("(i32.const -8)"),
            Fails("policy_trapped"),
        ),
        case(
            "an allocator that never returns",
            with_allocator("(loop (br 0)) unreachable"),
            Fails("policy_deadline"),
        ),
        case(
            "a trap after the answer",
            after_return("unreachable"),
            Fails("policy_trapped"),
        ),
        case(
            "an endless loop after the answer",
            after_return("(loop (br 0))"),
            Fails("policy_deadline"),
        ),
        patient(
            "tables that grow",
            authorizing(
                "(table $t 1 funcref)",
                "(loop (br_if 0 (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable",
            ),
            Fails("policy_trapped"),
        ),
        patient(
            "recursion that calls the host at each step",
            policy(
                &format!("{CLOCK}{ACCESS}"),
                r#"(module (import "weir:policy/clock@0.1.0" "now-ms" (func $now (result i64)))
                (memory (export "memory") 1)
                (func $deep (param i64) (result i64) (i64.add (call $deep (call $now)) (i64.const 1)))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
                (func (export "weir:policy/access@0.1.0#authorize")
                    (param i32 i32 i32 i32 i32 i32) (result i32) (drop (call $deep (i64.const 0))) (i32.const 64)))"#,
            ),
            Fails("policy_trapped"),
        ),
    ]
}
