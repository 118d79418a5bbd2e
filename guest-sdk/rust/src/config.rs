//! Reading a policy's configuration, with errors that name the setting.

use serde::de::DeserializeOwned;

/// Reads JSON into a type. An error names the path to the setting and what is wrong with it:
/// `rules[0].limit: invalid type: string "ten", expected u64`.
pub fn parse<T: DeserializeOwned>(config: &str) -> Result<T, Vec<String>> {
    // No configuration at all is the same as an empty one, so that defaults apply.
    let config = if config.trim().is_empty() {
        "{}"
    } else {
        config
    };
    let mut json = serde_json::Deserializer::from_str(config);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let message = inner.to_string();
        if path == "." || !inner.is_data() {
            return vec![message];
        }
        // The host makes the JSON from TOML, so a place in it tells the operator nothing.
        let place = format!(" at line {} column {}", inner.line(), inner.column());
        vec![format!(
            "{path}: {}",
            message.strip_suffix(&place).unwrap_or(&message)
        )]
    })?;
    json.end().map_err(|error| vec![error.to_string()])?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        #[serde(default)]
        rules: Vec<Rule>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        limit: u64,
    }

    #[test]
    fn errors_name_the_setting() {
        let error = |config: &str| parse::<Config>(config).unwrap_err().concat();
        assert!(
            error(r#"{"rules":[{"limit":"ten"}]}"#).starts_with("rules[0].limit: invalid type")
        );
        assert!(
            error(r#"{"rule":[]}"#).starts_with("rule: unknown field `rule`"),
            "{}",
            error(r#"{"rule":[]}"#)
        );
        assert!(error("{} x").contains("trailing"));
    }

    #[test]
    fn no_configuration_is_an_empty_one() {
        assert!(parse::<Config>("").unwrap().rules.is_empty());
        assert_eq!(
            parse::<Config>(r#"{"rules":[{"limit":3}]}"#).unwrap().rules[0].limit,
            3
        );
    }
}
