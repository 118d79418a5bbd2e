//! What a hook answered, checked before anybody relies on it.
//!
//! The error is the reason of a [`crate::FailureKind::BadAnswer`]. The guest did what it was
//! asked to, so its instance lives on.

use http::{HeaderName, HeaderValue};

use crate::bounds;
use crate::types::{
    Action, Candidate, Denial, LimitRule, LimitUnit, LimitWindow, NewEvent, Response, RouteAttempt,
};

type Checked = Result<(), String>;

/// A denial that can be rendered in any dialect.
pub(crate) fn check_denial(denial: &Denial) -> Checked {
    if !(400..=599).contains(&denial.status) {
        return Err(format!(
            "the status of a denial is 400 to 599, not {}",
            denial.status
        ));
    }
    let snake_case = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    if denial.code.is_empty() || denial.code.len() > 64 || !denial.code.bytes().all(snake_case) {
        return Err("the code of a denial is up to 64 of a-z, 0-9 and _".to_owned());
    }
    if denial.message.len() > 4096 {
        return Err("the message of a denial has at most 4096 bytes".to_owned());
    }
    Ok(())
}

/// Rules that can be counted.
pub(crate) fn check_rules(rules: &[LimitRule]) -> Checked {
    if rules.len() > bounds::RULES_MAX {
        return Err(format!("more than {} rules", bounds::RULES_MAX));
    }
    for rule in rules {
        if rule.key.len() > bounds::RULE_KEY_MAX_BYTES {
            let max = bounds::RULE_KEY_MAX_BYTES;
            return Err(format!("the key of a rule has more than {max} bytes"));
        }
        if matches!(rule.window, LimitWindow::Sliding(0)) {
            return Err("a sliding window of no seconds".to_owned());
        }
        let in_flight = matches!(rule.unit, LimitUnit::InFlight);
        let call = matches!(rule.window, LimitWindow::Call);
        if in_flight != call {
            return Err(
                "`in-flight` is counted over the window `call`, nothing else is".to_owned(),
            );
        }
    }
    Ok(())
}

/// Attempts at channels that there are.
pub(crate) fn check_attempts(attempts: &[RouteAttempt], candidates: &[Candidate]) -> Checked {
    if attempts.len() > bounds::ATTEMPTS_MAX {
        return Err(format!("more than {} attempts", bounds::ATTEMPTS_MAX));
    }
    for attempt in attempts {
        if !candidates
            .iter()
            .any(|candidate| candidate.channel == attempt.channel)
        {
            return Err("an attempt at a channel that was not among the candidates".to_owned());
        }
    }
    Ok(())
}

/// A response that can be sent.
pub(crate) fn check_response(response: &Response) -> Checked {
    if !(200..=599).contains(&response.status) {
        return Err(format!(
            "the status of a response is 200 to 599, not {}",
            response.status
        ));
    }
    let headers = &response.headers;
    if headers.len() > bounds::RESPONSE_HEADERS_MAX {
        let max = bounds::RESPONSE_HEADERS_MAX;
        return Err(format!("a response has at most {max} headers"));
    }
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > bounds::RESPONSE_HEADERS_MAX_BYTES {
        let max = bounds::RESPONSE_HEADERS_MAX_BYTES;
        return Err(format!(
            "the headers of a response have at most {max} bytes"
        ));
    }
    for (name, value) in headers {
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err("a response header with a name that HTTP does not allow".to_owned());
        }
        if HeaderValue::from_str(value).is_err() {
            return Err(format!(
                "the header `{name}` has a value that HTTP does not allow"
            ));
        }
    }
    Ok(())
}

/// What becomes of an event, in a number that can be sent.
pub(crate) fn check_action(action: &Action) -> Checked {
    match action {
        Action::Pass | Action::Drop => Ok(()),
        Action::Replace(events) => check_events(events),
    }
}

/// Events in a number that can be sent.
pub(crate) fn check_events(events: &[NewEvent]) -> Checked {
    if events.len() > bounds::EVENTS_MAX {
        return Err(format!("more than {} events", bounds::EVENTS_MAX));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(status: u16, code: &str) -> Denial {
        Denial {
            status,
            code: code.into(),
            message: String::new(),
            retry_after_ms: None,
        }
    }

    #[test]
    fn denials_have_a_status_and_a_code() {
        assert!(check_denial(&denial(403, "not_allowed")).is_ok());
        assert!(check_denial(&denial(200, "not_allowed")).is_err());
        assert!(check_denial(&denial(403, "")).is_err());
        assert!(check_denial(&denial(403, "bad\r\ncode")).is_err());
    }

    #[test]
    fn rules_fit_their_windows() {
        let rule = |unit, window| {
            [LimitRule {
                key: "k".into(),
                unit,
                window,
                limit: 1,
            }]
        };
        assert!(check_rules(&rule(LimitUnit::Requests, LimitWindow::Sliding(60))).is_ok());
        assert!(check_rules(&rule(LimitUnit::InFlight, LimitWindow::Call)).is_ok());
        assert!(check_rules(&rule(LimitUnit::Requests, LimitWindow::Sliding(0))).is_err());
        assert!(check_rules(&rule(LimitUnit::Requests, LimitWindow::Call)).is_err());
        assert!(check_rules(&rule(LimitUnit::InFlight, LimitWindow::Day)).is_err());
    }

    #[test]
    fn response_headers_are_http() {
        let with = |name: &str, value: &str| Response {
            status: 200,
            headers: vec![(name.into(), value.into())],
            body: vec![],
        };
        assert!(check_response(&with("x-a", "b")).is_ok());
        assert!(check_response(&with("x a", "b")).is_err());
        assert!(check_response(&with("x-a", "b\r\nx-c: d")).is_err());
        assert!(check_response(&with("x-a", &"b".repeat(70_000))).is_err());
        let many = Response {
            status: 200,
            headers: vec![("x-a".into(), "b".into()); 257],
            body: vec![],
        };
        assert!(check_response(&many).is_err());
        assert!(
            check_response(&Response {
                status: 99,
                headers: vec![],
                body: vec![]
            })
            .is_err()
        );
    }
}
