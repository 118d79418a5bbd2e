//! Settings as users meet them: mistakes, precedence, defaults, and what runs in the end.

use std::path::PathBuf;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

fn config(text: &str) -> Config {
    match load(&Sources::of_text(text)) {
        Ok(loaded) => loaded.config,
        Err(errors) => panic!("{errors}"),
    }
}

fn mistakes(text: &str) -> String {
    load(&Sources::of_text(text)).unwrap_err().to_string()
}

fn sources(text: &str, environment: &[(&str, &str)], overrides: Overrides) -> Sources {
    let pairs = environment.iter();
    let environment = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Sources {
        environment: environment.collect(),
        overrides,
        ..Sources::of_text(text)
    }
}

#[test]
fn a_file_with_many_mistakes_is_reported_in_one_go() {
    let text = r#"
liste = "127.0.0.1:8080"
listen = "localhost"
workers = "four"

[limits]
body_max_bytes = 12
body_max = 1

[log]
format = "jsn"
level = "info,weir=debg"

[[channel]]
name = "main"
dialect = "opnai"

[[channel]]
name = "main"
dialect = "openai"
keys = ["env:NOT_SET", "sk-live-do-not-print"]
base_url = "api.openai.com"
modles = ["*"]
fake = { status = 500 }

[[tenant]]
labels = { plan = 1 }

[[tenant.key]]
name = "one"
expires = "tomorrow"

[[policy]]
name = "mine"
source = "builtin:permission"
deadline_ms = 0
grants = { secrets = ["tokn", "other"], http = ["https://a.example"] }

[secrets]
token = "plain:hush"
other = "plain:"
"#;
    assert_snapshot!(mistakes(text), @r##"
    weir.toml:2:1: unknown setting "liste" in the file's root; did you mean "listen"?
    weir.toml:3:10: listen: must be an address and port like "127.0.0.1:8080", not "localhost"
    weir.toml:4:11: workers: must be an integer, not text
    weir.toml:7:18: limits.body_max_bytes: must be from 1024 to 4294967296, not 12
    weir.toml:8:1: unknown setting "body_max" in [limits]; did you mean "body_max_bytes"?
    weir.toml:11:10: log.format: must be "auto" or "human" or "json", not "jsn"; did you mean "json"?
    weir.toml:12:9: log.level: "debg" is no level (off, error, warn, info, debug, trace); did you mean "debug"?
    weir.toml:16:11: channel[0].dialect: must be "openai" or "anthropic" or "gemini" or "fake", not "opnai"; did you mean "openai"?
    weir.toml:21:9: channel[1].keys[0]: the environment variable NOT_SET is not set
    weir.toml:21:24: channel[1].keys[1]: must be a secret written as "env:NAME", "file:PATH" or "plain:VALUE"
    weir.toml:22:12: channel[1].base_url: must be a URL like "https://host/path", not "api.openai.com"
    weir.toml:23:1: unknown setting "modles" in [channel[1]]; did you mean "models"?
    weir.toml:24:8: channel[1].fake: is only for the dialect "fake", not for "openai"
    weir.toml:26:1: tenant[0].name: is missing; it must be a name of 1 to 64 letters, digits, ".", "_" and "-"
    weir.toml:27:19: tenant[0].labels.plan: must be text, not an integer
    weir.toml:31:11: tenant[0].key[0].expires: must be a date like 2027-01-31 (its beginning in UTC) or a time like 2027-01-31T12:00:00Z, not "tomorrow"
    weir.toml:35:10: policy[0].source: no policy "permission" comes with Weir, only permissions, limits, aliases, router; did you mean "permissions"?
    weir.toml:36:15: policy[0].deadline_ms: must be from 1 to 10000, not 0
    weir.toml:37:23: policy[0].grants.secrets[0]: [secrets] has no "tokn"; did you mean "token"?
    weir.toml:37:49: policy[0].grants.http[0]: must be a host like "api.example.com", "api.example.com:8443" or "*.example.com", not "https://a.example"
    weir.toml:41:9: secrets.other: nothing follows "plain:"
    "##);
}

#[test]
fn every_syntax_error_has_its_place_and_no_secret() {
    assert_snapshot!(mistakes("listen = \n[limits\nx = \"plain:hush\nworkers = 3 3\n"), @r##"
    weir.toml:1:10: not TOML: string values must be quoted, expected literal string
    weir.toml:2:8: not TOML: unclosed table, expected `]`
    "##);
    assert_snapshot!(mistakes("workers = 1\nworkers = 2\n"), @r##"weir.toml:2:1: not TOML: duplicate key"##);
    assert_snapshot!(mistakes("workers = 99999999999999999999"), @r##"weir.toml:1:11: workers: this integer does not fit 64 bits"##);
}

#[test]
fn what_only_the_whole_can_know_is_checked() {
    let text = r#"
listen = "127.0.0.1:1"
admin_listen = "127.0.0.1:1"
cooldown = { first_ms = 10, max_ms = 9 }
runtime = { memory_max_bytes = 65536 }
[[channel]]
name = "a"
dialect = "openai"
model_map = { fast = "" }
headers = { host = "x", "b d" = "y" }
[[channel]]
name = "a"
dialect = "fake"
base_url = "http://x"
fake = { status = 500 }
[[channel]]
name = "b"
dialect = "openai"
fake = { status = 500 }
[[tenant]]
name = "t"
time_zone = "Mars/Olympus"
key = [{ name = "k", secret = "plain:sixteen-characters" }, { name = "k", secret = "plain:sixteen-characters" }]
[[policy]]
name = "p"
source = "file:p.wasm"
memory_max_bytes = 65537
[[policy]]
name = "p"
source = "builtin:limts"
[secrets]
gone = "file:/does/not/exist"
"#;
    assert_snapshot!(mistakes(text), @r##"
    weir.toml:3:16: admin_listen: is the same as listen; leave it out to have both on one address
    weir.toml:4:12: cooldown: max_ms, 9, is less than first_ms, 10
    weir.toml:9:22: channel[0].model_map.fast: the model "fast" is mapped to nothing
    weir.toml:10:20: channel[0].headers.host: the header "host" is Weir's own to set
    weir.toml:10:33: channel[0].headers."b d": "b d" is no header name
    weir.toml:12:8: channel[1].name: the channel a exists already: weir.toml:7:8
    weir.toml:14:12: channel[1].base_url: has no meaning with the dialect "fake", which sends nothing anywhere
    weir.toml:19:8: channel[2].fake: is only for the dialect "fake", not for "openai"
    weir.toml:22:13: tenant[0].time_zone: the time zone "Mars/Olympus" is not known on this machine
    weir.toml:23:70: tenant[0].key[1].name: the key k exists already: weir.toml:23:17
    weir.toml:23:84: tenant[0].key[1].secret: is the same secret as that of tenant[0].key[0]
    weir.toml:27:20: policy[0].memory_max_bytes: must not be more than runtime.memory_max_bytes, 65536
    weir.toml:29:8: policy[1].name: the policy p exists already: weir.toml:25:8
    weir.toml:30:10: policy[1].source: no policy "limts" comes with Weir, only permissions, limits, aliases, router; did you mean "limits"?
    weir.toml:32:8: secrets.gone: cannot read the secret file /does/not/exist: No such file or directory (os error 2)
    "##);
}

#[test]
fn mistakes_on_the_way_to_a_provider_are_told_and_show_no_password() {
    let text = r#"
[[channel]]
name = "a"
dialect = "openai"
proxy = "http://me:hush@proxy"
ca_file = "/does/not/exist.pem"
timeout = [{ operations = ["pictures"], first_byte_ms = 0 }]
[[channel]]
name = "b"
dialect = "openai"
base_url = "http://10.0.0.1/v1"
proxy = "me:hush@proxy:1"
client_cert_file = "a.pem"
[[channel]]
name = "c"
dialect = "fake"
proxy = "socks5://proxy:1"
client_key_file = "a.pem"
[[channel]]
name = "d"
dialect = "openai"
proxy = "env:PROXY"
client_cert_file = "/does/not/exist.pem"
client_key_file = "/does/not/exist.key"
"#;
    assert_snapshot!(mistakes(text), @r##"
    weir.toml:5:9: channel[0].proxy: a proxy's port must be written
    weir.toml:6:11: channel[0].ca_file: cannot be used: /does/not/exist.pem: I/O error: No such file or directory (os error 2)
    weir.toml:7:28: channel[0].timeout[0].operations[0]: must be "chat" or "completion" or "embedding" or "image" or "speech" or "transcription" or "moderation" or "rerank" or "video" or "realtime" or "file" or "batch" or "models" or "count-tokens" or "tool-call" or "other", not "pictures"
    weir.toml:7:57: channel[0].timeout[0].first_byte_ms: must be from 1 to 86400000, not 0
    weir.toml:12:9: channel[1].proxy: a proxy is http://host:port, socks5://host:port or socks5h://host:port
    weir.toml:13:20: channel[1].client_cert_file: has no meaning with a base_url of http://
    weir.toml:13:20: channel[1].client_cert_file: needs client_key_file beside it
    weir.toml:17:9: channel[2].proxy: has no meaning with the dialect "fake", which sends nothing anywhere
    weir.toml:18:19: channel[2].client_key_file: has no meaning with the dialect "fake", which sends nothing anywhere
    weir.toml:18:19: channel[2].client_key_file: needs client_cert_file beside it
    weir.toml:22:9: channel[3].proxy: the environment variable PROXY is not set
    weir.toml:23:20: channel[3].client_cert_file: cannot be used: /does/not/exist.pem: I/O error: No such file or directory (os error 2)
    "##);
}

#[test]
fn a_proxy_is_taken_from_where_it_is_kept_and_its_password_hidden() {
    let text = r#"
[[channel]]
name = "a"
dialect = "openai"
proxy = "http://me:hush@proxy:1"
[[channel]]
name = "b"
dialect = "openai"
proxy = "env:PROXY"
[[channel]]
name = "off"
dialect = "openai"
proxy = "env:MISSING"
ca_file = "/does/not/exist.pem"
disabled = true
"#;
    let environment = [("PROXY", "socks5h://me:hush@proxy:2")];
    let loaded = load(&sources(text, &environment, Overrides::new())).unwrap();
    let shown = loaded.config.channels.iter().map(|channel| {
        let proxy = channel.proxy.as_ref().map(ToString::to_string);
        proxy.unwrap_or_default()
    });
    assert_eq!(
        shown.collect::<Vec<_>>(),
        ["http://(hidden)@proxy:1", "socks5://(hidden)@proxy:2", ""]
    );
    let redacted = loaded.config.redacted();
    assert_eq!(redacted["channel"][0]["proxy"], "http://(hidden)@proxy:1");
    assert_eq!(redacted["channel"][1]["proxy"], "env:PROXY");
    assert!(!format!("{redacted} {:?}", loaded.config).contains("hush"));
}

#[test]
fn the_command_line_wins_over_the_environment_over_the_file() {
    let text =
        "workers = 1\n[limits]\nconnections_max = 1\nheader_max_count = 100\nattempts_max = 3";
    let environment = [
        ("WEIR_WORKERS", "2"),
        ("WEIR_LIMITS_CONNECTIONS_MAX", "2_000"),
        ("WEIR_LIMITS_HEADER_MAX_COUNT", "20"),
        ("WEIR_TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("WEIR_DEFAULT_CHAIN", "false"),
        ("WEIR_LOG_LEVEL", ""),
        ("WEIR_ADMIN_KEY", "hush"),
        ("WEIR_PORT", "tcp://10.0.0.1:80"),
        ("WEIR_WORKER", "1"),
    ];
    let overrides = Overrides::new()
        .set("limits.header_max_count=40")
        .set("upstream.ca_files=[\"a.pem\"]")
        .flag("--listen", "listen", Some("0.0.0.0:0"))
        .flag("--admin-listen", "admin_listen", None);
    let loaded = load(&sources(text, &environment, overrides)).unwrap();
    let config = loaded.config;
    assert_eq!(config.workers, 2);
    assert_eq!(config.limits.connections_max, 2_000);
    assert_eq!(config.limits.header_max_count, 40);
    assert_eq!(config.limits.attempts_max, 3);
    assert_eq!(config.trusted_proxies.len(), 2);
    assert_eq!(config.listen.to_string(), "0.0.0.0:0");
    assert_eq!(config.upstream.ca_files, [PathBuf::from("a.pem")]);
    assert_eq!(config.log.level.as_str(), "info");
    assert!(config.policies.is_empty());
    assert_snapshot!(loaded.warnings.join("\n"), @r##"
    the environment variable WEIR_PORT is none that Weir knows
    the environment variable WEIR_WORKER is none that Weir knows; did you mean WEIR_WORKERS?
    "##);
}

#[test]
fn mistakes_outside_of_the_file_name_their_source() {
    let environment = [
        ("WEIR_WORKERS", "many"),
        ("WEIR_LOG_FORMAT", "xml"),
        ("WEIR_LEDGER_FLUSH_MS", "0"),
    ];
    let overrides = Overrides::new()
        .set("limits.body_maxbytes=1")
        .set("workers")
        .flag("--listen", "listen", Some("here"));
    let errors = load(&sources("", &environment, overrides)).unwrap_err();
    assert_snapshot!(errors, @r##"
    WEIR_LEDGER_FLUSH_MS: ledger.flush_ms: must be from 1 to 60000, not 0
    WEIR_LOG_FORMAT: log.format: must be "auto" or "human" or "json", not "xml"
    WEIR_WORKERS: workers: must be an integer, not text
    --listen: listen: must be an address and port like "127.0.0.1:8080", not "here"
    --set limits.body_maxbytes: unknown setting "limits.body_maxbytes"; did you mean "limits.body_max_bytes"?
    --set workers: has no value: write path=value
    "##);
}

#[test]
fn everything_that_can_be_written_arrives() {
    let text = r#"
policies_dir = ""
public_url = "https://weir.example/ai/"
[[channel]]
name = "openai-main"
dialect = "openai"
base_url = "https://proxy.example:8443/v1/"
keys = ["plain:one", "env:TWO"]
models = ["gpt-*", "org/*"]
model_map = { fast = "gpt-4o-mini" }
priority = 10
headers = { "OpenAI-Organization" = "org-1" }
http2 = "prior-knowledge"
[[channel]]
name = "play"
dialect = "fake"
models = "fake-*"
[channel.fake]
events = 3
[[tenant]]
name = "acme"
labels = { plan = "pro" }
time_zone = "Europe/Berlin"
[[tenant.key]]
name = "search"
secret = "plain:wk-0123456789abcdef"
expires = 2027-01-31
[[tenant.key]]
name = "later"
expires = 2027-01-31T01:00:00+01:00
[[policy]]
name = "mine"
source = "file:mine.wasm"
mode = "shadow"
tenants = ["a*"]
grants = { http = ["API.example.com:8443", "*.example.com"], secrets = ["token"], models = ["*"] }
[policy.config]
rules = [{ when = 2026-01-01, share = 0.5 }]
[[price]]
model = "gpt-*"
input_micros_per_million = 2_500_000
output_micros_per_million = 10_000_000
cached_micros_per_million = 1_250_000
[secrets]
token = "env:TWO"
"#;
    let mut sources = sources(text, &[("TWO", "two")], Overrides::new());
    sources.file.as_mut().unwrap().path = PathBuf::from("/etc/weir/weir.toml");
    let config = load(&sources).unwrap().config;
    assert_eq!(config.policies_dir, None);
    assert_eq!(config.data_dir, PathBuf::from("./weir-data"));
    assert_eq!(
        config.public_url.as_ref().unwrap().to_string(),
        "https://weir.example/ai"
    );

    let [openai, fake] = &config.channels[..] else {
        panic!()
    };
    assert_eq!(openai.keys[1].secret.expose(), "two");
    assert_eq!(
        openai.base_url.as_ref().unwrap().to_string(),
        "https://proxy.example:8443/v1"
    );
    assert!(openai.models.is_match("org/a/b") && !openai.models.is_match("claude"));
    assert_eq!(openai.model_map["fast"], "gpt-4o-mini");
    assert_eq!(openai.headers[0].1, "org-1");
    assert!(openai.fake.is_none());
    assert_eq!(fake.fake.as_ref().unwrap().events, Some(3));
    assert!(fake.models.is_match("fake-large") && fake.base_url.is_none());

    let acme = &config.tenants[0];
    assert_eq!(
        acme.keys[0].secret.as_ref().unwrap().expose(),
        "wk-0123456789abcdef"
    );
    assert_eq!(acme.keys[0].expires_unix_ms, Some(1_801_353_600_000));
    assert_eq!(acme.keys[1].expires_unix_ms, Some(1_801_353_600_000));

    let [mine] = &config.policies[..] else {
        panic!()
    };
    assert_eq!(
        mine.source,
        PolicySource::File("/etc/weir/mine.wasm".into())
    );
    assert_eq!(mine.grants.http, ["api.example.com:8443", "*.example.com"]);
    assert_eq!(
        mine.config.to_string(),
        r#"{"rules":[{"share":0.5,"when":"2026-01-01"}]}"#
    );
    assert!(mine.tenants.is_match("acme") && !mine.tenants.is_match("b"));

    let [price] = &config.prices[..] else {
        panic!()
    };
    assert_eq!(price.cached_micros_per_million, 1_250_000);
    assert_eq!(price.cache_write_micros_per_million, 2_500_000);

    let redacted = config.redacted().to_string();
    for secret in ["plain:one", "two", "wk-0123", "org-1"] {
        assert!(!redacted.contains(secret), "{secret} in {redacted}");
    }
    assert!(!format!("{config:?}").contains("wk-0123"));
    assert_eq!(config.redacted()["channel"][0]["keys"][1], "env:TWO");
}

#[test]
fn nothing_written_runs_the_default_chain() {
    let config = config("");
    let names: Vec<&str> = config.policies.iter().map(|policy| &*policy.name).collect();
    assert_eq!(names, BUILTIN_POLICIES);
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.policies_dir, Some("./policies.d".into()));
}

#[test]
fn a_disabled_channel_may_miss_its_keys() {
    let channel = "[[channel]]\nname = \"a\"\ndialect = \"openai\"\nkeys = [\"env:GONE\"]\n";
    assert!(load(&Sources::of_text(channel)).is_err());
    let disabled = config(&format!("{channel}disabled = true"));
    assert!(disabled.channels[0].keys.is_empty());
    let lacks = disabled.channels[0].lacks.as_deref().unwrap_or_default();
    assert!(lacks.contains("GONE is not set"), "{lacks}");
    let whole = channel.replace("env:GONE", "plain:sk-1") + "disabled = true";
    let whole = &config(&whole).channels[0];
    assert_eq!((whole.keys.len(), &whole.lacks), (1, &None));
}

#[test]
fn secret_files_lose_their_last_newline() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), "hush hush\n").unwrap();
    let mut sources = Sources::of_text("[secrets]\na = \"file:key\"");
    sources.file.as_mut().unwrap().path = dir.path().join("weir.toml");
    let config = load(&sources).unwrap().config;
    assert_eq!(config.secrets["a"].expose(), "hush hush");
}

#[test]
fn a_reload_can_tell_what_changed() {
    let before = config("workers = 1\n[[channel]]\nname = \"a\"\ndialect = \"fake\"");
    let after = config("workers = 2\n[limits]\nattempts_max = 1\n[secrets]\na = \"plain:b\"");
    assert_eq!(
        before.changed_settings(&after),
        ["limits.attempts_max", "workers"]
    );
    assert!(before.changed_settings(&before).is_empty());
}

#[test]
fn a_channels_keys_can_have_terms_of_their_own() {
    let channel = |more: &str| {
        let head = "[[channel]]\nname = \"a\"\ndialect = \"openai\"\nkeys = [\"plain:one\"]\n";
        load(&Sources::of_text(&format!("{head}{more}")))
    };
    let more = "key_strategy = \"sticky\"\nsticky_by = \"label:team\"\n[[channel.key]]\nsecret = \"plain:two\"\nname = \"second\"\nlevel = 2\nrpm = 5\n";
    let loaded = channel(more).unwrap().config;
    let [one, two] = &loaded.channels[0].keys[..] else {
        panic!("{:?}", loaded.channels[0].keys)
    };
    assert_eq!((one.terms, two.terms.level), (KeyTerms::default(), 2));
    assert_eq!(
        (two.terms.rpm, two.name.as_deref()),
        (Some(5), Some("second"))
    );
    assert_eq!(loaded.channels[0].key_strategy, KeyStrategy::Sticky);
    assert_eq!(loaded.channels[0].sticky_by, StickyBy::Label("team".into()));
    for (wrong, says) in [
        ("sticky_by = \"label:\"", "must be \"key\""),
        ("key_strategy = \"roundrobin\"", "round_robin"),
        (
            "[[channel.key]]\nsecret = \"plain:x\"\nrpm = 0",
            "must be from 1",
        ),
    ] {
        let errors = channel(wrong).unwrap_err().to_string();
        assert!(errors.contains(says), "{errors}");
    }
}

#[test]
fn starter_channels_follow_the_keys_in_the_environment() {
    let channels = |variables: &[&str]| {
        let pairs = variables
            .iter()
            .map(|name| ((*name).to_owned(), "sk-1".to_owned()));
        starter_channels(&pairs.collect())
    };
    let fake = channels(&[]);
    assert_eq!(
        (&*fake[0].name, fake[0].dialect),
        ("fake", ChannelDialect::Fake)
    );
    let one = channels(&["ANTHROPIC_API_KEY"]);
    assert!(one.len() == 1 && one[0].models.is_everything());
    let two = channels(&["ANTHROPIC_API_KEY", "OPENAI_API_KEY"]);
    assert!(two[0].models.is_match("gpt-5") && !two[0].models.is_match("claude-opus-4-5"));
    assert_eq!(
        two[0].base_url.as_ref().unwrap().to_string(),
        "https://api.openai.com/v1"
    );
}

#[test]
fn environment_variables_are_unique() {
    let page = settings_markdown();
    let mut variables: Vec<&str> = page
        .split('`')
        .filter(|part| part.starts_with("WEIR_") && *part != "WEIR_CONFIG")
        .collect();
    let count = variables.len();
    variables.sort_unstable();
    variables.dedup();
    assert_eq!(variables.len(), count);
    assert!(count > 40, "only {count} variables are documented");
}

/// `UPDATE_SETTINGS=1 cargo test` writes the page anew.
#[test]
fn settings_md_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/SETTINGS.md");
    let page = settings_markdown();
    if std::env::var_os("UPDATE_SETTINGS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == committed,
        "SETTINGS.md is stale: run `UPDATE_SETTINGS=1 make test`"
    );
}

proptest! {
    #[test]
    fn any_text_loads_or_is_refused(text in "\\PC*|[a-z_\\[\\]=\"{}.,0-9\\n -]{0,200}") {
        let _ = load(&Sources::of_text(&text));
    }

    #[test]
    fn any_value_of_a_setting_loads_or_is_refused(
        setting in prop::sample::select(vec![
            "listen", "public_url", "trusted_proxies", "workers", "log", "limits", "channel",
            "tenant", "policy", "price", "secrets", "cooldown.first_ms", "policies_dir",
        ]),
        value in "\\PC{0,20}",
        number in any::<i64>(),
    ) {
        let quoted = serde_json::to_string(&value).unwrap();
        for value in [value.clone(), quoted.clone(), number.to_string(), format!("[{quoted}]"),
            format!("[{{ name = {quoted}, dialect = \"fake\", source = {quoted} }}]")] {
            let _ = load(&Sources::of_text(&format!("{setting} = {value}")));
        }
        let overrides = Overrides::new().set(&format!("{setting}={value}"));
        let _ = load(&sources("", &[], overrides));
    }
}

#[test]
fn a_cost_that_leads_to_another_model_needs_its_bound_and_the_other_way_round() {
    let rule = |more: &str| {
        let head = "[[fallback]]\nmodel = [\"a\"]\nto = [\"b\"]\n";
        load(&Sources::of_text(&format!("{head}{more}")))
    };
    let wrong = ["on = [\"cost\"]", "cost_max_micros = 5"];
    for (wrong, says) in wrong.into_iter().zip(["needs cost_max_micros", "\"cost\""]) {
        let errors = rule(wrong).unwrap_err().to_string();
        assert!(errors.contains(says), "{wrong}: {errors}");
    }
    let right = rule("on = [\"cost\"]\ncost_max_micros = 5").unwrap().config;
    assert_eq!(right.fallbacks[0].cost_max_micros, Some(5));
}

#[test]
fn each_dialect_goes_on_in_its_own_way() {
    let channel = |dialect: &str, prefill: &str| {
        load(&Sources::of_text(&format!(
            "[[channel]]\nname = \"a\"\ndialect = \"{dialect}\"\nprefill = \"{prefill}\"\n"
        )))
    };
    assert!(channel("openai", "continue_final_message").is_ok());
    assert!(channel("anthropic", "plain").is_ok());
    let wrong = [
        ("anthropic", "prefix", "must be \"plain\""),
        ("gemini", "partial", "must be \"plain\""),
        ("fake", "plain", "has no meaning"),
        ("openai", "always", "prefix_echoed"),
    ];
    for (dialect, prefill, says) in wrong {
        let errors = channel(dialect, prefill).unwrap_err().to_string();
        assert!(errors.contains(says), "{dialect} {prefill}: {errors}");
    }
}
