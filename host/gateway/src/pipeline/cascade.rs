//! Gateways behind gateways: what a call tells the next Weir, and how a loop is seen.
//!
//! Only channels with `cascade` tell anything. What a caller says about hops is believed, whoever it
//! is, for it can only bring the refusal nearer; nobody can take hops back but by leaving all of
//! them out, which is a new call. Policies can neither set nor remove these headers.

use http::{HeaderMap, HeaderName, HeaderValue};
use weir_base::{Blame, Fault};

use super::call::Call;
use super::fault::REQUEST_ID;

/// How many gateways a call has passed.
const HOPS: HeaderName = HeaderName::from_static("x-weir-hops");
/// Which gateways, the last one last.
const VIA: HeaderName = HeaderName::from_static("x-weir-via");

/// Whether a header is one of those that gateways tell each other. Nothing else may set them, and
/// no provider gets them.
pub fn is_ours(name: &str) -> bool {
    name.starts_with("x-weir-")
}

/// How many gateways a request has passed, as far as it says; the most that any of its lines says.
/// Costs the usual call, which has passed none, one look into the headers.
pub fn hops(headers: &HeaderMap) -> u32 {
    if !headers.contains_key(HOPS) {
        return 0;
    }
    let lines = headers.get_all(HOPS).iter();
    // What is no number was not written by a gateway, and is no reason to let it count less.
    let said = lines.map(|line| {
        let number = line.to_str().ok().and_then(|text| text.trim().parse().ok());
        number.unwrap_or(1)
    });
    let passed = u32::try_from(via(headers).count()).unwrap_or(u32::MAX);
    said.max().unwrap_or(0).max(passed)
}

/// Refuses a call that goes round in circles.
pub fn check(call: &Call, node: &HeaderValue) -> Result<(), Fault> {
    if call.hops == 0 {
        return Ok(());
    }
    let max = call.snapshot.config.limits.hops_max;
    let message = if via(&call.request().headers).any(|passed| passed == node.as_bytes()) {
        "This call has been at this gateway before: its channels and those of another gateway lead to each other; tell the operator.".to_owned()
    } else if call.hops > max {
        format!(
            "This call has passed {} gateways, more than the {max} that this one allows (limits.hops_max); their channels may lead in a circle.",
            call.hops
        )
    } else {
        return Ok(());
    };
    Err(Fault::new(Blame::Client, 508, "loop_detected", message))
}

/// Tells the next gateway what it must know. `came` are the headers that the call came with.
pub fn mark(out: &mut HeaderMap, call: &Call, came: &HeaderMap, node: &HeaderValue) {
    out.insert(REQUEST_ID, call.id_header.clone());
    out.insert(HOPS, HeaderValue::from(call.hops.saturating_add(1)));
    let passed = via(came).chain([node.as_bytes()]).collect::<Vec<_>>();
    if let Ok(passed) = HeaderValue::from_bytes(&passed.join(&b", "[..])) {
        out.insert(VIA, passed);
    }
}

/// The gateways that a request says it has passed.
fn via(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(VIA).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|passed| !passed.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn hops_are_never_counted_down() {
        assert_eq!(hops(&headers(&[])), 0);
        assert_eq!(hops(&headers(&[(HOPS, "3")])), 3);
        assert_eq!(hops(&headers(&[(HOPS, "7"), (HOPS, "0")])), 7);
        assert_eq!(hops(&headers(&[(HOPS, "-4")])), 1);
        assert_eq!(hops(&headers(&[(HOPS, "99999999999999")])), 1);
        assert_eq!(hops(&headers(&[(HOPS, "0"), (VIA, "a, b"), (VIA, "c")])), 3);
    }

    #[test]
    fn gateways_are_listed_in_order() {
        let came = headers(&[(VIA, "a,b"), (VIA, " c ,")]);
        let passed: Vec<_> = via(&came).collect();
        assert_eq!(passed, [b"a", b"b", b"c"]);
    }
}
