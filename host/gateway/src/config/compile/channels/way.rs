//! The way to a channel's provider: its proxy, its certificates and its times.

use std::path::PathBuf;

use weir_base::Operation;
use weir_upstream::{ClientFiles, Proxy, Tls, TlsError, TlsSettings};

use super::is_fake;
use crate::config::model;
use crate::config::report::Report;
use crate::config::setting::At;
use crate::config::written::{CallKind, Channel, ChannelTimeout};

/// Reports what has no meaning with the rest of the channel.
pub(super) fn check(channel: &Channel, report: &mut Report<'_>) {
    let files = [
        &channel.ca_file,
        &channel.client_cert_file,
        &channel.client_key_file,
    ];
    let plain = channel
        .base_url
        .as_ref()
        .is_some_and(|url| url.value.scheme_str() == Some("http"));
    for file in files.into_iter().flatten() {
        if is_fake(channel) {
            file.error(report, NO_NETWORK);
        } else if plain {
            file.error(report, "has no meaning with a base_url of http://");
        }
    }
    if let Some(proxy) = &channel.proxy
        && is_fake(channel)
    {
        proxy.error(report, NO_NETWORK);
    }
    match (&channel.client_cert_file, &channel.client_key_file) {
        (Some(cert), None) => cert.error(report, "needs client_key_file beside it"),
        (None, Some(key)) => key.error(report, "needs client_cert_file beside it"),
        _ => {}
    }
}

const NO_NETWORK: &str = "has no meaning with the dialect \"fake\", which sends nothing anywhere";

/// The channel's proxy.
pub(super) fn proxy(channel: &Channel, report: &mut Report<'_>) -> Option<Proxy> {
    let written = channel.proxy.as_ref()?;
    match written.value.resolve(report) {
        Ok(proxy) => Some(proxy),
        Err(message) => {
            written.error(report, message);
            None
        }
    }
}

/// The channel's certificates, where it has its own.
pub(super) fn tls(
    channel: &Channel,
    extra_ca_files: &[PathBuf],
    report: &mut Report<'_>,
) -> Option<Tls> {
    let path = |file: &Option<At<PathBuf>>| file.as_ref().map(|file| file.value.clone());
    let client = path(&channel.client_cert_file)
        .zip(path(&channel.client_key_file))
        .map(|(cert_file, key_file)| ClientFiles {
            cert_file,
            key_file,
        });
    let only_ca_file = path(&channel.ca_file);
    if client.is_none() && only_ca_file.is_none() {
        return None;
    }
    let settings = TlsSettings {
        extra_ca_files: extra_ca_files.to_vec(),
        only_ca_file,
        client,
    };
    match Tls::new(&settings) {
        Ok(tls) => Some(tls),
        Err(error) => {
            blame(channel, &error, report);
            None
        }
    }
}

/// Reports a file that cannot be used, where it was written.
fn blame(channel: &Channel, error: &TlsError, report: &mut Report<'_>) {
    let files = [
        &channel.ca_file,
        &channel.client_key_file,
        &channel.client_cert_file,
    ];
    let mut files = files.into_iter().flatten();
    let guilty = files.clone().find(|file| error.path() == Some(&file.value));
    // A file of `upstream.ca_files` is to blame where none of these is.
    if let Some(file) = guilty.or_else(|| files.next()) {
        file.error(report, format!("cannot be used: {error}"));
    }
}

/// The times of one entry.
pub(super) fn timeout(written: &ChannelTimeout) -> model::ChannelTimeout {
    model::ChannelTimeout {
        operations: written.operations.iter().copied().map(operation).collect(),
        connect_ms: written.connect_ms,
        tls_ms: written.tls_ms,
        first_byte_ms: written.first_byte_ms,
        idle_stream_ms: written.idle_stream_ms,
        total_ms: written.total_ms,
    }
}

fn operation(kind: CallKind) -> Operation {
    match kind {
        CallKind::Chat => Operation::Chat,
        CallKind::Completion => Operation::Completion,
        CallKind::Embedding => Operation::Embedding,
        CallKind::Image => Operation::Image,
        CallKind::Speech => Operation::Speech,
        CallKind::Transcription => Operation::Transcription,
        CallKind::Moderation => Operation::Moderation,
        CallKind::Rerank => Operation::Rerank,
        CallKind::Video => Operation::Video,
        CallKind::Realtime => Operation::Realtime,
        CallKind::File => Operation::File,
        CallKind::Batch => Operation::Batch,
        CallKind::Models => Operation::Models,
        CallKind::CountTokens => Operation::CountTokens,
        CallKind::ToolCall => Operation::ToolCall,
        CallKind::Other => Operation::Other,
    }
}
