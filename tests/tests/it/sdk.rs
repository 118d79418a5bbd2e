//! The makers' own SDKs, in Python and for Node, unmodified but for base URL and key.
//!
//! They are installed once into a folder outside of the clone and kept there. The suites are in
//! `tests/sdk`; each runs against the built-in provider and against recorded replies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use serde_json::{Value, json};
use weir_tests::{Answer, Gateway, KEY, Provider, Recording, Seen, counts, digest};

use crate::skip;

/// What both gateways refuse themselves. Nothing rests for long, and each status of the provider is
/// asked for once: some of them kill a key.
const GOVERNED: &str = r#"
[cooldown]
first_ms = 1
max_ms = 1
[limits]
attempts_max = 1
[[policy]]
name = "permissions"
source = "builtin:permissions"
deadline_ms = 5000
[policy.config]
models = ["*", "-forbidden"]
[[policy]]
name = "limits"
source = "builtin:limits"
deadline_ms = 5000
[[policy.config.limits]]
match = { models = ["limited"] }
unit = "requests"
window = "minute"
limit = 0
"#;

const MODELS: &str = "models = [\"good\", \"forbidden\", \"limited\", \"status-*\"]\n";

/// Recorded replies by what is asked for, and the name under which the suites expect their usage.
const RECORDED: [(&str, &str); 12] = [
    (
        "openai_chat",
        "openai/chat_completions/ai-gateway__chat-multiturn",
    ),
    (
        "openai_chat_streamed",
        "openai/chat_completions/pydantic-ai__test-openai-test-openai-moderation-stream",
    ),
    (
        "openai_chat_tools",
        "openai/chat_completions/langsmith-sdk__6127babf",
    ),
    (
        "openai_chat_tools_streamed",
        "openai/chat_completions/fantasy__testopenaicommon-openai-gpt-5-multi-tool-streaming",
    ),
    (
        "openai_responses",
        "openai/responses/activeagent__responses-common-format",
    ),
    (
        "openai_responses_streamed",
        "openai/responses/lmnr-python__test-litellm-test-litellm-responses-streaming",
    ),
    (
        "anthropic_messages",
        "anthropic/messages/openinference__testtokencounts-test-anthropic",
    ),
    (
        "anthropic_messages_streamed",
        "anthropic/messages/openinference__test-instrumentor-test-anthropic-instrumentation-stream-message",
    ),
    (
        "anthropic_messages_tools",
        "anthropic/messages/openinference__test-tool-calls-response",
    ),
    (
        "anthropic_messages_tools_streamed",
        "anthropic/messages/mirascope__t-with-tools-anthropic-streams",
    ),
    (
        "gemini_generate",
        "gemini/generateContent/langsmith-sdk__test-gemini-test-custom-config",
    ),
    (
        "gemini_generate_tools",
        "gemini/generateContent/openinference__test-instrumentation-test-response-with-multiple",
    ),
];
const GEMINI_STREAM: (&str, &str) = (
    "gemini_generate_streamed",
    "gemini/streamGenerateContent/dd-trace-js__ta-models-gemini-2-0-flash",
);

fn recorded(name: &str) -> Recording {
    let all = RECORDED.iter().chain([&GEMINI_STREAM]);
    let found = all.into_iter().find(|(known, _)| *known == name);
    Recording::find(found.unwrap_or_else(|| panic!("no recording for {name}")).1)
}

/// A provider's answer to whatever an SDK asks.
fn answer(seen: &Seen) -> Answer {
    let (path, body) = (seen.path.split('?').next().unwrap_or_default(), seen.json());
    let model = body["model"]
        .as_str()
        .unwrap_or_else(|| path.rsplit('/').next().unwrap_or_default());
    if let Some(status) = model.strip_prefix("status-") {
        return error(
            path,
            status
                .split(':')
                .next()
                .unwrap_or_default()
                .parse()
                .expect("a status"),
        );
    }
    let kind = match path {
        "/v1/chat/completions" => "openai_chat",
        "/v1/responses" => "openai_responses",
        "/v1/messages" => "anthropic_messages",
        "/v1/embeddings" => {
            // The same two numbers, in the form that some SDKs ask for to save bytes.
            let numbers = if body["encoding_format"] == "base64" {
                json!("AACAPgAAAL8=")
            } else {
                json!([0.25, -0.5])
            };
            let one =
                |index: u8| json!({"object": "embedding", "index": index, "embedding": numbers});
            return Answer::json(
                200,
                &json!({"object": "list", "model": "m", "data": [one(0), one(1)], "usage": {"prompt_tokens": 2, "total_tokens": 2}}),
            );
        }
        "/v1/messages/count_tokens" => return Answer::json(200, &json!({"input_tokens": 12})),
        "/v1/models" => {
            return Answer::json(
                200,
                &json!({"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "x"}]}),
            );
        }
        _ => "gemini_generate",
    };
    let tools = if body["tools"].is_array() {
        "_tools"
    } else {
        ""
    };
    let streamed = body["stream"] == true || path.ends_with(":streamGenerateContent");
    Answer::replay(&recorded(&format!(
        "{kind}{tools}{}",
        if streamed { "_streamed" } else { "" }
    )))
}

/// An error in the shape of whose path it is. Nothing in it says that the key is dead.
fn error(path: &str, status: u16) -> Answer {
    let message = "The provider does not want to.";
    let body = if path.contains("/v1beta/") {
        json!({"error": {"code": status, "message": message, "status": "FAILED_PRECONDITION"}})
    } else if path == "/v1/messages" {
        json!({"type": "error", "error": {"type": "some_error", "message": message}})
    } else {
        json!({"error": {"message": message, "type": "some_error", "param": null, "code": "some_code"}})
    };
    Answer::json(status, &body)
}

/// Three dialects of one provider, and more keys than the suites kill.
fn replaying() -> (Provider, Gateway) {
    let provider = Provider::with(answer);
    let keys: Vec<String> = (0..60).map(|number| format!("plain:pk-{number}")).collect();
    let channel =
        |dialect| provider.channel(dialect, dialect, &format!("keys = {keys:?}\n{MODELS}"));
    let settings =
        GOVERNED.to_owned() + &channel("openai") + &channel("anthropic") + &channel("gemini");
    let gateway = Gateway::start(&settings);
    (provider, gateway)
}

fn expected() -> Value {
    let all = RECORDED.iter().chain([&GEMINI_STREAM]);
    let named = all
        .filter(|(name, _)| !name.contains("tools"))
        .map(|(name, start)| {
            let (dialect, recording) = (
                name.split('_').next().unwrap_or_default(),
                Recording::find(start),
            );
            let counts =
                counts(dialect, &recording).unwrap_or_else(|| panic!("{start} reports no usage"));
            ((*name).to_owned(), json!([counts.input, counts.output]))
        });
    Value::Object(named.collect())
}

fn suite(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("sdk")
        .join(folder)
}

/// One installation at a time, and each only once: the folder is named after what is in it.
fn installed(kind: &str, wanted: &str, install: impl FnOnce(&Path)) -> PathBuf {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache"));
    let folder = cache
        .join("weir/sdk")
        .join(format!("{kind}-{}", &digest(wanted.as_bytes())[..12]));
    let done = folder.join("installed");
    if !done.exists() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        install(&folder);
        fs::write(done, "").unwrap();
    }
    folder
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Whether the program is here and of use.
fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Runs a suite against both gateways.
fn check(suite: impl Fn() -> Command) {
    let fake = Gateway::start(&format!(
        "{GOVERNED}[[channel]]\nname = \"fake\"\ndialect = \"fake\"\n{MODELS}"
    ));
    let (_provider, replay) = replaying();
    for (behind, gateway, expected) in [("fake", &fake, json!({})), ("replay", &replay, expected())]
    {
        let url = format!("http://{}", gateway.acme().address());
        let mut command = suite();
        command
            .env("WEIR_URL", url)
            .env("WEIR_KEY", KEY)
            .env("WEIR_BEHIND", behind);
        run(command.env("WEIR_EXPECTED", expected.to_string()));
    }
}

#[test]
fn the_python_sdks_work_unmodified() {
    if !runs(
        "python3",
        &[
            "-c",
            "import venv, ensurepip, sys; sys.exit(sys.version_info < (3, 10))",
        ],
    ) {
        return skip(
            "WEIR_SDK",
            "the Python SDKs need python3 (3.10 or newer) with venv: on Debian, apt-get install python3-venv",
        );
    }
    let requirements = suite("python").join("requirements.txt");
    let environment = installed(
        "python",
        &fs::read_to_string(&requirements).unwrap(),
        |folder| {
            run(Command::new("python3").args(["-m", "venv"]).arg(folder));
            run(Command::new(folder.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
                .arg(&requirements));
        },
    );
    check(|| {
        let mut command = Command::new(environment.join("bin/python"));
        command.arg("-B").arg(suite("python").join("test_sdks.py"));
        command
    });
}

#[test]
fn the_node_sdks_work_unmodified() {
    if !runs(
        "node",
        &[
            "-e",
            "process.exit(Number(process.versions.node.split('.')[0]) < 20 ? 1 : 0)",
        ],
    ) || !runs("npm", &["--version"])
    {
        return skip(
            "WEIR_SDK",
            "the Node SDKs need node (20 or newer) and npm: on Debian, apt-get install nodejs npm",
        );
    }
    let package = fs::read_to_string(suite("node").join("package.json")).unwrap();
    let test = fs::read_to_string(suite("node").join("test.mjs")).unwrap();
    let folder = installed("node", &package, |folder| {
        fs::write(folder.join("package.json"), &package).unwrap();
        run(Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund"])
            .current_dir(folder));
    });
    // Node looks for packages beside the file that asks for them.
    let place = tempfile::Builder::new()
        .prefix("run-")
        .tempdir_in(&folder)
        .unwrap();
    fs::write(place.path().join("test.mjs"), test).unwrap();
    check(|| {
        let mut command = Command::new("node");
        command.arg("--test").arg(place.path().join("test.mjs"));
        command
    });
}
