//! Calls that must go to one place: forced there by an operator's header, or because they name
//! something that only one provider account keeps.

use std::sync::Arc;

use weir_base::{Blame, Fault};
use weir_wire::kept;

use crate::identify::VirtualKey;
use crate::pipeline::open::Open;
use crate::pipeline::route::Planned;
use crate::pipeline::worker::Worker;

/// Names the channel that a call is to go to, for callers whose key has [`FORCE_LABEL`].
pub const FORCE_HEADER: &str = "x-weir-channel";
/// The label, of a key or its tenant, that allows it: `"true"`.
const FORCE_LABEL: &str = "weir.force_channel";

/// Where a call must go.
#[derive(Debug, Default)]
pub struct Steered {
    /// Whether nothing else may answer, so that no other model is asked either.
    pub fixed: bool,
    /// The id of the key that comes first.
    pub key: Option<Arc<str>>,
}

/// Leaves in `plan` only the place that the call must go to, where there is one.
pub fn steer(worker: &Worker, open: &Open, plan: &mut Vec<Planned>) -> Result<Steered, Fault> {
    let forced = {
        let request = open.call.request();
        let value = request.headers.get(FORCE_HEADER);
        value.map(|value| value.to_str().unwrap_or_default().to_owned())
    };
    match forced {
        Some(name) => force(open, &name, plan),
        None => pinned(worker, open, plan),
    }
}

fn force(open: &Open, name: &str, plan: &mut Vec<Planned>) -> Result<Steered, Fault> {
    if !may_force(&open.call.key) {
        return Err(Fault::new(
            Blame::Client,
            403,
            "channel_not_yours_to_choose",
            "The key of this call may not choose its channel; leave `x-weir-channel` out, or ask the operator for a key that may.",
        ));
    }
    if go_to(open, name, plan) {
        return Ok(Steered {
            fixed: true,
            key: None,
        });
    }
    let message = format!(
        "The channel that `x-weir-channel` names does not exist or does not serve this call to {} callers; check its name.",
        open.call.dialect.family().as_str()
    );
    Err(Fault::new(Blame::Client, 404, "channel_not_found", message))
}

fn may_force(key: &VirtualKey) -> bool {
    let label = key
        .labels
        .get(FORCE_LABEL)
        .or_else(|| key.tenant.labels.get(FORCE_LABEL));
    label.is_some_and(|value| value == "true")
}

fn pinned(worker: &Worker, open: &Open, plan: &mut Vec<Planned>) -> Result<Steered, Fault> {
    let mut pin = None;
    {
        let call = &open.call;
        let request = call.request();
        kept::named(call.dialect, call.uri.path(), &request.body, |id| {
            pin = worker.shared.pins.find(id);
            pin.is_some()
        });
    }
    let Some(pin) = pin else {
        return Ok(Steered::default());
    };
    if pin.tenant != *open.call.key.tenant.id {
        return Err(not_yours());
    }
    let kept_at = open.call.snapshot.channel(&pin.channel);
    if kept_at.is_some_and(|channel| open.left_out.contains(&channel.number)) {
        return Err(not_allowed());
    }
    if !go_to(open, &pin.channel, plan) {
        return Ok(Steered::default());
    }
    let keys = plan
        .first()
        .map_or(&[][..], |planned| planned.channel.keys.keys());
    let made = keys
        .iter()
        .find(|key| hex::encode(key.fingerprint) == pin.key);
    Ok(Steered {
        fixed: true,
        key: made.map(|key| Arc::clone(&key.id)),
    })
}

/// As a provider says it of what belongs to another account.
fn not_yours() -> Fault {
    Fault::new(
        Blame::Client,
        404,
        "not_found",
        "Something that this request names does not exist, or is not yours; check its ids.",
    )
}

/// A policy left out the only place where it is: what leaves a region out must hold for this too.
fn not_allowed() -> Fault {
    Fault::new(
        Blame::Policy,
        403,
        "channel_not_allowed",
        "Something that this request names is kept at a provider that the policies of this gateway do not allow for this call; leave it out, or ask the operator.",
    )
}

/// Leaves the channel of this name alone in the plan; false where it cannot be there. It need not
/// have been in the plan: what is kept there is nowhere else.
fn go_to(open: &Open, name: &str, plan: &mut Vec<Planned>) -> bool {
    if let Some(at) = plan
        .iter()
        .position(|planned| *planned.channel.name == *name)
    {
        plan.swap(0, at);
        plan.truncate(1);
        return true;
    }
    let family = open.call.dialect.family();
    let found = open
        .call
        .snapshot
        .channel(name)
        .filter(|channel| channel.serves(family, &open.call.key.tenant.id, &open.facts.model));
    let Some(channel) = found else { return false };
    plan.clear();
    plan.push(Planned::plain(channel, &open.facts.model, open.now_ms()));
    true
}
