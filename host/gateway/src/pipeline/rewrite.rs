//! rewrite: policies change the request. Each sees what the ones before it made.

use std::rc::Rc;
use std::sync::Arc;

use weir_base::Fault;
use weir_policy::Hook;

use super::chain::Chain;
use super::hook::Running;
use super::open::Open;
use super::worker::Worker;
use super::{access, identify};

/// Lets the rewrite policies change the request, in order: the tenant's first. What they made of it
/// must be allowed by the operator's as if the caller had asked for it.
pub async fn run(worker: &Rc<Worker>, open: &mut Open, chain: &Chain) -> Result<(), Fault> {
    let mut tenant_changed = false;
    for binding in chain.with(Hook::Rewrite, open.share) {
        if !binding.is_tenants && std::mem::take(&mut tenant_changed) {
            access::again(worker, open, chain).await?;
        }
        let before = binding
            .is_tenants
            .then(|| Arc::new(open.call.request().clone()));
        let running = Running::new(open, binding, Hook::Rewrite);
        let answer = worker
            .policies
            .rewrite(&binding.version, running.scope(open), &open.facts.summary())
            .await;
        running.judge(open, answer)?;
        if let Some(before) = before {
            tenant_changed |= !open.call.request().is_sent_like(&before);
        }
        look_again(open)?;
    }
    if tenant_changed {
        access::again(worker, open, chain).await?;
    }
    Ok(())
}

/// What hooks are told after a change must be what will be sent.
fn look_again(open: &mut Open) -> Result<(), Fault> {
    let call = Arc::clone(&open.call);
    let mut request = call.request();
    if request.body_changed {
        let (asked, in_body) = (request.model.clone(), request.head.model.clone());
        identify::understand(&call, &mut request)?;
        // Where the edit left the body's model alone, a model that was set apart from it stays;
        // the body is mended when it is sent.
        if request.head.model == in_body {
            request.model = asked;
        }
    }
    open.facts.refresh(&request);
    Ok(())
}
