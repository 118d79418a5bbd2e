//! access: may the call be made at all? Every policy must agree.

use std::rc::Rc;

use weir_base::Fault;
use weir_policy::Hook;

use super::chain::Chain;
use super::hook::{Running, recalled};
use super::open::Open;
use super::worker::Worker;

/// Asks the access policies in order; the first refusal ends the call.
pub async fn run(worker: &Rc<Worker>, open: &mut Open, chain: &Chain) -> Result<(), Fault> {
    for binding in chain.with(Hook::Access, open.share) {
        if recalled(worker, open, binding, Hook::Access).is_some() {
            continue;
        }
        let running = Running::new(open, binding, Hook::Access);
        let answer = worker
            .policies
            .authorize(&binding.version, &open.scope, &open.facts.summary())
            .await;
        running.judge(open, answer)?;
    }
    Ok(())
}
