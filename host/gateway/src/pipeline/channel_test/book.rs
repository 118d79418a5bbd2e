//! What a test's calls leave in the ledger: under an account of their own, so that no tenant pays.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use weir_base::{CallId, Usage};
use weir_store::{AttemptRow, CallRow, Ended};

use super::{Cause, Tester};
use crate::keys::ProviderKey;
use crate::pipeline::channel::Channel;
use crate::pipeline::exchange::{Came, Exchange, Question};

/// The tenant that tests are booked under.
const ACCOUNT: &str = "channel-tests";

/// A row to be. Dropped, it goes to the ledger: as a call that was given up where it was not ended.
pub(super) struct Entry<'a> {
    tester: &'a Tester,
    row: Option<CallRow>,
}

impl<'a> Entry<'a> {
    /// A call begins. `model` as callers name it.
    pub(super) fn begin(
        tester: &'a Tester,
        channel: &Channel,
        key: Option<&ProviderKey>,
        model: &str,
        question: &Question,
    ) -> Self {
        let row = CallRow {
            id: CallId::new(),
            started_ms: tester.shared.clock.now_ms(),
            tenant: ACCOUNT.into(),
            key: format!("channel:{}", channel.name).into(),
            dialect: question.dialect.as_str().into(),
            operation: question.operation,
            model: model.into(),
            channel: Some(Arc::clone(&channel.name)),
            upstream_model: Some(question.model.as_str().into()),
            provider_key: key.map(|key| Arc::clone(&key.id)),
            status: 499,
            ended: Ended::ClientClosed,
            denied: None,
            streaming: question.stream,
            client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            attempts: Vec::new(),
            first_byte_ms: None,
            total_ms: 0,
            usage: Usage::default(),
            decisions: Vec::new(),
        };
        let row = Some(row);
        Self { tester, row }
    }

    /// The call is over. Returns its id, and what was used with what that costs.
    pub(super) fn end(
        mut self,
        exchange: &Exchange,
        usage: Option<Usage>,
        cause: Option<Cause>,
    ) -> (String, Option<Usage>) {
        let Some(row) = &mut self.row else {
            return (String::new(), usage);
        };
        let status = exchange.came.status();
        row.status = status.unwrap_or(502);
        row.ended = match &exchange.came {
            Came::Reply { .. } => Ended::Complete,
            Came::Broken { .. } => Ended::UpstreamBroke,
            Came::Nothing(_) | Came::Unsent => Ended::Failed,
        };
        row.denied = cause.map(|cause| cause.as_str().into());
        row.first_byte_ms = exchange.first_byte_ms;
        row.total_ms = exchange.total_ms;
        if let Some(channel) = &row.channel {
            row.attempts = vec![AttemptRow {
                more: None,
                channel: Arc::clone(channel),
                key: row.provider_key.clone(),
                status,
                failure: cause.map(|cause| cause.as_str().into()),
                ms: exchange.total_ms,
            }];
        }
        row.usage = usage.unwrap_or_default();
        row.usage.cost_micros = cost_micros(self.tester, row);
        (row.id.to_string(), usage.map(|_| row.usage))
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some(row) = self.row.take() {
            self.tester.shared.ledger.record(row);
        }
    }
}

fn cost_micros(tester: &Tester, row: &CallRow) -> u64 {
    let snapshot = tester.shared.snapshot.load();
    let find = |model: &str| {
        let prices = &snapshot.prices;
        prices.find(&row.tenant, row.channel.as_deref(), model)
    };
    let price = row.upstream_model.as_deref().and_then(find);
    let price = price.or_else(|| find(&row.model));
    price.map_or(0, |price| price.cost_micros(&row.usage))
}
