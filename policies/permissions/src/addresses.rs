//! Client addresses by network, with denials.

use std::net::IpAddr;

use ipnet::IpNet;

/// `["10.0.0.0/8", "2001:db8::/32", "-10.9.0.0/16"]`: a denial wins wherever it stands, and a list
/// of denials alone begins with everything.
#[derive(Debug, serde::Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(crate) struct Addresses {
    allowed: Vec<IpNet>,
    denied: Vec<IpNet>,
}

impl TryFrom<Vec<String>> for Addresses {
    type Error = String;

    fn try_from(entries: Vec<String>) -> Result<Self, String> {
        if entries.is_empty() {
            return Err("an empty list matches nothing; leave the setting out".to_owned());
        }
        let (mut allowed, mut denied) = (Vec::new(), Vec::new());
        for entry in &entries {
            match entry.strip_prefix('-') {
                Some(rest) => denied.push(network(rest)?),
                None => allowed.push(network(entry)?),
            }
        }
        Ok(Addresses { allowed, denied })
    }
}

impl Addresses {
    /// True if the list holds the address. What is not an address is in no list.
    pub(crate) fn contains(&self, address: &str) -> bool {
        let Ok(address) = address.parse::<IpAddr>() else {
            return false;
        };
        // ::ffff:192.0.2.1 is how a dual-stack listener shows 192.0.2.1.
        let address = address.to_canonical();
        (self.allowed.is_empty()
            || self
                .allowed
                .iter()
                .any(|network| network.contains(&address)))
            && !self.denied.iter().any(|network| network.contains(&address))
    }
}

/// A network, or a single address without its length.
fn network(text: &str) -> Result<IpNet, String> {
    let parsed = match text.parse::<IpNet>() {
        Ok(network) => Some(network),
        Err(_) => text
            .parse::<IpAddr>()
            .ok()
            .map(|address| IpNet::from(address.to_canonical())),
    };
    match parsed {
        // A v4 network written as mapped v6, where it is one.
        Some(IpNet::V6(v6)) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => IpNet::new(v4.into(), v6.prefix_len() - 96).map_err(|e| e.to_string()),
            None => Ok(IpNet::V6(v6)),
        },
        Some(network) => Ok(network),
        None => Err(format!("`{text}` is not a network such as 10.0.0.0/8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(entries: &[&str], address: &str) -> bool {
        let entries = entries
            .iter()
            .map(|entry| (*entry).to_owned())
            .collect::<Vec<_>>();
        Addresses::try_from(entries).unwrap().contains(address)
    }

    #[test]
    fn both_families() {
        assert!(contains(&["10.0.0.0/8"], "10.1.2.3") && !contains(&["10.0.0.0/8"], "11.1.2.3"));
        assert!(
            contains(&["2001:db8::/32"], "2001:db8::1") && !contains(&["2001:db8::/32"], "::1")
        );
        assert!(contains(&["192.0.2.1"], "192.0.2.1") && !contains(&["192.0.2.1"], "192.0.2.2"));
    }

    #[test]
    fn mapped_addresses_are_v4() {
        assert!(contains(&["10.0.0.0/8"], "::ffff:10.1.2.3"));
        assert!(contains(&["::ffff:10.0.0.0/104"], "10.1.2.3"));
        assert!(contains(&["::ffff:10.1.2.3"], "10.1.2.3"));
    }

    #[test]
    fn denials_and_nonsense() {
        assert!(!contains(&["10.0.0.0/8", "-10.9.0.0/16"], "10.9.1.1"));
        assert!(
            contains(&["-10.9.0.0/16"], "192.0.2.1") && !contains(&["-10.9.0.0/16"], "10.9.1.1")
        );
        assert!(!contains(&["0.0.0.0/0", "::/0"], "") && !contains(&["-10.0.0.0/8"], "unknown"));
        assert!(Addresses::try_from(vec!["10.0.0.0/33".to_owned()]).is_err());
    }
}
