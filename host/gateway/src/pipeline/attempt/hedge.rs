//! Two tries beside each other, where the first lets one wait: whoever answers first is taken, the
//! other is given up at once.
//!
//! Only for calls that may run twice without harm. At most two run at a time.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use weir_base::{Fault, Operation};

use super::failure::Failed;
use super::flight::Flight;
use super::send::Got;
use super::tries::Tries;
use super::verdict::judge;
use crate::pipeline::open::Open;
use crate::pipeline::worker::Worker;

/// What became of a flight; none where the other one was faster.
pub type Landing = (Flight, Option<Sent>);

/// Whether a call that is made twice costs nothing but its tokens.
pub fn may_run_twice(operation: Operation) -> bool {
    use Operation::{Chat, Completion, CountTokens, Embedding, Models, Moderation, Rerank};
    matches!(
        operation,
        Chat | Completion | Embedding | Moderation | Rerank | CountTokens | Models
    )
}

/// Flies `first`, and after `after_ms` without an answer the next target beside it.
pub async fn race(
    worker: &Rc<Worker>,
    open: &Open,
    tries: &mut Tries<'_>,
    first: Flight,
    after_ms: u32,
) -> Result<(Landing, Option<Landing>), Fault> {
    let (sent, beside) = {
        let mut one = pin!(first.fly(worker, open));
        let pause = Duration::from_millis(u64::from(after_ms));
        match tokio::time::timeout(pause, one.as_mut()).await {
            Ok(sent) => (Some(sent?), None),
            Err(_) => {
                let target = tries.beside(worker, open, worker.now_ms());
                match target.and_then(|target| Flight::new(open, tries, target, first.until)) {
                    None => (Some(one.await?), None),
                    Some(second) => {
                        let (sent, beside) = both(one, pin!(second.fly(worker, open))).await?;
                        worker.shared.metrics.hedged(sent.is_none());
                        (sent, Some((second, beside)))
                    }
                }
            }
        }
    };
    let first = (first, sent);
    // What decides comes last: an answer, or the failure that came later.
    Ok(match beside {
        None => (first, None),
        Some(beside) if first.1.as_ref().is_some_and(answers) => (beside, Some(first)),
        Some(beside) => (first, Some(beside)),
    })
}

type Sent = Result<Got, Failed>;

/// Waits until one of two answers, or both have failed.
async fn both(
    mut one: Pin<&mut impl Future<Output = Result<Sent, Fault>>>,
    mut two: Pin<&mut impl Future<Output = Result<Sent, Fault>>>,
) -> Result<(Option<Sent>, Option<Sent>), Fault> {
    let (first, second) = tokio::select! {
        biased;
        sent = one.as_mut() => (Some(sent?), None),
        sent = two.as_mut() => (None, Some(sent?)),
    };
    Ok(match (first, second) {
        (Some(sent), _) if answers(&sent) => (Some(sent), None),
        (None, Some(sent)) if answers(&sent) => (None, Some(sent)),
        // One failed: all hope is on the other.
        (None, failed) => (Some(one.await?), failed),
        (failed, None) => (failed, Some(two.await?)),
        both => both,
    })
}

fn answers(sent: &Sent) -> bool {
    sent.as_ref().is_ok_and(|got| judge(got).is_answer())
}
