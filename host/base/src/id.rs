//! The id of a call: its place in the ledger and the value of `x-request-id`.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// Identifies one call. Ids made later sort later (UUID version 7, RFC 9562), so the ledger's
/// primary key grows at one end and needs no second index for time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(Uuid);

impl CallId {
    /// A new id, of this moment.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The sixteen bytes that the ledger stores.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// The id with these sixteen bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl Default for CallId {
    fn default() -> Self {
        Self::new()
    }
}

/// `req_` and 32 hexadecimal digits.
impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "req_{}", self.0.simple())
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a call id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a call id is `req_` followed by 32 hexadecimal digits")]
pub struct NotACallId;

impl FromStr for CallId {
    type Err = NotACallId;

    fn from_str(text: &str) -> Result<Self, NotACallId> {
        let digits = text.strip_prefix("req_").ok_or(NotACallId)?;
        if digits.len() != 32 {
            return Err(NotACallId);
        }
        Uuid::try_parse(digits).map(Self).map_err(|_| NotACallId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_later_ids_sort_later() {
        let (first, second) = (CallId::new(), CallId::new());
        assert_eq!(first.to_string().parse::<CallId>(), Ok(first));
        assert!(first < second);
        assert_eq!("req_zz".parse::<CallId>(), Err(NotACallId));
    }
}
