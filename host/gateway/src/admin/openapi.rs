//! The description of the admin API, OpenAPI 3.1. Handlers describe themselves; this is the frame.

use axum::body::Bytes;
use axum::routing::{MethodRouter, get};
use http::header;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};

use super::AdminState;

/// Where the description is, for everyone.
pub(super) const PATH: &str = "/admin/v1/openapi.json";

const SCHEME: &str = "admin_key";

const TAGS: [(&str, &str); 8] = [
    ("tenants", "Organisations and teams"),
    ("keys", "Virtual keys: what callers send"),
    (
        "channels",
        "The ways to providers, and the keys that are sent there",
    ),
    (
        "policies",
        "The chain: settings, versions and order of its policies",
    ),
    ("calls", "The log"),
    ("usage", "Tokens, calls and money"),
    ("bans", "Addresses that are kept out"),
    ("system", "How the gateway is"),
];

const DESCRIPTION: &str = "\
What the settings file declares is shown and read-only: changing it answers 409 `declared_in_file`, \
naming the file. What is made here lives in the database. An answer to a change comes when the data \
path has seen it. Every refusal is `{\"error\":{\"code\",\"message\",\"details\"}}` with a stable code. Lists \
are `{\"data\",\"next\"}`; give `next` as `cursor` to go on.";

/// The description without paths.
pub(super) fn base() -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The admin key"));
    let scheme = SecurityScheme::Http(bearer.build());
    let tags = TAGS.map(|(name, about)| {
        TagBuilder::new()
            .name(name)
            .description(Some(about))
            .build()
    });
    let info = InfoBuilder::new()
        .title("Weir admin API")
        .version("1")
        .description(Some(DESCRIPTION));
    OpenApiBuilder::new()
        .info(info.build())
        .components(Some(
            ComponentsBuilder::new()
                .security_scheme(SCHEME, scheme)
                .build(),
        ))
        .security(Some([SecurityRequirement::new(
            SCHEME,
            Vec::<String>::new(),
        )]))
        .tags(Some(tags))
        .build()
}

/// Gives out the finished description, made once.
pub(super) fn route(api: &OpenApi) -> MethodRouter<AdminState> {
    // It is built from literals of this program; the tests hold that it is JSON.
    let json = Bytes::from(api.to_json().unwrap_or_default());
    get(move || {
        let json = json.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], json) }
    })
}
