//! The first start: a tenant, a key, and a line to try them with.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Result;
use weir_base::Clock;
use weir_store::{ListQuery, Store, Tenant, VirtualKey};

use super::App;
use super::data_dir::DataDir;
use crate::config::{ChannelDialect, Config, starter_channels};

const TENANT: &str = "default";
const KEY: &str = "key_first";

/// Makes the first tenant and virtual key where there is no tenant at all.
pub async fn prepare(
    config: &Config,
    data_dir: &DataDir,
    store: &Store,
    clock: &dyn Clock,
) -> Result<()> {
    let stored = store
        .list::<Tenant>(ListQuery {
            limit: 1,
            ..ListQuery::default()
        })
        .await?;
    if !config.tenants.is_empty() || !stored.items.is_empty() {
        return Ok(());
    }
    let secret = data_dir.make_first_key()?;
    let now_ms = clock.now_ms();
    store
        .create(&Tenant {
            id: TENANT.to_owned(),
            name: "Default".to_owned(),
            labels: BTreeMap::new(),
            time_zone: None,
            disabled: false,
            created_ms: now_ms,
            updated_ms: now_ms,
        })
        .await?;
    store
        .create(&VirtualKey {
            id: KEY.to_owned(),
            tenant: TENANT.to_owned(),
            name: "first".to_owned(),
            hash: weir_store::sha256(secret.expose().as_bytes()),
            prefix: secret.expose().chars().take(8).collect(),
            labels: BTreeMap::new(),
            disabled: false,
            author: false,
            expires_ms: None,
            created_ms: now_ms,
            updated_ms: now_ms,
        })
        .await?;
    Ok(())
}

/// Prints one line that can be pasted to try the gateway. It holds the first key as long as the
/// file with it is in the data folder, else a place to put one.
#[expect(
    clippy::print_stdout,
    reason = "the line is for whoever started the program by hand"
)]
pub fn show(app: &App) {
    let key = app.data_dir.first_key();
    let key = key.as_ref().map_or("$WEIR_KEY", |key| key.expose());
    println!("{}", line(app, key));
    let _ = std::io::stdout().flush();
}

fn line(app: &App, key: &str) -> String {
    let config = app.control.config();
    let base = config.public_url.as_ref().map_or_else(
        || format!("http://{}", app.address),
        |url| url.to_string().trim_end_matches('/').to_owned(),
    );
    let environment = std::env::vars().collect();
    let first = config.channels.first().map(|channel| channel.dialect);
    let dialect = first.or_else(|| {
        starter_channels(&environment)
            .first()
            .map(|channel| channel.dialect)
    });
    match dialect.unwrap_or(ChannelDialect::Fake) {
        ChannelDialect::Anthropic => format!(
            r#"curl -N {base}/v1/messages -H 'x-api-key: {key}' -H 'anthropic-version: 2023-06-01' -H 'content-type: application/json' -d '{{"model":"claude-3-5-haiku-latest","max_tokens":100,"stream":true,"messages":[{{"role":"user","content":"Hello from Weir"}}]}}'"#
        ),
        ChannelDialect::Gemini => format!(
            r#"curl -N '{base}/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse' -H 'x-goog-api-key: {key}' -H 'content-type: application/json' -d '{{"contents":[{{"parts":[{{"text":"Hello from Weir"}}]}}]}}'"#
        ),
        other => {
            let model = if other == ChannelDialect::Fake {
                "fake-small"
            } else {
                "gpt-4o-mini"
            };
            format!(
                r#"curl -N {base}/v1/chat/completions -H 'authorization: Bearer {key}' -H 'content-type: application/json' -d '{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"Hello from Weir"}}]}}'"#
            )
        }
    }
}
