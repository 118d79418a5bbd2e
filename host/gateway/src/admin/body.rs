//! What comes in (JSON, files, queries, names in the path) and lists that go out.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::StatusCode;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use weir_store::ListQuery;

use super::error::ApiError;

/// Largest JSON body.
const JSON_MAX_BYTES: usize = 1_048_576;

/// Reads a body that has at most `max_bytes`.
pub(super) async fn read(body: Body, max_bytes: usize) -> Result<Bytes, ApiError> {
    let collected = Limited::new(body, max_bytes)
        .collect()
        .await
        .map_err(|error| {
            if error.downcast_ref::<LengthLimitError>().is_some() {
                let message =
                    format!("the body has more than the {max_bytes} bytes that are allowed");
                ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
                    .with(json!({ "max_bytes": max_bytes }))
            } else {
                ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "body_broken",
                    format!("the body broke off: {error}"),
                )
            }
        })?;
    Ok(collected.to_bytes())
}

/// A JSON body, whatever its content type says: who sends JSON with `curl -d` means JSON.
pub(super) struct Input<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Input<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = read(request.into_body(), JSON_MAX_BYTES).await?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let value =
            serde_path_to_error::deserialize(&mut json).map_err(|error| not_json(&error))?;
        json.end().map_err(|error| {
            ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", error.to_string())
        })?;
        Ok(Self(value))
    }
}

fn not_json(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let (field, reason) = (error.path().to_string(), error.inner());
    let message = match field.as_str() {
        "." => format!("the body does not fit: {reason}"),
        field => format!("{field}: {reason}"),
    };
    ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", message).with(json!({ "field": field }))
}

/// The body of a PATCH: fields to replace. A field that is null returns to its default.
pub(super) type Changes = Map<String, Value>;

/// `current` with `changes`.
pub(super) fn patched<T: Serialize + DeserializeOwned>(
    current: &T,
    changes: Changes,
) -> Result<T, ApiError> {
    let broken = |error: serde_json::Error| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "entry_broken",
            error.to_string(),
        )
    };
    let mut value = serde_json::to_value(current).map_err(broken)?;
    if let Value::Object(fields) = &mut value {
        for (name, change) in changes {
            if change.is_null() {
                fields.remove(&name);
            } else {
                fields.insert(name, change);
            }
        }
    }
    serde_path_to_error::deserialize(value).map_err(|error| not_json(&error))
}

/// Names in the path.
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        let broken = |error: axum::extract::rejection::PathRejection| {
            ApiError::new(StatusCode::BAD_REQUEST, "invalid_path", error.body_text())
        };
        path.map(|path| Self(path.0)).map_err(broken)
    }
}

/// What stands behind the question mark.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let wrong = |error: axum::extract::rejection::QueryRejection| {
            ApiError::new(StatusCode::BAD_REQUEST, "invalid_query", error.body_text())
        };
        query.map(|query| Self(query.0)).map_err(wrong)
    }
}

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct List<T> {
    /// The entries. What the settings file declares comes first, on the first page, beside `limit`.
    pub(super) data: Vec<T>,
    /// Give it as `cursor` to get the next page; null on the last.
    pub(super) next: Option<String>,
}

impl<T> List<T> {
    /// A list that is never long.
    pub(super) fn whole(data: Vec<T>) -> Self {
        Self { data, next: None }
    }
}

/// Which part of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Most entries, at most 1000.
    #[serde(default)]
    limit: Option<u32>,
    /// `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
}

impl PageQuery {
    pub(super) fn is_first(&self) -> bool {
        self.cursor.is_none()
    }

    pub(super) fn query(self, parent: Option<&str>) -> Result<ListQuery, ApiError> {
        Ok(ListQuery {
            parent: parent.map(str::to_owned),
            after: self.cursor,
            limit: limit(self.limit)?,
        })
    }
}

/// The number of entries that was asked for; 100 where none was.
pub(super) fn limit(asked: Option<u32>) -> Result<u32, ApiError> {
    match asked {
        None => Ok(100),
        Some(limit @ 1..=1_000) => Ok(limit),
        Some(_) => Err(ApiError::field("limit", "must be from 1 to 1000")),
    }
}

/// A moment in a query: RFC 3339, a date (its beginning in UTC), or milliseconds since the Unix
/// epoch.
pub(super) fn moment(field: &str, text: Option<&str>) -> Result<Option<u64>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let date = |text: &str| {
        text.parse::<jiff::civil::Date>()
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
    };
    let unix_ms = match text.parse::<u64>() {
        Ok(unix_ms) => Some(unix_ms),
        // A time without an offset also parses as a date, and would silently lose its hours.
        Err(_) if text.len() == "2027-01-31".len() => {
            date(text).and_then(|date| u64::try_from(date.timestamp().as_millisecond()).ok())
        }
        Err(_) => text
            .parse::<jiff::Timestamp>()
            .ok()
            .and_then(|at| u64::try_from(at.as_millisecond()).ok()),
    };
    let wrong = || {
        ApiError::field(
            field,
            "must be a time like 2027-01-31T12:00:00Z, a date, or milliseconds since 1970",
        )
    };
    unix_ms.map(Some).ok_or_else(wrong)
}
