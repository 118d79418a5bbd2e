//! `channels/{channel}/test` and `…/balance`: does it work, and what is left on its account?

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Query, Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use utoipa::{IntoParams, ToSchema};

use super::AdminState;
use super::body::{Input, Segments, read};
use super::channels::stored;
use super::error::{ApiError, ErrorBody};
use crate::keys::ProviderKey;
use crate::pipeline::channel::Channel;
use crate::pipeline::channel_test::{
    BalanceOrder, CALLS_MAX, KeyBalance, Line, NotTaken, Order, TestOrder,
};

/// Largest body of an order.
const ORDER_MAX_BYTES: usize = 65_536;
/// Models that one test may name.
const MODELS_MAX: usize = 100;
/// Bytes of a model's name.
const MODEL_MAX_BYTES: usize = 256;
/// Lines that may wait for a slow reader; the test waits then.
const LINES_MAX: usize = 16;
/// Milliseconds for a call where nobody says how many, and at most.
const TIMEOUT_MS: u64 = 60_000;
const TIMEOUT_MAX_MS: u64 = 600_000;

/// What to test. All of it may be left out, and the body with it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestInput {
    /// Models, as callers name them. Where nothing is given: those that the channel names without a
    /// wildcard, else the first five that its provider lists.
    #[serde(default)]
    models: Vec<String>,
    /// The id of a provider key; every key where nothing is given, those that rest or are disabled
    /// included.
    #[serde(default)]
    key: Option<String>,
    /// Ask for streams.
    #[serde(default)]
    stream: bool,
    /// Milliseconds for each call from first to last, where the channel's own times are not
    /// shorter: 60000 where nothing is given, 600000 at most.
    #[serde(default)]
    timeout_ms: Option<u64>,
}

/// Whose balance.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BalanceQuery {
    /// The id of a provider key; every key where nothing is given.
    #[serde(default)]
    key: Option<String>,
}

/// What is left on a channel's account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BalanceView {
    /// The channel.
    channel: String,
    /// By provider key. Keys of one account all show the account's.
    keys: Vec<KeyBalance>,
}

/// Makes a minimal real call for each model with each provider key. The answer comes while the test
/// runs: one JSON object a line as each call ends, then a summary; as server-sent events where
/// `accept` asks for them. The calls pass no policies, count towards no tenant's limits, and are in
/// the ledger under the tenant `channel-tests`. Channels and keys that are disabled or rest can be
/// tested too, and stay as they are. Hanging up ends the test, and so do 15 minutes.
#[utoipa::path(post, path = "/admin/v1/channels/{channel}/test", tag = "channels", operation_id = "test_channel",
    params(("channel" = String, Path, description = "The channel's name")), request_body = Option<TestInput>,
    responses((status = 200, description = "One line for each call, then a summary", body = Line, content_type = "application/x-ndjson"),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn test(
    State(state): State<AdminState>,
    Segments(name): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let input = order(body).await?;
    let channel = channel(&state, &name).await?;
    let keys = keys(&channel, input.key.as_deref())?;
    check(&input, keys.len())?;
    let (progress, lines) = mpsc::channel(LINES_MAX);
    let order = Order::Test(TestOrder {
        channel,
        models: input.models,
        keys,
        stream: input.stream,
        timeout_ms: input.timeout_ms.unwrap_or(TIMEOUT_MS),
        progress,
    });
    give(&state, order)?;
    let events = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|accept| accept.contains("text/event-stream"));
    let kind = if events {
        "text/event-stream"
    } else {
        "application/x-ndjson"
    };
    let body = stream::unfold(lines, move |mut lines| async move {
        let line: Line = lines.recv().await?;
        Some((written(&line, events), lines))
    });
    let head = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((head, Body::from_stream(body)).into_response())
}

/// What is left on the account behind each provider key, where the provider has an endpoint for it
/// (see the channel's `balance`). 422 `balance_not_supported` where it has none.
#[utoipa::path(get, path = "/admin/v1/channels/{channel}/balance", tag = "channels", operation_id = "get_channel_balance",
    params(("channel" = String, Path, description = "The channel's name"), BalanceQuery),
    responses((status = 200, body = BalanceView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn balance(
    State(state): State<AdminState>,
    Segments(name): Segments<String>,
    query: Query<BalanceQuery>,
) -> Result<Json<BalanceView>, ApiError> {
    let channel = channel(&state, &name).await?;
    let keys = keys(&channel, query.key.as_deref())?;
    let (reply, answer) = oneshot::channel();
    let order = BalanceOrder {
        channel,
        keys,
        timeout_ms: TIMEOUT_MS,
    };
    give(&state, Order::Balance { order, reply })?;
    match answer.await {
        Ok(Ok(keys)) => Ok(Json(BalanceView {
            channel: name,
            keys,
        })),
        Ok(Err(unsupported)) => Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "balance_not_supported",
            unsupported.to_string(),
        )),
        Err(_) => Err(stopping()),
    }
}

async fn order(body: Body) -> Result<TestInput, ApiError> {
    let bytes = read(body, ORDER_MAX_BYTES).await?;
    if bytes.is_empty() {
        return Ok(TestInput::default());
    }
    let request = Request::new(Body::from(bytes));
    Input::from_request(request, &()).await.map(|input| input.0)
}

/// The channel as the data path has it, or would have it.
async fn channel(state: &AdminState, name: &str) -> Result<Arc<Channel>, ApiError> {
    let snapshot = state.control.snapshot();
    let unusable = match (snapshot.channel(name), snapshot.disabled.get(name)) {
        (Some(channel), _) | (None, Some(Ok(channel))) => return Ok(Arc::clone(channel)),
        (None, Some(Err(lacks))) => {
            format!("the channel {name:?} is disabled and cannot be tested: {lacks}")
        }
        (None, None) => {
            stored(state, name).await?;
            format!("the settings of the channel {name:?} are not in order")
        }
    };
    Err(ApiError::new(
        StatusCode::CONFLICT,
        "channel_unusable",
        unusable,
    ))
}

fn keys(channel: &Channel, asked: Option<&str>) -> Result<Vec<Arc<ProviderKey>>, ApiError> {
    let all = channel.keys.keys();
    match asked {
        None => Ok(all.to_vec()),
        Some(id) => match all.iter().find(|key| *key.id == *id) {
            Some(key) => Ok(vec![Arc::clone(key)]),
            None => Err(ApiError::unknown("provider key", id)),
        },
    }
}

fn check(input: &TestInput, keys: usize) -> Result<(), ApiError> {
    if input.models.len() > MODELS_MAX {
        return Err(ApiError::field("models", "takes at most 100"));
    }
    let unusable = |model: &String| model.is_empty() || model.len() > MODEL_MAX_BYTES;
    if input.models.iter().any(unusable) {
        return Err(ApiError::field(
            "models",
            "takes names of 1 to 256 bytes each",
        ));
    }
    if input.models.len().saturating_mul(keys) > CALLS_MAX {
        return Err(ApiError::field(
            "models",
            "and keys make more than 500 calls; name a key",
        ));
    }
    if !(1..=TIMEOUT_MAX_MS).contains(&input.timeout_ms.unwrap_or(TIMEOUT_MS)) {
        return Err(ApiError::field("timeout_ms", "must be within 1 to 600000"));
    }
    Ok(())
}

fn give(state: &AdminState, order: Order) -> Result<(), ApiError> {
    state.tests.give(order).map_err(|reason| match reason {
        NotTaken::Busy => ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "tests_busy",
            "too many tests are running; try again when some have ended",
        ),
        NotTaken::Stopping => stopping(),
    })
}

fn stopping() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "stopping",
        "the gateway is stopping",
    )
}

fn written(line: &Line, event: bool) -> Result<Bytes, serde_json::Error> {
    let json = serde_json::to_string(line)?;
    Ok(Bytes::from(match (event, line) {
        (false, _) => json + "\n",
        (true, Line::Result(_)) => format!("event: result\ndata: {json}\n\n"),
        (true, Line::Summary(_)) => format!("event: summary\ndata: {json}\n\n"),
    }))
}
