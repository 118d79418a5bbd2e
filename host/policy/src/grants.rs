//! What an operator lets a policy reach: hosts, secrets, models, the firewall.
//!
//! The list of what needs a grant is here, and so is the check of every single use.

/// What a policy was granted. Nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Hosts that `http.send` and `wasi:http` may reach: "api.example.com", "*.example.com", each with an
    /// optional ":port"; without one, the port of the URL's scheme. "*" is every host.
    pub http: Vec<String>,
    /// Names of secrets that `secrets.get` may read.
    pub secrets: Vec<String>,
    /// Models that `models` may ask; "*" at either end stands for anything.
    pub models: Vec<String>,
    /// True where `firewall.ban` may be used.
    pub firewall: bool,
}

/// The interfaces of `weir:policy` that a component may import, and the setting that grants one.
/// None: free to every policy.
pub(crate) fn needed_grant(interface: &str) -> Option<Option<&'static str>> {
    match interface {
        "types" | "call" | "channels" | "edit" | "store" | "log" | "metrics" | "clock" => {
            Some(None)
        }
        "http" => Some(Some("http")),
        "secrets" => Some(Some("secrets")),
        "models" => Some(Some("models")),
        "firewall" => Some(Some("firewall")),
        _ => None,
    }
}

impl Grants {
    /// What nobody is granted: for looking at code before it is known whose it will be.
    pub(crate) fn everything() -> Self {
        Self {
            http: vec!["*".to_owned()],
            secrets: vec!["*".to_owned()],
            models: vec!["*".to_owned()],
            firewall: true,
        }
    }

    /// True where anything at all was granted under that setting.
    pub(crate) fn has(&self, grant: &str) -> bool {
        match grant {
            "http" => !self.http.is_empty(),
            "secrets" => !self.secrets.is_empty(),
            "models" => !self.models.is_empty(),
            "firewall" => self.firewall,
            _ => false,
        }
    }

    pub(crate) fn allows_secret(&self, name: &str) -> bool {
        self.secrets.iter().any(|granted| granted == name)
    }

    pub(crate) fn allows_model(&self, model: &str) -> bool {
        self.models.iter().any(|pattern| matches(pattern, model))
    }

    /// Whether this URL may be asked; the error is a sentence for the policy.
    ///
    /// Parsed with the same library that the request is made with later, so that there are no two
    /// opinions about which host it names.
    pub(crate) fn check_url(&self, url: &str) -> Result<(), String> {
        let uri: http::Uri = url.parse().map_err(|_| "not an absolute URL".to_owned())?;
        let default_port = match uri.scheme_str() {
            Some("https") => 443,
            Some("http") => 80,
            _ => return Err("the URL must begin with http:// or https://".to_owned()),
        };
        let Some(authority) = uri.authority() else {
            return Err("the URL names no host".to_owned());
        };
        if authority.as_str().contains('@') {
            return Err("the URL must not hold a user name or password".to_owned());
        }
        let host = authority.host().to_ascii_lowercase();
        let port = authority.port_u16().unwrap_or(default_port);
        let granted = self.http.iter().any(|grant| {
            let (pattern, granted_port) = split_port(grant);
            granted_port.unwrap_or(default_port) == port
                && matches(&pattern.to_ascii_lowercase(), &host)
        });
        if granted {
            Ok(())
        } else {
            Err(format!("`{host}:{port}` was not granted"))
        }
    }
}

fn split_port(grant: &str) -> (&str, Option<u16>) {
    match grant.rsplit_once(':') {
        // The colons of a bare IPv6 address are not a port's.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => port
            .parse()
            .map_or((grant, None), |port| (host, Some(port))),
        _ => (grant, None),
    }
}

/// Exact, or with `*` first or last standing for anything.
fn matches(pattern: &str, text: &str) -> bool {
    if let Some(tail) = pattern.strip_prefix('*') {
        text.ends_with(tail)
    } else if let Some(head) = pattern.strip_suffix('*') {
        text.starts_with(head)
    } else {
        pattern == text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_checked_by_host_and_port() {
        let grants = Grants {
            http: vec![
                "api.example.com".into(),
                "*.acme.test:8443".into(),
                "[::1]:9".into(),
            ],
            ..Grants::default()
        };
        for allowed in [
            "https://api.example.com/x?y",
            "http://API.example.com:80/",
            "https://a.b.acme.test:8443/",
            "http://[::1]:9/",
        ] {
            assert_eq!(grants.check_url(allowed), Ok(()), "{allowed}");
        }
        for refused in [
            "https://api.example.com.evil.test/",
            "https://api.example.com@evil.test/",
            "https://evil@api.example.com/",
            "https://api.example.com:8080/",
            "https://a.acme.test/",
            "ftp://api.example.com/",
            "/relative",
            "http://169.254.169.254/",
            "http://[::1]/",
            "",
        ] {
            assert!(grants.check_url(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn models_match_by_star_and_secrets_by_name() {
        let grants = Grants {
            models: vec!["gpt-*".into(), "claude".into()],
            secrets: vec!["A".into()],
            ..Grants::default()
        };
        assert!(grants.allows_model("gpt-5") && grants.allows_model("claude"));
        assert!(!grants.allows_model("claude-2") && !grants.allows_model("xgpt-5"));
        assert!(grants.allows_secret("A") && !grants.allows_secret("AB"));
        assert!(!Grants::default().has("http") && grants.has("models"));
    }
}
