//! What an administrator is told when something cannot be done.

use std::borrow::Cow;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use weir_store::StoreError;

use crate::config::ConfigErrors;
use crate::reload::ControlError;

/// A refusal: status, stable code, one sentence, and what a program may want to know.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: Cow<'static, str>,
    message: String,
    details: Value,
}

/// The body of every refusal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    error: ErrorFields,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorFields {
    /// Stable, snake_case.
    code: String,
    /// One sentence for people.
    message: String,
    /// More about it, different for each code; may be empty.
    #[schema(value_type = Object)]
    details: Value,
}

impl ApiError {
    pub(super) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            details: json!({}),
        }
    }

    pub(super) fn with(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    /// Nothing of this kind has this name.
    pub(super) fn unknown(what: &str, name: &str) -> Self {
        let code = format!("unknown_{}", what.replace(' ', "_"));
        Self::new(
            StatusCode::NOT_FOUND,
            code,
            format!("there is no {what} {name:?}"),
        )
    }

    /// A field has a value that cannot be.
    pub(super) fn field(field: &str, message: &str) -> Self {
        Self::fields(vec![(field.to_owned(), message.to_owned())])
    }

    /// All fields that have values that cannot be.
    pub(super) fn fields(mistakes: Vec<(String, String)>) -> Self {
        let sentence = |(field, message): &(String, String)| match field.as_str() {
            "" => message.clone(),
            field => format!("{field}: {message}"),
        };
        let message: Vec<String> = mistakes.iter().map(sentence).collect();
        let errors: Vec<Value> = mistakes
            .iter()
            .map(|(field, message)| json!({ "field": field, "message": message }))
            .collect();
        Self::new(StatusCode::BAD_REQUEST, "invalid_field", message.join("; "))
            .with(json!({ "errors": errors }))
    }

    /// The settings file has the say about it.
    pub(super) fn declared(what: &str, name: &str, file: &str) -> Self {
        let message = format!("the {what} {name:?} is declared in {file}, and is changed there");
        Self::new(StatusCode::CONFLICT, "declared_in_file", message).with(json!({ "file": file }))
    }

    /// Says what was meant by "there is no such entry".
    pub(super) fn naming(error: StoreError, what: &str, name: &str) -> Self {
        match error {
            StoreError::NotFound => Self::unknown(what, name),
            StoreError::Conflict(_) => Self::new(
                StatusCode::CONFLICT,
                "exists_already",
                format!("there is a {what} {name:?} already"),
            ),
            other => other.into(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let (status, code) = match &error {
            StoreError::NotFound => (StatusCode::NOT_FOUND, "unknown_entry"),
            StoreError::Conflict(_) => (StatusCode::CONFLICT, "exists_already"),
            StoreError::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid_field"),
            StoreError::Full(_) => (StatusCode::INSUFFICIENT_STORAGE, "store_full"),
            StoreError::Unavailable(_) | StoreError::TooNew { .. } | StoreError::WrongMasterKey => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable")
            }
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        let status =
            StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = match &error {
            ControlError::ReadOnly { .. } => "declared_in_file",
            other => other.code(),
        };
        let details = match &error {
            ControlError::Config(errors) => config_details(errors),
            ControlError::Load { policy, error } => load_details(policy, error),
            ControlError::ReadOnly { file, .. } => json!({ "file": file }),
            ControlError::ApprovalNeeded {
                policy,
                digest,
                more,
            } => {
                json!({ "policy": policy, "digest": digest, "more": more })
            }
            _ => json!({}),
        };
        Self::new(status, code, error.to_string()).with(details)
    }
}

fn config_details(errors: &ConfigErrors) -> Value {
    let errors: Vec<Value> = errors
        .0
        .iter()
        .map(|error| json!({ "origin": error.origin.to_string(), "setting": error.path, "message": error.message }))
        .collect();
    json!({ "errors": errors })
}

fn load_details(policy: &str, error: &weir_policy::LoadError) -> Value {
    use weir_policy::LoadError;
    match error {
        LoadError::Config { errors } => json!({ "policy": policy, "errors": errors }),
        LoadError::NotGranted { interface, grant } => {
            json!({ "policy": policy, "interface": interface, "setting": format!("grants.{grant}") })
        }
        LoadError::UnknownImport { interface } => {
            json!({ "policy": policy, "interface": interface })
        }
        LoadError::UnknownVersion { interface } => {
            let supported = weir_policy::Release::ALL.map(weir_policy::Release::as_str);
            json!({ "policy": policy, "interface": interface, "supported": supported })
        }
        LoadError::TooLarge {
            size_bytes,
            max_bytes,
        } => {
            json!({ "policy": policy, "size_bytes": size_bytes, "max_bytes": max_bytes })
        }
        _ => json!({ "policy": policy }),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let unauthorized = self.status == StatusCode::UNAUTHORIZED;
        let error = ErrorFields {
            code: self.code.into_owned(),
            message: self.message,
            details: self.details,
        };
        let mut response = (self.status, Json(ErrorBody { error })).into_response();
        if unauthorized {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
