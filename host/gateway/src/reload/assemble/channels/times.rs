//! The times of a channel: those of all channels, with what its own entries say over them.

use weir_base::Operation;
use weir_upstream::Timeouts;

use crate::config::{Channel, ChannelTimeout, Upstream};
use crate::pipeline::channel::ChannelTimeouts;

/// The times of `channel`. A later entry counts before an earlier one.
pub(super) fn of(upstream: &Upstream, channel: &Channel) -> ChannelTimeouts {
    let all = Timeouts {
        connect_ms: upstream.connect_timeout_ms,
        tls_ms: upstream.tls_timeout_ms,
        first_byte_ms: channel
            .first_byte_timeout_ms
            .unwrap_or(upstream.first_byte_timeout_ms),
        idle_stream_ms: upstream.idle_stream_timeout_ms,
        total_ms: upstream.attempt_timeout_ms,
    };
    let mut kinds: Vec<Operation> = Vec::new();
    for entry in &channel.timeouts {
        kinds.extend_from_slice(&entry.operations);
    }
    kinds.sort_unstable_by_key(|kind| *kind as u8);
    kinds.dedup();
    let special = kinds.into_iter().map(|kind| {
        let entries = channel.timeouts.iter();
        let holds = |entry: &&ChannelTimeout| {
            entry.operations.is_empty() || entry.operations.contains(&kind)
        };
        (kind, entries.filter(holds).fold(all, over))
    });
    let for_all = channel.timeouts.iter();
    ChannelTimeouts {
        special: special.collect(),
        usual: for_all
            .filter(|entry| entry.operations.is_empty())
            .fold(all, over),
    }
}

fn over(below: Timeouts, entry: &ChannelTimeout) -> Timeouts {
    Timeouts {
        connect_ms: entry.connect_ms.unwrap_or(below.connect_ms),
        tls_ms: entry.tls_ms.unwrap_or(below.tls_ms),
        first_byte_ms: entry.first_byte_ms.unwrap_or(below.first_byte_ms),
        idle_stream_ms: entry.idle_stream_ms.unwrap_or(below.idle_stream_ms),
        total_ms: entry.total_ms.unwrap_or(below.total_ms),
    }
}
