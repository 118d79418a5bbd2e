//! `policies/{p}/trial` and `policies/{p}/approve`: how a new version comes into force step by step.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weir_store::{Promote, TrialKind, TrialRules};

use super::AdminState;
use super::body::{Input, Segments};
use super::error::{ApiError, ErrorBody};
use crate::pipeline::trial::{Difference, SideFigures};
use crate::reload::TrialReport;

/// How a version is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// It sees the same calls as the version in force and decides none.
    Shadow,
    /// It decides the calls of a share of the keys.
    Canary,
}

/// A version to be tried beside the one in force.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TrialInput {
    /// The digest of a stored version, in hexadecimal digits.
    digest: String,
    kind: Kind,
    /// For a canary: the share of the keys whose calls it decides, 1 to 99. The same keys each time, and
    /// with a larger share those and others.
    percent: Option<u32>,
    #[serde(default)]
    rules: RulesInput,
}

/// When the trial ends by itself.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct RulesInput {
    /// Calls that the tried version must have seen before anything but its failures counts. Default:
    /// 100.
    calls_min: Option<u64>,
    /// Failures from which on it is taken out; 0 for never. Default: `runtime.failures_before_rollback`.
    failures_max: Option<u64>,
    /// How many percent of the calls its refusals may differ by, either way, before it is taken out.
    /// Default: any number.
    denials_change_max_percent: Option<f32>,
    /// Microseconds a call that its hooks may take longer, in the mean, before it is taken out.
    /// Default: any time.
    added_max_micros: Option<u32>,
    /// Milliseconds after which it comes further, where none of these happened. Default: it stays until
    /// someone ends the trial.
    promote_after_ms: Option<u64>,
    /// Where it comes then: to a canary with this share of the keys, and from there into force after the
    /// same time; 100 (the default) puts it in force at once.
    promote_to_percent: Option<u32>,
}

/// What one of the two versions did.
#[derive(Debug, Serialize, ToSchema)]
struct SideView {
    /// Calls that it was asked about.
    calls: u64,
    /// Those of them that it refused, or would have.
    denials: u64,
    /// Those of them in which it failed.
    failures: u64,
    /// Microseconds that its hooks took for a call, in the mean.
    mean_micros: u64,
}

impl From<SideFigures> for SideView {
    fn from(figures: SideFigures) -> Self {
        Self {
            calls: figures.calls,
            denials: figures.denials,
            failures: figures.failures,
            mean_micros: figures.micros / figures.calls.max(1),
        }
    }
}

/// A call about which the two versions did not agree.
#[derive(Debug, Serialize, ToSchema)]
struct DifferenceView {
    /// The call's id; it is in the ledger.
    call: String,
    /// When it began, in milliseconds since the Unix epoch.
    at_ms: u64,
    /// The public id of its virtual key.
    key: String,
    /// The model.
    model: String,
    /// The first hook in which they differed.
    hook: &'static str,
    /// What the version in force decided there.
    in_force: String,
    /// What the tried version would have decided.
    tried: String,
}

impl From<Difference> for DifferenceView {
    fn from(difference: Difference) -> Self {
        Self {
            call: difference.call,
            at_ms: difference.at_ms,
            key: difference.key.to_string(),
            model: difference.model.to_string(),
            hook: difference.hook,
            in_force: difference.in_force,
            tried: difference.tried,
        }
    }
}

/// A trial, and what came of it so far.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TrialView {
    /// The tried version.
    digest: String,
    kind: Kind,
    /// The share of the keys that a canary decides for.
    percent: Option<u32>,
    /// Milliseconds since the Unix epoch.
    started_ms: u64,
    in_force: SideView,
    tried: SideView,
    /// Calls about which a shadow did not agree with the version in force.
    differences: u64,
    /// The last of them, the newest first; at most 1000.
    last_differences: Vec<DifferenceView>,
}

impl From<TrialReport> for TrialView {
    fn from(report: TrialReport) -> Self {
        let (kind, percent) = match report.asked.kind {
            TrialKind::Shadow => (Kind::Shadow, None),
            TrialKind::Canary { percent } => (Kind::Canary, Some(percent)),
        };
        Self {
            digest: report.asked.digest,
            kind,
            percent,
            started_ms: report.asked.started_ms,
            in_force: report.figures.in_force.into(),
            tried: report.figures.tried.into(),
            differences: report.figures.differences,
            last_differences: report
                .differences
                .into_iter()
                .map(DifferenceView::from)
                .collect(),
        }
    }
}

impl TrialInput {
    /// Begins the trial of the policy with this full name.
    pub(super) async fn begin(
        &self,
        state: &AdminState,
        policy: &str,
    ) -> Result<TrialView, ApiError> {
        let failures_max = state.control.config().runtime.failures_before_rollback;
        let (kind, rules) = (self.kind()?, self.rules(failures_max.into())?);
        let begun = state.control.try_version(policy, &self.digest, kind, rules);
        Ok(begun.await?.into())
    }

    fn kind(&self) -> Result<TrialKind, ApiError> {
        match (self.kind, self.percent) {
            (Kind::Shadow, None) => Ok(TrialKind::Shadow),
            (Kind::Shadow, Some(_)) => Err(ApiError::field(
                "percent",
                "is for a canary; a shadow sees the calls of all keys",
            )),
            (Kind::Canary, Some(percent @ 1..=99)) => Ok(TrialKind::Canary { percent }),
            (Kind::Canary, _) => Err(ApiError::field(
                "percent",
                "must be from 1 to 99 for a canary",
            )),
        }
    }

    fn rules(&self, failures_max: u64) -> Result<TrialRules, ApiError> {
        let rules = &self.rules;
        let denials = match rules.denials_change_max_percent {
            None => None,
            Some(percent) if (0.0..=100.0).contains(&percent) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it is from 0 to 1000"
                )]
                let permille = (percent * 10.0).round() as u32;
                Some(permille)
            }
            Some(_) => {
                let field = "rules.denials_change_max_percent";
                return Err(ApiError::field(field, "must be from 0 to 100"));
            }
        };
        let percent = rules.promote_to_percent.unwrap_or(100);
        if !(1..=100).contains(&percent) {
            let field = "rules.promote_to_percent";
            return Err(ApiError::field(field, "must be from 1 to 100"));
        }
        if rules.promote_to_percent.is_some() && rules.promote_after_ms.is_none() {
            let message = "says when; without it nothing is promoted";
            return Err(ApiError::field("rules.promote_after_ms", message));
        }
        Ok(TrialRules {
            calls_min: rules.calls_min.unwrap_or(100),
            failures_max: rules.failures_max.unwrap_or(failures_max),
            denials_change_max_permille: denials,
            added_max_micros: rules.added_max_micros,
            promote: rules
                .promote_after_ms
                .map(|after_ms| Promote { after_ms, percent }),
        })
    }
}

/// Tries a stored version beside the one in force. It takes the place of a trial that was under way.
#[utoipa::path(put, path = "/admin/v1/policies/{policy}/trial", tag = "policies", operation_id = "try_version",
    params(("policy" = String, Path, description = "The policy's name")), request_body = TrialInput,
    responses((status = 200, body = TrialView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn begin(
    State(state): State<AdminState>,
    Segments(policy): Segments<String>,
    Input(input): Input<TrialInput>,
) -> Result<Json<TrialView>, ApiError> {
    Ok(Json(input.begin(&state, &policy).await?))
}

/// What came of the trial so far.
#[utoipa::path(get, path = "/admin/v1/policies/{policy}/trial", tag = "policies", operation_id = "get_trial",
    params(("policy" = String, Path, description = "The policy's name")),
    responses((status = 200, body = TrialView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    State(state): State<AdminState>,
    Segments(policy): Segments<String>,
) -> Result<Json<TrialView>, ApiError> {
    Ok(Json(state.control.trial(&policy).await?.into()))
}

/// Ends the trial. The version stays stored; to put it in force, activate it.
#[utoipa::path(delete, path = "/admin/v1/policies/{policy}/trial", tag = "policies", operation_id = "end_trial",
    params(("policy" = String, Path, description = "The policy's name")),
    responses((status = 200, body = TrialView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn end(
    State(state): State<AdminState>,
    Segments(policy): Segments<String>,
) -> Result<Json<TrialView>, ApiError> {
    Ok(Json(state.control.end_trial(&policy).await?.into()))
}

/// Which version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Approval {
    /// The digest of a stored version, in hexadecimal digits.
    pub(super) digest: String,
}

/// Says that a stored version may do more than the one in force. It can be tried and activated then.
#[utoipa::path(post, path = "/admin/v1/policies/{policy}/approve", tag = "policies", operation_id = "approve_version",
    params(("policy" = String, Path, description = "The policy's name")), request_body = Approval,
    responses((status = 200, body = Approval), (status = "4XX", body = ErrorBody)))]
pub(super) async fn approve(
    State(state): State<AdminState>,
    Segments(policy): Segments<String>,
    Input(input): Input<Approval>,
) -> Result<Json<Approval>, ApiError> {
    state.control.approve(&policy, &input.digest).await?;
    Ok(Json(input))
}
