//! A proxy on the way to a provider. Its login is a secret, so nothing here shows what was written.

use serde_json::json;
use weir_base::Secret;
use weir_upstream::Proxy;

use super::secret::SecretRef;
use crate::config::node::Node;
use crate::config::report::Report;
use crate::config::setting::{Kind, Setting, text};

/// A proxy's URL, or where it is to be taken from.
#[derive(Debug, Clone)]
pub(in crate::config) struct ProxyText(SecretRef);

impl Setting for ProxyText {
    fn kind() -> Kind {
        Kind::Text(
            "a proxy: \"http://[user:password@]host:port\", \"socks5://[user:password@]host:port\", or \"env:NAME\" or \"file:PATH\" where such a URL is kept",
        )
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        text(node, report, |text| Ok(text.to_owned())).and_then(|text: String| {
            if text.starts_with("env:") || text.starts_with("file:") {
                return SecretRef::read(node, report).map(Self);
            }
            match Proxy::parse(&text) {
                Ok(_) => Some(Self(SecretRef::Plain(Secret::new(text)))),
                Err(error) => {
                    report.error(&node.origin, &node.path, format!("{error}"));
                    None
                }
            }
        })
    }

    fn json(&self) -> serde_json::Value {
        match &self.0 {
            SecretRef::Plain(url) => match Proxy::parse(url.expose()) {
                Ok(proxy) => json!(proxy.to_string()),
                Err(_) => json!("(hidden)"),
            },
            reference => reference.json(),
        }
    }
}

impl ProxyText {
    /// The proxy. The error says what is wrong and never what was found.
    pub(in crate::config) fn resolve(&self, report: &Report<'_>) -> Result<Proxy, String> {
        let url = self.0.resolve(report)?;
        Proxy::parse(url.expose().trim()).map_err(|error| error.to_string())
    }
}
