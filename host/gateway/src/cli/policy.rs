//! `weir policy …`: the policies of a running gateway and their versions, over its admin API; and a
//! policy's project (`project`) and file (`local`) on its author's machine.

mod component;
mod journal;
mod local;
mod project;
mod push;
mod replay;

use std::fmt::Write as _;
use std::io::{Write, stdout};
use std::process::ExitCode;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::gateway::{Gateway, broken, sent};

pub(super) use component::{Component, component};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a project: a policy in a language of yours that builds and passes its own cases.
    New(project::New),
    /// Build a project's component with the language's tools. Ends with 2 where one is missing.
    Build(project::Build),
    /// Say what a component is: its hooks, its imports, and what it would have to be granted.
    Check(local::Check),
    /// Run cases: what calls look like, and what the policy is to make of them.
    Test(local::Test),
    /// Time a policy's hooks: microseconds of each, start and memory, beside a baseline.
    Bench(local::Bench),
    /// Run calls that were through a version, and show what it would have decided otherwise.
    Replay(replay::Arguments),
    /// List the policies in the order in which they are asked; with a name, its versions.
    List {
        /// The policy.
        name: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// Upload a version and put it in force. Ends with 1 where it waits for approval.
    Push(push::Push),
    /// Say that a version may do more than the one in force.
    Approve {
        /// The policy.
        name: String,
        /// The version, by the first digits of its digest.
        digest: String,
        #[command(flatten)]
        at: At,
    },
    /// Put a stored version in force.
    Activate {
        /// The policy.
        name: String,
        /// The version, by the first digits of its digest.
        digest: String,
        #[command(flatten)]
        at: At,
    },
    /// Go back to the version before.
    Rollback {
        /// The policy.
        name: String,
        #[command(flatten)]
        at: At,
    },
    /// Try a stored version beside the one in force: as a shadow, or for a share of the keys.
    Try {
        /// The policy.
        name: String,
        /// The version, by the first digits of its digest.
        digest: String,
        /// Percent of the keys whose calls it decides; without, it decides none.
        #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=99))]
        canary: Option<u32>,
        #[command(flatten)]
        at: At,
    },
    /// Show what came of the trial so far; with --end, for the last time.
    Trial {
        /// The policy.
        name: String,
        /// End it.
        #[arg(long)]
        end: bool,
        #[command(flatten)]
        at: At,
    },
}

/// Where the policy is.
#[derive(Debug, clap::Args)]
pub(super) struct At {
    /// The tenant whose own policy it is; else it is one of the operator's.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    #[command(flatten)]
    gateway: Gateway,
}

#[derive(Debug, Deserialize)]
struct Detail {
    versions: Vec<Version>,
    running: Option<Running>,
}

#[derive(Debug, Deserialize)]
struct Version {
    digest: String,
    size_bytes: u64,
    state: String,
    reason: Option<String>,
    hooks: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    data: Vec<Policy>,
}

#[derive(Debug, Deserialize)]
struct Policy {
    name: String,
    running: Option<Running>,
}

#[derive(Debug, Deserialize)]
struct Running {
    digest: Option<String>,
    source: String,
    hooks: Vec<String>,
    mode: String,
    failures: u64,
    last_error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Trial {
    digest: String,
    kind: String,
    percent: Option<u32>,
    in_force: Side,
    tried: Side,
    differences: u64,
    last_differences: Vec<Difference>,
}

#[derive(Debug, Deserialize)]
struct Side {
    calls: u64,
    denials: u64,
    failures: u64,
    mean_micros: u64,
}

#[derive(Debug, Deserialize)]
struct Difference {
    call: String,
    model: String,
    hook: String,
    in_force: String,
    tried: String,
}

/// Does it. The error is a sentence for the one who typed it.
pub(super) fn run(command: Command) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let (text, code) = runtime.block_on(answer(command))?;
    let _ = stdout().write_all(text.as_bytes());
    Ok(code)
}

async fn answer(command: Command) -> Result<(String, ExitCode), String> {
    let text = match command {
        Command::New(new) => return project::new(&new),
        Command::Build(build) => return project::run(build).await,
        Command::Push(push) => return push::push(push).await,
        Command::Check(check) => return local::check(check).await,
        Command::Bench(bench) => return local::bench(bench).await,
        Command::Replay(arguments) => return replay::run(arguments).await,
        Command::Test(test) => return local::test(test).await,
        Command::List { name: None, at } => list(&at).await?,
        Command::List {
            name: Some(name),
            at,
        } => versions(&at.versions(&name).await?),
        Command::Approve { name, digest, at } => {
            let digest = at.digest(&name, &digest).await?;
            at.post(&name, "approve", &json!({ "digest": digest }))
                .await?;
            format!("{digest} may do what it asks for; activate it to put it in force\n")
        }
        Command::Activate { name, digest, at } => {
            let digest = at.digest(&name, &digest).await?;
            at.post(&name, "activate", &json!({ "digest": digest }))
                .await?;
            format!("{digest} decides from now on\n")
        }
        Command::Rollback { name, at } => {
            let done = at.post(&name, "rollback", &Value::Null).await?;
            format!(
                "back to {}\n",
                done.get("digest")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            )
        }
        Command::Try {
            name,
            digest,
            canary,
            at,
        } => {
            let digest = at.digest(&name, &digest).await?;
            let kind = if canary.is_some() { "canary" } else { "shadow" };
            let body = json!({ "digest": digest, "kind": kind, "percent": canary });
            let request = with_json(at.request(Method::PUT, &name, "/trial")?, &body);
            trial(&read(request).await?)
        }
        Command::Trial { name, end, at } => {
            let method = if end { Method::DELETE } else { Method::GET };
            trial(&read(at.request(method, &name, "/trial")?).await?)
        }
    };
    Ok((text, ExitCode::SUCCESS))
}

impl At {
    /// A request about a policy; an empty name is all of them.
    fn request(
        &self,
        method: Method,
        policy: &str,
        what: &str,
    ) -> Result<reqwest::RequestBuilder, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        for name in [Some(policy), self.tenant.as_deref()].into_iter().flatten() {
            if !name.bytes().all(plain) {
                return Err(format!("{name:?} is no name"));
            }
        }
        let of = self
            .tenant
            .as_ref()
            .map_or_else(String::new, |tenant| format!("tenants/{tenant}/"));
        let slash = if policy.is_empty() { "" } else { "/" };
        self.gateway
            .at(method, &format!("{of}policies{slash}{policy}{what}"))
    }

    /// What a further command needs to be about the same tenant.
    fn flags(&self) -> String {
        self.tenant
            .as_ref()
            .map_or_else(String::new, |tenant| format!(" --tenant {tenant}"))
    }

    async fn post(&self, policy: &str, what: &str, body: &Value) -> Result<Value, String> {
        let request = self.request(Method::POST, policy, &format!("/{what}"))?;
        read(if body.is_null() {
            request
        } else {
            with_json(request, body)
        })
        .await
    }

    async fn versions(&self, policy: &str) -> Result<Vec<Version>, String> {
        let shown: Detail = read(self.request(Method::GET, policy, "")?).await?;
        Ok(shown.versions)
    }

    /// The whole digest of the one version that begins so.
    async fn digest(&self, policy: &str, begin: &str) -> Result<String, String> {
        let mut found = self.versions(policy).await?;
        found.retain(|version| version.digest.starts_with(begin));
        match found.as_slice() {
            [one] => Ok(one.digest.clone()),
            [] => Err(format!("policy {policy} has no version {begin}")),
            _ => Err(format!("several versions of {policy} begin with {begin}")),
        }
    }
}

async fn read<T: serde::de::DeserializeOwned>(
    request: reqwest::RequestBuilder,
) -> Result<T, String> {
    let answer = sent(request).await?.bytes().await;
    let answer = answer.map_err(|error| broken(&error))?;
    serde_json::from_slice(&answer)
        .map_err(|error| format!("the gateway's answer is not understood: {error}"))
}

async fn read_text(request: reqwest::RequestBuilder) -> Result<String, String> {
    sent(request)
        .await?
        .text()
        .await
        .map_err(|error| broken(&error))
}

fn with_json(request: reqwest::RequestBuilder, body: &Value) -> reqwest::RequestBuilder {
    request
        .header("content-type", "application/json")
        .body(body.to_string())
}

async fn list(at: &At) -> Result<String, String> {
    let listed: Listed = read(at.request(Method::GET, "", "")?).await?;
    let mut text = String::new();
    for policy in listed.data {
        let Some(running) = policy.running else {
            let _ = writeln!(text, "{}  nothing runs yet", policy.name);
            continue;
        };
        let _ = writeln!(
            text,
            "{}  {}  {}  {}  {}  {} failures",
            policy.name,
            short(running.digest.as_deref().unwrap_or("-")),
            running.source,
            running.hooks.join(","),
            running.mode,
            running.failures
        );
        if let Some(error) = running.last_error {
            let _ = writeln!(text, "    {error}");
        }
    }
    Ok(text)
}

fn versions(versions: &[Version]) -> String {
    let mut text = String::new();
    for version in versions {
        let _ = writeln!(
            text,
            "{}  {}  {} bytes  {}",
            short(&version.digest),
            version.state,
            version.size_bytes,
            version.hooks.join(",")
        );
        if let Some(reason) = &version.reason {
            let _ = writeln!(text, "    {reason}");
        }
    }
    text
}

fn trial(trial: &Trial) -> String {
    let percent = trial.percent.map_or_else(String::new, |percent| {
        format!(" with {percent} % of the keys")
    });
    let mut text = format!("{}: {}{percent}\n", short(&trial.digest), trial.kind);
    for (what, side) in [("in force", &trial.in_force), ("tried", &trial.tried)] {
        let _ = writeln!(
            text,
            "{what}: {} calls, {} refused, {} failed, {} microseconds a call",
            side.calls, side.denials, side.failures, side.mean_micros
        );
    }
    let _ = writeln!(text, "{} calls decided differently", trial.differences);
    for one in &trial.last_differences {
        let _ = writeln!(
            text,
            "  {} {} {}: {}, tried: {}",
            one.call, one.model, one.hook, one.in_force, one.tried
        );
    }
    text
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
