//! The settings and the policy of the chain are replaced every second, whatever else happens.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use weir_tests::{Gateway, Setup, eventually, policy};

const EVERY: Duration = Duration::from_secs(1);

/// The settings with the policy in them, and a channel that tells which they are.
fn numbered(settings: &str, number: usize) -> String {
    format!(
        "{settings}\n[[policy]]\nname = \"swapped\"\nsource = \"file:swapped.wasm\"\ndeadline_ms = 5000\n[policy.config]\nmodels = [\"*\"]\n[[channel]]\nname = \"mark\"\ndialect = \"fake\"\nmodels = [\"mark-{number}\"]\n"
    )
}

/// The policy with a custom section, so that its digest is another.
fn version(number: usize) -> Vec<u8> {
    let mut wasm = policy("permissions");
    wasm.extend([0, 3, 1, b'v', b'a' + (number % 26) as u8]);
    wasm
}

/// A gateway for [`meanwhile`].
pub(super) fn start(settings: &str) -> Gateway {
    Setup::new(&numbered(settings, 0))
        .write("swapped.wasm", version(0))
        .start()
}

/// Does `work` while everything is swapped, at once and then every second. `settings` are those that
/// hold all the while.
pub(super) fn meanwhile<T>(gateway: &Gateway, settings: &str, work: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut number = 0;
            while !is_over.load(Ordering::SeqCst) {
                number += 1;
                gateway.write("swapped.wasm", version(number));
                gateway.configure(&numbered(settings, number));
                thread::park_timeout(EVERY);
            }
            number
        });
        let done = work();
        is_over.store(true, Ordering::SeqCst);
        swapper.thread().unpark();
        let number = swapper.join().unwrap();
        eventually("the last settings are in use", || {
            let mark = gateway.admin().get("/admin/v1/channels/mark").json();
            (mark["models"][0] == format!("mark-{number}")).then_some(())
        });
        done
    })
}
