//! What a sticky choice of a key goes by.

use http::HeaderName;
use serde_json::json;

use crate::config::node::Node;
use crate::config::report::Report;
use crate::config::setting::{Kind, Setting, text};

/// What calls have in common that are to take the same provider key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StickyBy {
    /// The virtual key.
    Key,
    /// The tenant.
    Tenant,
    /// A label of the virtual key or its tenant.
    Label(String),
    /// `prompt_cache_key` of the body.
    PromptCacheKey,
    /// A header of the request.
    Header(HeaderName),
}

impl StickyBy {
    /// The text in the settings.
    pub fn text(&self) -> String {
        match self {
            Self::Key => "key".to_owned(),
            Self::Tenant => "tenant".to_owned(),
            Self::Label(name) => format!("label:{name}"),
            Self::PromptCacheKey => "prompt_cache_key".to_owned(),
            Self::Header(name) => format!("header:{name}"),
        }
    }
}

impl Setting for StickyBy {
    fn kind() -> Kind {
        Kind::Text("\"key\", \"tenant\", \"label:NAME\", \"prompt_cache_key\" or \"header:NAME\"")
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        text(node, report, |text| match text.split_once(':') {
            Some(("label", name)) if !name.is_empty() => Ok(Self::Label(name.to_owned())),
            Some(("header", name)) => HeaderName::from_bytes(name.as_bytes())
                .map(Self::Header)
                .map_err(|_| format!("{name:?} is no header name")),
            None if text == "key" => Ok(Self::Key),
            None if text == "tenant" => Ok(Self::Tenant),
            None if text == "prompt_cache_key" => Ok(Self::PromptCacheKey),
            _ => Err(format!("must be {}, not {text:?}", Self::kind().phrase())),
        })
    }

    fn json(&self) -> serde_json::Value {
        json!(self.text())
    }
}
