//! `channels/{c}/health` and `channels/{c}/breaker`: how channels do, and which of their circuits are
//! open.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AdminState;
use super::body::{Input, Segments};
use super::channels::{in_file, stored};
use super::error::{ApiError, ErrorBody};
use crate::measure::{FailureKind, Figures};
use crate::pipeline::channel::Channel;
use crate::pipeline::health::{self, Hold};

/// What was measured in the last minute, and means in which recent calls weigh more.
#[derive(Debug, Serialize, ToSchema)]
struct FiguresView {
    /// Calls in the last minute, since its circuit last closed.
    calls: u32,
    /// Failures over these calls, 0 to 1. What was said about a key is no failure of the channel.
    error_rate: f32,
    /// Failures in the last minute by kind: connect, timed_out, server_error, rate_limited,
    /// key_refused, broken, bad_reply. Kinds without one are left out.
    failures: BTreeMap<&'static str, u32>,
    /// Mean time to the first byte, in milliseconds; 0 where not measured.
    first_byte_ms: f32,
    /// Mean time to the last byte of replies that came whole, in milliseconds; 0 where not measured.
    total_ms: f32,
    /// Mean of the output tokens per second of streamed replies; 0 where not measured.
    tokens_per_second: f32,
    /// Calls under way.
    in_flight: u32,
}

impl FiguresView {
    fn of(figures: &Figures, in_flight: u32, now_ms: u64) -> Self {
        let (counts, means) = (figures.counts(now_ms), figures.means());
        let kinds = FailureKind::ALL.into_iter().zip(figures.kinds(now_ms));
        Self {
            calls: counts.calls,
            error_rate: counts.error_rate(1),
            failures: kinds
                .filter(|(_, count)| *count > 0)
                .map(|(kind, count)| (kind.as_str(), count))
                .collect(),
            first_byte_ms: means.first_byte_ms,
            total_ms: means.total_ms,
            tokens_per_second: means.tokens_per_second,
            in_flight,
        }
    }
}

/// Where a circuit stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
enum CircuitView {
    /// All is well.
    Closed,
    /// Calls go elsewhere, if there is an elsewhere.
    Open {
        /// Milliseconds since the Unix epoch; null where an administrator opened it.
        until_ms: Option<u64>,
    },
    /// A few calls may try.
    HalfOpen,
    /// An administrator holds it closed.
    HeldClosed,
}

impl From<health::State> for CircuitView {
    fn from(state: health::State) -> Self {
        match state {
            health::State::Closed => Self::Closed,
            health::State::Open(until_ms) => Self::Open {
                until_ms: Some(until_ms),
            },
            health::State::HeldOpen => Self::Open { until_ms: None },
            health::State::HalfOpen => Self::HalfOpen,
            health::State::HeldClosed => Self::HeldClosed,
        }
    }
}

/// A model of a channel.
#[derive(Debug, Serialize, ToSchema)]
struct ModelView {
    /// As the provider calls it; null for calls without a model and models beyond the 64 that are
    /// told apart.
    model: Option<String>,
    circuit: CircuitView,
    #[serde(flatten)]
    figures: FiguresView,
}

/// A provider key of a channel.
#[derive(Debug, Serialize, ToSchema)]
struct KeyHealthView {
    /// What the ledger calls it.
    key: String,
    /// It neither rests nor is disabled.
    usable: bool,
    #[serde(flatten)]
    figures: FiguresView,
}

/// How a channel does.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChannelHealthView {
    /// The channel's name.
    channel: String,
    /// Calls under way.
    in_flight: u32,
    /// Its models, as far as there were calls for them.
    models: Vec<ModelView>,
    /// Its keys.
    keys: Vec<KeyHealthView>,
}

/// What is to become of circuits.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    /// Open until told otherwise.
    Open,
    /// Closed until told otherwise.
    Closed,
    /// As the calls say, from closed on.
    Auto,
}

/// A change of circuits.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BreakerInput {
    state: Wanted,
    /// The model, as the provider calls it; all of the channel, and those to come, where nothing is
    /// given. It holds until the program ends.
    model: Option<String>,
}

/// The channel as it runs. One that exists and does not run is out of use.
async fn live(state: &AdminState, name: &str) -> Result<Arc<Channel>, ApiError> {
    if let Some(channel) = state.control.snapshot().channel(name) {
        return Ok(Arc::clone(channel));
    }
    if in_file(&state.control.config(), name).is_none() {
        stored(state, name).await?;
    }
    Err(ApiError::new(
        StatusCode::CONFLICT,
        "channel_out_of_use",
        format!("the channel {name} is out of use: nothing is measured of it"),
    ))
}

fn view(channel: &Channel, now_ms: u64) -> ChannelHealthView {
    let models = channel.health.models().into_iter();
    let model = |(name, model): (Arc<str>, Arc<health::ModelHealth>)| ModelView {
        model: (!name.is_empty()).then(|| name.to_string()),
        circuit: model.breaker.state(now_ms).into(),
        figures: FiguresView::of(&model.figures, model.in_flight(), now_ms),
    };
    let keys = channel.keys.keys().iter();
    ChannelHealthView {
        channel: channel.name.to_string(),
        in_flight: channel.health.in_flight(),
        models: models.map(model).collect(),
        keys: keys
            .map(|key| KeyHealthView {
                key: key.id.to_string(),
                usable: key.state.usable(now_ms),
                figures: FiguresView::of(&key.state.figures, key.state.in_flight(), now_ms),
            })
            .collect(),
    }
}

/// How a channel does: what was measured of each of its models and keys, and where their circuits
/// stand.
#[utoipa::path(get, path = "/admin/v1/channels/{channel}/health", tag = "channels", operation_id = "get_channel_health",
    params(("channel" = String, Path, description = "The channel's name")),
    responses((status = 200, body = ChannelHealthView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    State(state): State<AdminState>,
    Segments(name): Segments<String>,
) -> Result<Json<ChannelHealthView>, ApiError> {
    let channel = live(&state, &name).await?;
    Ok(Json(view(&channel, state.clock.now_ms())))
}

/// Opens or closes the circuits of a channel by hand, or leaves them to the calls again.
#[utoipa::path(post, path = "/admin/v1/channels/{channel}/breaker", tag = "channels", operation_id = "set_channel_breaker",
    params(("channel" = String, Path, description = "The channel's name")), request_body = BreakerInput,
    responses((status = 200, body = ChannelHealthView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn set(
    State(state): State<AdminState>,
    Segments(name): Segments<String>,
    Input(input): Input<BreakerInput>,
) -> Result<Json<ChannelHealthView>, ApiError> {
    let channel = live(&state, &name).await?;
    let hold = match input.state {
        Wanted::Open => Hold::Open,
        Wanted::Closed => Hold::Closed,
        Wanted::Auto => Hold::Auto,
    };
    if !channel.health.hold(input.model.as_deref(), hold) {
        let model = input.model.unwrap_or_default();
        return Err(ApiError::field(
            "model",
            &format!("{model:?} is no model that was asked of this channel"),
        ));
    }
    if hold != Hold::Open {
        // Whoever says that it is well also says so of what failed lately.
        channel.health.standing.went_well();
        for key in channel.keys.keys() {
            key.state.standing.went_well();
        }
    }
    tracing::info!(channel = name, model = input.model, wanted = ?input.state, "circuits were set by hand");
    Ok(Json(view(&channel, state.clock.now_ms())))
}
