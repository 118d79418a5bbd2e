//! access: may the call be made at all? Every policy must agree.

use std::rc::Rc;

use weir_base::{Blame, Fault};
use weir_policy::Hook;

use super::chain::{Binding, Chain};
use super::hook::{Running, recalled};
use super::open::Open;
use super::worker::Worker;

/// Asks the access policies in order; the first refusal ends the call.
pub async fn run(worker: &Rc<Worker>, open: &mut Open, chain: &Chain) -> Result<(), Fault> {
    if let Some(policy) = chain.missed() {
        let message = format!(
            "The policy `{policy}` cannot be run and is set to deny then; whoever wrote it must mend it."
        );
        return Err(Fault::new(Blame::Policy, 503, "policy_missing", message));
    }
    ask(worker, open, chain, |_| true).await
}

/// Asks the operator's policies once more, about what a tenant's policy has made of the request.
pub async fn again(worker: &Rc<Worker>, open: &mut Open, chain: &Chain) -> Result<(), Fault> {
    ask(worker, open, chain, |binding| !binding.is_tenants).await
}

async fn ask(
    worker: &Rc<Worker>,
    open: &mut Open,
    chain: &Chain,
    whom: fn(&Binding) -> bool,
) -> Result<(), Fault> {
    for binding in chain
        .with(Hook::Access, open.share)
        .filter(|binding| whom(binding))
    {
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
