//! A call's way through the gateway, phase by phase.
//!
//! Never does: wait for the database, parse what it need not, retry after the first byte (but for the
//! rest of an answer, where an operator wants that: `resume.rs`), or let a
//! call end without a ledger row. It does not know who listens or who administers.
//! Read first: `run`, the list of the phases; each phase is the file of its name.

mod access;
mod answer;
mod attempt;
pub mod audit;
mod body;
pub mod budget;
pub mod call;
mod cascade;
pub mod chain;
pub mod channel;
pub mod channel_test;
mod exchange;
mod fault;
pub mod health;
pub(crate) mod hook;
mod host;
mod identify;
pub mod inner;
mod limit;
pub(crate) mod look;
pub(crate) mod neutral;
mod offer;
mod open;
pub mod pins;
pub mod probe;
mod question;
mod relay;
mod resume;
pub mod retest;
mod rewrite;
mod route;
mod settle;
pub mod snapshot;
mod target;
pub mod trial;
pub mod worker;

pub use body::{Broken, ReplyBody};
pub use snapshot::Snapshot;
pub use worker::{Shared, Worker};

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use weir_base::Fault;

use crate::telemetry::Phase;
use attempt::Reply;
use open::Open;

/// Takes one request through the gateway and brings the reply. Never fails: what goes wrong
/// becomes a reply in the caller's dialect.
pub async fn handle(
    worker: &Rc<Worker>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    // Who is it? Refused here, a caller is nobody: there is no tenant to put into the ledger.
    let (mut open, body) = match identify::caller(worker, peer, request) {
        Ok(known) => known,
        Err(stranger) => return fault::to_stranger(worker, &stranger),
    };
    match run(worker, &mut open, body).await {
        Ok(reply) => relay::start(worker, open, reply).await,
        Err(fault) => fault::to_caller(open, &fault),
    }
}

/// The phases between knowing the caller and having a reply to send.
async fn run(worker: &Rc<Worker>, open: &mut Open, body: Incoming) -> Result<Reply, Fault> {
    // What does it ask for? Of a known caller only: strangers' bodies are not read.
    identify::request(open, body).await?;
    open.passed(Phase::Identify);
    decide(worker, open).await
}

/// The phases of a call that is known and understood, a caller's or a policy's own.
async fn decide(worker: &Rc<Worker>, open: &mut Open) -> Result<Reply, Fault> {
    let chain = Arc::clone(&open.chain);
    // May it be made at all? Before anything is changed or counted.
    access::run(worker, open, &chain).await?;
    open.decided(Phase::Access);
    // Then changed: what is counted and routed is the request as policies leave it.
    rewrite::run(worker, open, &chain).await?;
    open.decided(Phase::Rewrite);
    // Then counted, all limits or none, before anything costs money.
    limit::run(worker, open, &chain).await?;
    open.decided(Phase::Limit);
    // A cached or canned answer costs no provider call, but counts as a request.
    if let Some(reply) = answer::run(worker, open, &chain).await? {
        open.decided(Phase::Answer);
        return Ok(reply);
    }
    open.decided(Phase::Answer);
    // Where to? Policies order the channels that serve the model.
    let plan = route::run(worker, open, &chain).await?;
    open.passed(Phase::Route);
    // Try them in order, until one answers.
    let reply = attempt::run(worker, open, plan, &chain).await?;
    open.passed(Phase::Attempt);
    Ok(reply)
}
