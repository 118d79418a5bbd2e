//! Waiting for what happens soon, and doing many things at once.

use std::time::{Duration, Instant};

/// Asks until there is an answer. Panics with `what` after half a minute without one.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "not within half a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs `work` on `count` threads at once, with their numbers from 0, and gives their results in
/// that order.
pub fn parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let work = &work;
    let gate = &std::sync::Barrier::new(count);
    std::thread::scope(|scope| {
        let run = |number| {
            let thread = std::thread::Builder::new().stack_size(512 << 10);
            thread.spawn_scoped(scope, move || {
                gate.wait();
                work(number)
            })
        };
        let threads: Vec<_> = (0..count)
            .map(|number| run(number).expect("a thread"))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}
