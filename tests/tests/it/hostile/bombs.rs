//! What must be refused when it is loaded: clearly, within bounds of time and memory, and while other
//! tenants' calls go on.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use weir_tests::{Reply, eventually, policy};

use super::arena::{Arena, HEAD, Hostile, report};
use super::guests::{
    ACCESS, authorizing, module, policy as from_text, trapping, with_another_type,
};

/// What becomes of it.
enum Fate {
    /// It is refused with a code that begins like this, and a sentence that holds this.
    Refused(&'static str, &'static str),
    /// It is refused or not, in time.
    Either,
    /// It is refused before all of it was sent, which ends the connection.
    TooLarge,
}

struct Bomb {
    what: &'static str,
    code: fn() -> Vec<u8>,
    fate: Fate,
}

/// A number as WebAssembly writes it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        bytes.push(if number == 0 { byte } else { byte | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    [&[id], leb(contents.len()).as_slice(), contents].concat()
}

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A component in a component in a component, so often.
fn nested(depth: usize) -> Vec<u8> {
    let mut component = COMPONENT.to_vec();
    for _ in 0..depth {
        component = [COMPONENT, &section(4, &component)].concat();
    }
    component
}

/// A component with so many types, each made of the one before by `of`, that imports the last.
fn types(count: usize, first: &[u8], of: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let mut types = leb(count);
    types.extend(first);
    for number in 1..count {
        types.extend(of(number - 1));
    }
    // One import, its name, and that it is equal to a type.
    let import = [&[1, 0, 1, b't', 3, 0], leb(count - 1).as_slice()].concat();
    [COMPONENT, &section(7, &types), &section(10, &import)].concat()
}

/// The same, where a type is named by a signed number.
fn reference(number: usize) -> Vec<u8> {
    let mut bytes = leb(number);
    if bytes.last().is_some_and(|byte| byte & 0x40 != 0) {
        if let Some(last) = bytes.last_mut() {
            *last |= 0x80;
        }
        bytes.push(0);
    }
    bytes
}

fn starting(body: &str) -> Vec<u8> {
    let items = format!("export weir:policy/lifecycle@0.1.0; {ACCESS}");
    let more = r#"(func (export "weir:policy/access@0.1.0#authorize")
        (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 64))"#;
    module(&items, more, "weir:policy/lifecycle@0.1.0#init", 2, body)
}

fn bombs() -> Vec<Bomb> {
    use Fate::{Either, Refused, TooLarge};
    let bomb = |what, code, fate| Bomb { what, code, fate };
    vec![
        bomb(
            "no WebAssembly",
            || b"not wasm at all".to_vec(),
            Refused("policy_not_wasm", "neither"),
        ),
        bomb(
            "a file that is cut off",
            || policy("testing-probe")[..1000].to_vec(),
            Refused("policy_not_componentizable", "unexpected end"),
        ),
        bomb(
            "a file of 40 MB",
            || [COMPONENT, &vec![0; 40 << 20]].concat(),
            TooLarge,
        ),
        bomb(
            "no hook",
            || policy("testing-empty"),
            Refused("policy_no", ""),
        ),
        bomb(
            "an import that does not exist",
            || {
                trapping(
                    "package test:guest; interface nothing { f: func(); } world guest { import nothing; export weir:policy/access@0.1.0; }",
                )
            },
            Refused("policy_unknown_import", "test:guest/nothing"),
        ),
        bomb(
            "an import that was not granted",
            || policy("testing-forbidden"),
            Refused("policy_not_granted", "grants.http"),
        ),
        bomb(
            "a hook of another type",
            with_another_type,
            Refused("policy_wrong_type", "weir:policy/access"),
        ),
        bomb(
            "an import with a name of 100 kB",
            || {
                let name = "x".repeat(100_000);
                authorizing(&format!("(import \"{name}\" \"f\" (func))"), "")
            },
            Refused("policy_not_componentizable", "[cut]"),
        ),
        bomb(
            "10,000 components in each other",
            || nested(10_000),
            Refused("policy_", ""),
        ),
        bomb(
            "a type of 2^60 parts",
            || {
                types(60, &[0x6f, 2, 0x7d, 0x7d], |before| {
                    [&[0x6f, 2], reference(before).as_slice(), &reference(before)].concat()
                })
            },
            Refused("policy_invalid", ""),
        ),
        bomb(
            "100,000 lists in each other",
            || {
                types(100_000, &[0x70, 0x7d], |before| {
                    [&[0x70], reference(before).as_slice()].concat()
                })
            },
            Refused("policy_", ""),
        ),
        bomb(
            "a table of ten million",
            || authorizing("(table 10000000 funcref)", ""),
            Refused("policy_", "table"),
        ),
        bomb(
            "a hundred memories",
            || authorizing(&"(memory 1)".repeat(100), ""),
            Refused("policy_", "memories"),
        ),
        bomb(
            "a memory of 4 GiB",
            || authorizing("(memory 65535)", ""),
            Refused("policy_", "memory"),
        ),
        bomb(
            "data for a memory that is not there",
            || {
                let data = format!("(data (i32.const 0) \"{}\")", "x".repeat(20 << 20));
                authorizing(&data, "")
            },
            Refused("policy_start_failed", "out of bounds"),
        ),
        bomb(
            "900,000 functions",
            || authorizing(&"(func)".repeat(900_000), ""),
            Either,
        ),
        bomb(
            "a function of half a million steps",
            || authorizing("", &"(drop (i32.load (i32.const 1)))".repeat(500_000)),
            Either,
        ),
        bomb(
            "30,000 blocks in each other",
            || {
                authorizing(
                    "",
                    &["block ".repeat(30_000), "end ".repeat(30_000)].concat(),
                )
            },
            Either,
        ),
        bomb(
            "100,000 functions like an interpreter's",
            || {
                let body = "(drop (i32.add (i32.load (local.get 0)) (i32.mul (local.get 0) (i32.const 7)))) (if (local.get 0) (then (i32.store (local.get 0) (i32.const 5))))";
                authorizing(&format!("(func (param i32) {body})").repeat(100_000), "")
            },
            Either,
        ),
        bomb(
            "a start that never ends",
            || {
                from_text(
                    ACCESS,
                    r#"(module (memory (export "memory") 1)
            (func $spin (loop (br 0))) (start $spin)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "weir:policy/access@0.1.0#authorize") (param i32 i32 i32 i32 i32 i32) (result i32) unreachable))"#,
                )
            },
            Refused("policy_start_failed", "1000 ms"),
        ),
        bomb(
            "an init that never ends",
            || starting("(loop (br 0))"),
            Refused("policy_start_failed", "1000 ms"),
        ),
        bomb(
            "an init that traps",
            || starting("unreachable"),
            Refused("policy_start_failed", "unreachable"),
        ),
        bomb(
            "an init that takes memory without end",
            || {
                starting(
                    "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable",
                )
            },
            Refused("policy_start_failed", "memory"),
        ),
        bomb(
            "an init with an error of a megabyte",
            || {
                starting(
            "(i32.store8 (i32.const 128) (i32.const 1)) (i32.store (i32.const 132) (i32.const 256)) (i32.store (i32.const 136) (i32.const 1))
             (i32.store (i32.const 256) (i32.const 65536)) (i32.store (i32.const 260) (i32.const 1000000)) (return (i32.const 128))",
        )
            },
            Refused("policy_config_refused", "[cut]"),
        ),
        bomb(
            "an init with 4 billion errors",
            || {
                starting(
                    "(i32.store8 (i32.const 128) (i32.const 1)) (i32.store (i32.const 132) (i32.const 256)) (i32.store (i32.const 136) (i32.const -1)) (return (i32.const 128))",
                )
            },
            Refused("policy_start_failed", ""),
        ),
    ]
}

/// Too short for what takes very long to compile.
const SETTINGS: &str = "[runtime]\ncompile_timeout_ms = 10000\n";
/// How long an answer to an upload may take: compiling, and starting.
const UPLOAD_MAX: Duration = Duration::from_secs(40);
/// By how much the gateway itself may grow.
const GROWTH_MAX_BYTES: usize = 200 << 20;

#[test]
fn what_cannot_be_a_policy_is_refused_within_bounds() {
    let arena = Arena::new("");
    // `p1`, whose versions the bombs shall be.
    arena.set(&Hostile::told(""));
    // With its policies compiled: on a busy machine that may take long too.
    let arena = arena.restarted(SETTINGS);
    let mut table = HEAD.replace("its calls |", "uploads |");
    let only = std::env::var("HOSTILE_CASE").unwrap_or_default();
    let before = arena.footprint();
    for bomb in bombs().into_iter().filter(|bomb| bomb.what.contains(&only)) {
        let code = (bomb.code)();
        let upload = |_| {
            let began = Instant::now();
            let reply = arena.upload("p1", code.clone());
            (reply, began.elapsed())
        };
        let beside = arena.beside(bomb.what, 1, upload);
        let Some((reply, took)) = beside.did.first() else {
            continue;
        };
        assert!(*took < UPLOAD_MAX, "{} took {took:?}", bomb.what);
        let fate = format!("{}, {} ms", judge(&bomb, reply), took.as_millis());
        let _ = write!(table, "{}", beside.line(bomb.what, &fate));
    }
    eventually("the compilers are gone", || {
        children(&arena).is_empty().then_some(())
    });
    let after = arena.footprint();
    let _ = write!(
        table,
        "\nResident before {} MiB, after {} MiB; open files {}, {}.\n",
        before.0 >> 20,
        after.0 >> 20,
        before.1,
        after.1
    );
    report("bombs", &table);
    assert!(
        after.0 < before.0 + GROWTH_MAX_BYTES,
        "{before:?} {after:?}"
    );
    // Nothing of that stands in the way of one that is well.
    let reply = arena.upload("p1", policy("testing-hostile")).unwrap();
    // It may more than one of those above that was accepted, so the operator is asked.
    assert!(matches!(reply.status, 200 | 202), "{}", reply.text());
}

/// What became of it, in a few words, once it is known to be what it should.
fn judge(bomb: &Bomb, reply: &Result<Reply, String>) -> String {
    let what = bomb.what;
    let reply = match (reply, &bomb.fate) {
        (Ok(reply), _) => reply,
        (Err(_), Fate::TooLarge) => return "the connection is closed".to_owned(),
        (Err(error), _) => panic!("{what}: {error}"),
    };
    let text = reply.text();
    assert!(text.len() < 4096, "{what}: {} bytes of reasons", text.len());
    match bomb.fate {
        Fate::Refused(code, words) => {
            assert!((400..500).contains(&reply.status), "{what}: {text}");
            assert!(reply.code().starts_with(code), "{what}: {text}");
            assert!(text.contains(words), "{what}: {text}");
        }
        Fate::TooLarge => assert_eq!(reply.status, 413, "{what}: {text}"),
        Fate::Either => {}
    }
    format!("{} `{}`", reply.status, reply.code())
}

/// The processes that the gateway has started and that still run.
fn children(arena: &Arena) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", arena.gateway.pid())).unwrap();
    let children = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    children
        .flat_map(|text| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// What the system says of a process: a line of `limits`, and how far it steps back.
fn bounds_of(process: &str) -> Option<(String, i64)> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{process}/{file}")).ok();
    let limits = read("limits")?;
    let memory = limits
        .lines()
        .find(|line| line.starts_with("Max address space"))?;
    let stat = read("stat")?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    let nice = after_name.split(' ').nth(16)?.parse().ok()?;
    Some((memory.to_owned(), nice))
}

#[test]
fn compiling_one_policy_delays_no_other() {
    let arena = Arena::new("");
    let policy_of_evil = arena.add(&Hostile::told(""));
    let slow = authorizing("", &"(drop (i32.load (i32.const 1)))".repeat(300_000));
    let (arena, policy_of_evil) = (&arena, &policy_of_evil);
    std::thread::scope(|scope| {
        let compiling = scope.spawn(move || arena.upload(policy_of_evil, slow).unwrap());
        let (_, nice) = bounds_of(&arena.gateway.pid().to_string()).unwrap();
        eventually("it compiles, bounded, and steps back", || {
            assert!(!compiling.is_finished(), "it was too quick to tell");
            let (memory, steps_back) = bounds_of(children(arena).first()?)?;
            (!memory.contains("unlimited") && steps_back == (nice + 5).min(19)).then_some(())
        });
        // A policy that was compiled before, one that was not, a change of settings, and calls.
        let admin = arena
            .gateway
            .admin()
            .header("content-type", "application/wasm");
        let path = "/admin/v1/policies/good/versions";
        admin.send("PUT", path, policy("testing-probe")).expect(200);
        arena.add(&Hostile::made(authorizing("", "(drop (i32.const 4711))")));
        arena.configure("\n[[price]]\nmodel = [\"m\"]\ninput_micros_per_million = 1\noutput_micros_per_million = 1\n");
        arena.calls_of_good("while it compiles", 2);
        assert!(!compiling.is_finished(), "the others waited for it");
        // In the end it is a policy like any other, or took too long.
        let reply = compiling.join().unwrap();
        let code = reply.code();
        assert!(
            reply.status == 200 || code == "policy_compile_timeout",
            "{}",
            reply.text()
        );
    });
}
