//! How each kind of entity becomes a document and comes back.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{
    Ban, Channel, DisabledKey, PolicySetting, PolicyState, PolicyVersion, ProviderKey, Tenant,
    VirtualKey,
};
use crate::backend::Document;
use crate::error::StoreError;
use crate::master_key::{MasterKey, sha256};

/// The kinds of entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is its own name")]
pub enum Kind {
    Tenant,
    VirtualKey,
    Channel,
    ProviderKey,
    DisabledKey,
    PolicyVersion,
    PolicyState,
    PolicySetting,
    Ban,
}

impl Kind {
    /// The name of its table.
    pub fn table(self) -> &'static str {
        match self {
            Kind::Tenant => "tenants",
            Kind::VirtualKey => "virtual_keys",
            Kind::Channel => "channels",
            Kind::ProviderKey => "provider_keys",
            Kind::DisabledKey => "disabled_keys",
            Kind::PolicyVersion => "policy_versions",
            Kind::PolicyState => "policy_states",
            Kind::PolicySetting => "policy_settings",
            Kind::Ban => "bans",
        }
    }

    /// What goes when an entity of this kind goes.
    pub fn children(self) -> &'static [Kind] {
        match self {
            Kind::Tenant => &[Kind::VirtualKey],
            Kind::Channel => &[Kind::ProviderKey, Kind::DisabledKey],
            _ => &[],
        }
    }

    /// Whether lists bring the blob: a sealed secret is small, a policy's file is not.
    pub fn lists_blob(self) -> bool {
        self == Kind::ProviderKey
    }
}

/// Something that the store keeps whole.
pub trait Entity: Serialize + DeserializeOwned + Send + 'static {
    /// Its kind.
    const KIND: Kind;

    /// Unique within the kind.
    fn id(&self) -> String;

    /// The id of what it belongs to.
    fn parent(&self) -> &str {
        ""
    }

    /// What must be unique within the parent, besides the id.
    fn unique_name(&self) -> Option<&str> {
        None
    }

    /// Whether the store can take it.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] with the reason.
    fn check(&self) -> Result<(), StoreError>;

    /// Notes the time of an update.
    fn touch(&mut self, _now_ms: u64) {}

    /// What is stored beside the JSON.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be encrypted.
    fn blob(&self, _master_key: &MasterKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    /// Takes back what [`Entity::blob`] gave.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be decrypted.
    fn set_blob(&mut self, _blob: Vec<u8>, _master_key: &MasterKey) -> Result<(), StoreError> {
        Ok(())
    }
}

pub(crate) fn to_document<T: Entity>(
    entity: &T,
    master_key: &MasterKey,
) -> Result<Document, StoreError> {
    entity.check()?;
    let body = serde_json::to_string(entity)
        .map_err(|error| StoreError::Invalid(format!("not JSON: {error}")))?;
    Ok(Document {
        kind: T::KIND,
        id: entity.id(),
        parent: entity.parent().to_owned(),
        name: entity.unique_name().map(str::to_owned),
        body,
        blob: entity.blob(master_key)?,
    })
}

pub(crate) fn from_document<T: Entity>(
    document: Document,
    master_key: &MasterKey,
) -> Result<T, StoreError> {
    let Document {
        kind,
        id,
        body,
        blob,
        ..
    } = document;
    let mut entity: T = serde_json::from_str(&body).map_err(|error| {
        StoreError::Unavailable(format!(
            "the entry {id} of {} is broken: {error}",
            kind.table()
        ))
    })?;
    if let Some(blob) = blob {
        entity.set_blob(blob, master_key)?;
    }
    Ok(entity)
}

impl Entity for Tenant {
    const KIND: Kind = Kind::Tenant;

    fn id(&self) -> String {
        self.id.clone()
    }

    fn check(&self) -> Result<(), StoreError> {
        slug("a tenant's id", &self.id)
    }

    fn touch(&mut self, now_ms: u64) {
        self.updated_ms = now_ms;
    }
}

impl Entity for VirtualKey {
    const KIND: Kind = Kind::VirtualKey;

    fn id(&self) -> String {
        self.id.clone()
    }

    fn parent(&self) -> &str {
        &self.tenant
    }

    fn unique_name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn check(&self) -> Result<(), StoreError> {
        slug("a key's id", &self.id)?;
        slug("a tenant's id", &self.tenant)?;
        named("a key's name", &self.name)
    }

    fn touch(&mut self, now_ms: u64) {
        self.updated_ms = now_ms;
    }
}

impl Entity for Channel {
    const KIND: Kind = Kind::Channel;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn check(&self) -> Result<(), StoreError> {
        slug("a channel's name", &self.name)
    }

    fn touch(&mut self, now_ms: u64) {
        self.updated_ms = now_ms;
    }
}

impl Entity for ProviderKey {
    const KIND: Kind = Kind::ProviderKey;

    fn id(&self) -> String {
        self.id.clone()
    }

    fn parent(&self) -> &str {
        &self.channel
    }

    fn check(&self) -> Result<(), StoreError> {
        slug("a provider key's id", &self.id)?;
        slug("a channel's name", &self.channel)?;
        if self.secret.expose().is_empty() {
            return Err(StoreError::Invalid(
                "a provider key's secret is empty".to_owned(),
            ));
        }
        Ok(())
    }

    fn blob(&self, master_key: &MasterKey) -> Result<Option<Vec<u8>>, StoreError> {
        master_key.seal(&self.secret, &self.id).map(Some)
    }

    fn set_blob(&mut self, blob: Vec<u8>, master_key: &MasterKey) -> Result<(), StoreError> {
        self.secret = master_key.unseal(&blob, &self.id)?;
        Ok(())
    }
}

impl Entity for DisabledKey {
    const KIND: Kind = Kind::DisabledKey;

    fn id(&self) -> String {
        Self::id_of(&self.channel, &self.fingerprint)
    }

    fn parent(&self) -> &str {
        &self.channel
    }

    fn check(&self) -> Result<(), StoreError> {
        slug("a channel's name", &self.channel)
    }
}

impl Entity for PolicyVersion {
    const KIND: Kind = Kind::PolicyVersion;

    fn id(&self) -> String {
        Self::id_of(&self.policy, &self.digest)
    }

    fn parent(&self) -> &str {
        &self.policy
    }

    fn check(&self) -> Result<(), StoreError> {
        named("a policy's name", &self.policy)?;
        if hex::encode(sha256(&self.bytes)) != self.digest {
            return Err(StoreError::Invalid(
                "a policy version's digest is not the SHA-256 of its bytes".to_owned(),
            ));
        }
        Ok(())
    }

    fn blob(&self, _: &MasterKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(Some(self.bytes.clone()))
    }

    fn set_blob(&mut self, blob: Vec<u8>, _: &MasterKey) -> Result<(), StoreError> {
        self.bytes = blob;
        Ok(())
    }
}

impl Entity for PolicyState {
    const KIND: Kind = Kind::PolicyState;

    fn id(&self) -> String {
        self.policy.clone()
    }

    fn check(&self) -> Result<(), StoreError> {
        named("a policy's name", &self.policy)
    }
}

impl Entity for PolicySetting {
    const KIND: Kind = Kind::PolicySetting;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn check(&self) -> Result<(), StoreError> {
        named("a policy's name", &self.name)
    }
}

impl Entity for Ban {
    const KIND: Kind = Kind::Ban;

    fn id(&self) -> String {
        self.ip.to_string()
    }

    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Ids stand in paths and logs, so they keep to letters that mean nothing anywhere.
fn slug(what: &str, text: &str) -> Result<(), StoreError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(is_plain) {
        return Err(StoreError::Invalid(format!(
            "{what} has 1 to 64 ASCII letters, digits, `-`, `_` or `.`"
        )));
    }
    Ok(())
}

fn named(what: &str, text: &str) -> Result<(), StoreError> {
    if text.trim().is_empty() || text.len() > 200 || text.contains(char::is_control) {
        return Err(StoreError::Invalid(format!(
            "{what} has 1 to 200 bytes and no control characters"
        )));
    }
    Ok(())
}
