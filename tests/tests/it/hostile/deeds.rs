//! What a policy does in a hook that any toolchain can make: the table of `policies/testing/hostile`.

use super::arena::Hostile;
use super::suite::{Case, Fate};

/// Far more memory than there should be, for answers that are too large.
const ROOMY: &str = "memory_max_bytes = 268435456\ndeadline_ms = 1000";

pub(super) fn cases() -> Vec<Case> {
    use Fate::{Audit, Denied, Fails, Passes, Stream};
    let case = |what, config, fate| Case {
        what,
        hostile: Hostile::told(config),
        fate,
    };
    let roomy = |what, config, fate| Case {
        what,
        hostile: Hostile {
            settings: ROOMY,
            ..Hostile::told(config)
        },
        fate,
    };
    let patient = |what, config, fate| Case {
        what,
        hostile: Hostile::told(config).patient(),
        fate,
    };
    vec![
        case(
            "endless loop in access",
            "access = \"loop\"",
            Fails("policy_deadline"),
        ),
        case(
            "endless loop in rewrite",
            "rewrite = \"loop\"",
            Fails("policy_deadline"),
        ),
        case(
            "endless loop in limit",
            "limit = \"loop\"",
            Fails("policy_deadline"),
        ),
        case(
            "endless loop in answer",
            "answer = \"loop\"",
            Fails("policy_deadline"),
        ),
        case(
            "endless loop in route",
            "route = \"loop\"",
            Fails("policy_deadline"),
        ),
        case(
            "endless loop in reply",
            "reply = \"loop\"",
            Fails("policy_deadline"),
        ),
        case(
            "endless loop in events.open",
            "open = \"loop\"\npush = \"hold\"",
            Fails("policy_deadline"),
        ),
        case(
            "endless loop in events.push",
            "push = \"loop\"",
            Stream("policy_deadline"),
        ),
        case(
            "endless loop in events.close",
            "close = \"loop\"",
            Stream("policy_deadline"),
        ),
        case(
            "endless loop in audit",
            "audit = \"loop\"",
            Audit("policy_deadline"),
        ),
        case(
            "busy for half its deadline in each hook",
            "access = \"busy\"\nrewrite = \"busy\"\nlimit = \"busy\"\nroute = \"busy\"\npush = \"busy\"",
            Passes,
        ),
        case(
            "trap in access",
            "access = \"trap\"",
            Fails("policy_trapped"),
        ),
        case(
            "trap in rewrite",
            "rewrite = \"trap\"",
            Fails("policy_trapped"),
        ),
        case("trap in limit", "limit = \"trap\"", Fails("policy_trapped")),
        case(
            "trap in answer",
            "answer = \"trap\"",
            Fails("policy_trapped"),
        ),
        case("trap in route", "route = \"trap\"", Fails("policy_trapped")),
        case("trap in reply", "reply = \"trap\"", Fails("policy_trapped")),
        case(
            "trap in events.open",
            "open = \"trap\"\npush = \"hold\"",
            Fails("policy_trapped"),
        ),
        case(
            "trap in events.push",
            "push = \"trap\"",
            Stream("policy_trapped"),
        ),
        case(
            "trap in events.close",
            "close = \"trap\"",
            Stream("policy_trapped"),
        ),
        case("trap in audit", "audit = \"trap\"", Audit("policy_trapped")),
        patient(
            "recursion without end",
            "access = \"recurse\"",
            Fails("policy_trapped"),
        ),
        patient(
            "memory.grow to the cap",
            "access = \"grow\"",
            Fails("policy_memory"),
        ),
        patient(
            "a million host calls",
            "access = \"host_calls\"",
            Fails("policy_trapped"),
        ),
        patient(
            "ten thousand log lines a hook",
            "access = \"log_lines\"",
            Fails("policy_trapped"),
        ),
        case(
            "log lines of a megabyte",
            "access = \"log_bytes\"",
            Fails("policy_"),
        ),
        case("a store full of keys", "access = \"store_keys\"", Passes),
        case(
            "a store full of bytes",
            "access = \"store_bytes\"",
            Denied("refused_by_host"),
        ),
        case(
            "keys of a megabyte",
            "access = \"store_huge_key\"",
            Denied("refused_by_host"),
        ),
        case(
            "a thousand names of metrics a hook",
            "access = \"metric_names\"",
            Passes,
        ),
        case(
            "a thousand label values a hook",
            "access = \"metric_labels\"",
            Passes,
        ),
        patient(
            "a metric with 100,000 labels",
            "access = \"metric_many_labels\"",
            Fails("policy_trapped"),
        ),
        case(
            "edit outside of rewrite",
            "access = \"edit\"",
            Denied("refused_by_host"),
        ),
        case("call inside of init", "init = \"call\"", Passes),
        case(
            "a new code for each denial",
            "access = \"deny\"",
            Denied("code_"),
        ),
        roomy(
            "a denial that is none",
            "access = \"deny_badly\"",
            Fails("policy_"),
        ),
        roomy(
            "100 MB from answer",
            "answer = \"big\"",
            Fails("policy_trapped"),
        ),
        roomy(
            "100 MB from reply",
            "reply = \"big\"",
            Fails("policy_trapped"),
        ),
        roomy(
            "100 MB from events.push",
            "push = \"big\"",
            Stream("policy_trapped"),
        ),
        roomy(
            "100 MB from events.close",
            "close = \"big\"",
            Stream("policy_trapped"),
        ),
        roomy(
            "100 MB from limit",
            "limit = \"big\"",
            Fails("policy_trapped"),
        ),
        roomy(
            "200,000 headers from answer",
            "answer = \"many\"",
            Fails("policy_"),
        ),
        roomy(
            "200,000 rules from limit",
            "limit = \"many\"",
            Fails("policy_"),
        ),
        roomy(
            "200,000 attempts from route",
            "route = \"many\"",
            Fails("policy_"),
        ),
        roomy(
            "200,000 events for one",
            "push = \"many\"",
            Stream("policy_"),
        ),
        roomy(
            "200,000 events at the end",
            "close = \"many\"",
            Stream("policy_"),
        ),
        case(
            "a stream held back for ever",
            "push = \"hold\"",
            Fate::Silent,
        ),
        case(
            "a denial in the middle of a stream",
            "push = \"deny\"",
            Stream("code_"),
        ),
    ]
}
