//! What the fake provider reads of a request: the last message, the tools, the bounds.

use serde_json::Value;

use crate::Dialect;

/// A request in the one shape that the script is written from.
pub(super) struct Prompt {
    /// The text of the last message; empty if there is none.
    pub(super) last_text: String,
    /// Whether the last message is the result of a tool.
    pub(super) last_is_tool_result: bool,
    /// The words of every text in the prompt.
    pub(super) words: u64,
    /// The tool to call, if one may and can be called.
    pub(super) tool: Option<Tool>,
    /// The most output tokens that the request allows.
    pub(super) max_output_tokens: Option<u64>,
    /// The schema of the JSON that was asked for in place of prose; null where any JSON will do.
    pub(super) schema: Option<Value>,
    /// How many alternative answers were asked for, 1 to 16.
    pub(super) choices: u64,
}

/// A function that the request offers.
#[derive(Clone)]
pub(super) struct Tool {
    pub(super) name: String,
    /// JSON schema of the arguments; null if there is none.
    pub(super) schema: Value,
}

impl Prompt {
    pub(super) fn read(dialect: Dialect, body: &Value) -> Self {
        let roots: &[&str] = match dialect {
            Dialect::OpenaiChat => &["messages"],
            Dialect::OpenaiResponses => &["instructions", "input"],
            Dialect::AnthropicMessages => &["system", "messages"],
            Dialect::GeminiGenerate | Dialect::GeminiOther => {
                &["systemInstruction", "system_instruction", "contents"]
            }
            _ => &["prompt", "input"],
        };
        let words = roots
            .iter()
            .filter_map(|root| body.get(root))
            .map(words_of)
            .sum();
        let last = roots.iter().rev().find_map(|root| body.get(root));
        let last = last.map(|list| list.as_array().and_then(|all| all.last()).unwrap_or(list));
        let mut last_text = String::new();
        last.into_iter()
            .for_each(|message| collect(message, &mut last_text));
        Self {
            last_text,
            last_is_tool_result: last.is_some_and(is_tool_result),
            words,
            tool: tool(body),
            max_output_tokens: max_output_tokens(body),
            schema: schema(body),
            choices: body
                .get("n")
                .and_then(Value::as_u64)
                .map_or(1, |n| n.clamp(1, 16)),
        }
    }
}

/// The first of these fields that is there. Gemini takes camelCase and snake_case alike.
pub(super) fn either<'a>(value: &'a Value, one: &str, other: &str) -> Option<&'a Value> {
    value.get(one).or_else(|| value.get(other))
}

/// The words of every text in `value`; each number of a list counts as a token that it is.
pub(super) fn words_of(value: &Value) -> u64 {
    let mut text = String::new();
    collect(value, &mut text);
    u64::try_from(text.split_whitespace().count()).unwrap_or(u64::MAX)
}

/// Appends every text part below `value`, a message, a list of them or a bare string, a line each.
fn collect(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(text);
        }
        Value::Number(_) => out.push_str(" #"),
        Value::Array(all) => all.iter().for_each(|part| collect(part, out)),
        Value::Object(fields) => {
            let texts = ["text", "content", "parts", "output", "contents"];
            for part in texts.iter().filter_map(|name| fields.get(*name)) {
                collect(part, out);
            }
            // A function's result in Gemini is an object; its JSON is its text.
            if let Some(result) = either(value, "functionResponse", "function_response")
                && let Some(response) = result.get("response")
            {
                out.push_str(&response.to_string());
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn is_tool_result(message: &Value) -> bool {
    let role = message.get("role").and_then(Value::as_str);
    let kind = message.get("type").and_then(Value::as_str);
    let parts = message.get("content").or_else(|| message.get("parts"));
    matches!(role, Some("tool" | "function"))
        || kind == Some("function_call_output")
        || parts
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .any(|part| {
                part.get("type").and_then(Value::as_str) == Some("tool_result")
                    || either(part, "functionResponse", "function_response").is_some()
            })
}

/// The tool that the choice names, else the first, unless none may be called.
fn tool(body: &Value) -> Option<Tool> {
    let config = either(body, "toolConfig", "tool_config")
        .and_then(|config| either(config, "functionCallingConfig", "function_calling_config"));
    let choice = body.get("tool_choice").or(config).unwrap_or(&Value::Null);
    let mode = choice
        .as_str()
        .or_else(|| either(choice, "type", "mode").and_then(Value::as_str));
    if mode.is_some_and(|mode| mode.eq_ignore_ascii_case("none")) {
        return None;
    }
    let allowed = either(choice, "allowedFunctionNames", "allowed_function_names");
    let named = choice
        .get("name")
        .or_else(|| {
            choice
                .get("function")
                .and_then(|function| function.get("name"))
        })
        .or_else(|| allowed.and_then(|names| names.get(0)))
        .and_then(Value::as_str);
    let mut tools = body
        .get("tools")
        .and_then(Value::as_array)?
        .iter()
        .flat_map(functions);
    tools.find(|tool| named.is_none_or(|name| name == tool.name))
}

/// The functions in one entry of `tools`: one in OpenAI's and Anthropic's dialects, several in
/// Gemini's, none for a tool that the provider runs itself.
fn functions(entry: &Value) -> Vec<Tool> {
    if let Some(all) = either(entry, "functionDeclarations", "function_declarations") {
        return all
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(function)
            .collect();
    }
    let kind = entry
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("function");
    if !matches!(kind, "function" | "custom") {
        return Vec::new();
    }
    function(entry.get("function").unwrap_or(entry))
        .into_iter()
        .collect()
}

fn function(declared: &Value) -> Option<Tool> {
    let schema = [
        "parameters",
        "input_schema",
        "parametersJsonSchema",
        "parameters_json_schema",
    ]
    .iter()
    .find_map(|name| declared.get(*name));
    Some(Tool {
        name: declared.get("name")?.as_str()?.to_owned(),
        schema: schema.cloned().unwrap_or(Value::Null),
    })
}

fn max_output_tokens(body: &Value) -> Option<u64> {
    let config = either(body, "generationConfig", "generation_config");
    ["max_completion_tokens", "max_tokens", "max_output_tokens"]
        .iter()
        .find_map(|name| body.get(*name).and_then(Value::as_u64))
        .or_else(|| either(config?, "maxOutputTokens", "max_output_tokens")?.as_u64())
}

/// The schema of the JSON text that is asked for; an empty one where any JSON will do.
fn schema(body: &Value) -> Option<Value> {
    let format = body
        .get("response_format")
        .or_else(|| body.get("output_format"))
        .or_else(|| body.get("text").and_then(|text| text.get("format")))
        .or_else(|| {
            body.get("output_config")
                .and_then(|output| output.get("format"))
        });
    if let Some(format) = format {
        return match format.get("type").and_then(Value::as_str) {
            Some("json_schema") => {
                let holder = format.get("json_schema").unwrap_or(format);
                Some(holder.get("schema").cloned().unwrap_or(Value::Null))
            }
            Some("json_object") => Some(Value::Null),
            _ => None,
        };
    }
    let config = either(body, "generationConfig", "generation_config")?;
    let any_json = either(config, "responseMimeType", "response_mime_type")
        .is_some_and(|kind| kind == "application/json");
    either(config, "responseSchema", "response_schema")
        .or_else(|| either(config, "responseJsonSchema", "response_json_schema"))
        .cloned()
        .or_else(|| any_json.then_some(Value::Null))
}
