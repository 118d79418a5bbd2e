"""The official Python SDKs against Weir, unmodified but for base URL and key.

Run by tests/tests/it/sdk.rs, which sets WEIR_URL (a gateway), WEIR_KEY (a virtual key), WEIR_BEHIND
(`fake`: the built-in provider; `replay`: recorded replies of the real ones) and, for `replay`,
WEIR_EXPECTED (what the recordings say was used). The gateway refuses some models itself:
`forbidden` (403), `absent` (404) and `limited` (429).
"""

import json
import os
import unittest

import anthropic
import openai
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types

URL = os.environ["WEIR_URL"]
KEY = os.environ["WEIR_KEY"]
BEHIND = os.environ["WEIR_BEHIND"]
EXPECTED = json.loads(os.environ.get("WEIR_EXPECTED", "{}"))

MESSAGES = [{"role": "user", "content": "What is the weather in Paris?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def provider_error(status):
    """The model and the headers with which a provider answers this status."""
    if BEHIND == "fake":
        return "good", {"x-fake-status": str(status)}
    return f"status-{status}", {}


class Case(unittest.TestCase):
    def used(self, name, given, taken):
        """Holds the usage that an SDK reports against the recording."""
        self.assertGreater(given, 0)
        self.assertGreater(taken, 0)
        if name in EXPECTED:
            self.assertEqual([given, taken], EXPECTED[name])


class OpenAi(Case):
    def setUp(self):
        self.client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
        self.addCleanup(self.client.close)

    def test_chat(self):
        reply = self.client.chat.completions.create(model="good", messages=MESSAGES)
        self.assertTrue(reply.choices[0].message.content)
        self.used("openai_chat", reply.usage.prompt_tokens, reply.usage.completion_tokens)

    def test_chat_streamed(self):
        stream = self.client.chat.completions.create(
            model="good", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        text, usage = "", None
        for chunk in stream:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
        self.assertTrue(text)
        self.used("openai_chat_streamed", usage.prompt_tokens, usage.completion_tokens)

    def test_tool_calls(self):
        tools = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
        reply = self.client.chat.completions.create(model="good", messages=MESSAGES, tools=tools)
        call = reply.choices[0].message.tool_calls[0]
        self.assertTrue(call.id and call.function.name)
        self.assertIsInstance(json.loads(call.function.arguments), dict)

        stream = self.client.chat.completions.create(model="good", messages=MESSAGES, tools=tools, stream=True)
        arguments, name = "", ""
        for chunk in stream:
            for choice in chunk.choices:
                for delta in choice.delta.tool_calls or []:
                    if delta.index == 0:
                        name += delta.function.name or ""
                        arguments += delta.function.arguments or ""
        self.assertTrue(name)
        self.assertIsInstance(json.loads(arguments), dict)

    def test_responses(self):
        reply = self.client.responses.create(model="good", input="What is the weather in Paris?")
        self.assertTrue(reply.output_text)
        self.used("openai_responses", reply.usage.input_tokens, reply.usage.output_tokens)

        text, last = "", None
        for event in self.client.responses.create(model="good", input="Hello", stream=True):
            last = event
            if event.type == "response.output_text.delta":
                text += event.delta
        self.assertTrue(text)
        self.assertEqual(last.type, "response.completed")
        self.used("openai_responses_streamed", last.response.usage.input_tokens, last.response.usage.output_tokens)

    def test_embeddings(self):
        reply = self.client.embeddings.create(model="good", input=["one", "two"])
        self.assertEqual(len(reply.data), 2)
        self.assertIsInstance(reply.data[0].embedding[0], float)

    def test_models(self):
        self.assertTrue(list(self.client.models.list()))

    def test_errors_of_weir(self):
        wrong = openai.OpenAI(base_url=f"{URL}/v1", api_key="sk-wrong", max_retries=0)
        self.addCleanup(wrong.close)
        with self.assertRaises(openai.AuthenticationError) as raised:
            wrong.chat.completions.create(model="good", messages=MESSAGES)
        self.assertEqual(raised.exception.code, "key_unknown")
        self.assertTrue(raised.exception.request_id.startswith("req_"))
        for model, kind, code in [
            ("forbidden", openai.PermissionDeniedError, "model_not_allowed"),
            ("absent", openai.NotFoundError, "model_not_found"),
            ("limited", openai.RateLimitError, "rate_limit_exceeded"),
        ]:
            for stream in [False, True]:
                with self.assertRaises(kind) as raised:
                    self.client.chat.completions.create(model=model, messages=MESSAGES, stream=stream)
                self.assertEqual(raised.exception.code, code)

    def test_errors_of_the_provider(self):
        for status, kind in [
            (400, openai.BadRequestError),
            (401, openai.AuthenticationError),
            (403, openai.PermissionDeniedError),
            (404, openai.NotFoundError),
            (429, openai.RateLimitError),
            (500, openai.InternalServerError),
        ]:
            model, headers = provider_error(status)
            with self.assertRaises(kind) as raised:
                self.client.chat.completions.create(model=model, messages=MESSAGES, extra_headers=headers)
            self.assertEqual(raised.exception.status_code, status)


class Anthropic(Case):
    def setUp(self):
        self.client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)
        self.addCleanup(self.client.close)

    def given(self, usage):
        """All tokens of the prompt: the cached ones stand beside the others here."""
        cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
        return usage.input_tokens + cached

    def ask(self, client=None, **more):
        asked = {"model": "good", "max_tokens": 100, "messages": MESSAGES} | more
        return (client or self.client).messages.create(**asked)

    def test_messages(self):
        reply = self.ask()
        self.assertTrue(reply.content[0].text)
        self.used("anthropic_messages", self.given(reply.usage), reply.usage.output_tokens)

    def test_messages_streamed(self):
        asked = {"model": "good", "max_tokens": 100, "messages": MESSAGES}
        with self.client.messages.stream(**asked) as stream:
            text = "".join(stream.text_stream)
            message = stream.get_final_message()
        self.assertTrue(text)
        self.used("anthropic_messages_streamed", self.given(message.usage), message.usage.output_tokens)

    def test_tool_calls(self):
        tools = [{"name": "get_weather", "description": "The weather.", "input_schema": SCHEMA}]
        blocks = [block for block in self.ask(tools=tools).content if block.type == "tool_use"]
        self.assertTrue(blocks[0].id and blocks[0].name)
        self.assertIsInstance(blocks[0].input, dict)

        asked = {"model": "good", "max_tokens": 100, "messages": MESSAGES, "tools": tools}
        with self.client.messages.stream(**asked) as stream:
            message = stream.get_final_message()
        blocks = [block for block in message.content if block.type == "tool_use"]
        self.assertIsInstance(blocks[0].input, dict)

    def test_count_tokens(self):
        counted = self.client.messages.count_tokens(model="good", messages=MESSAGES)
        self.assertGreater(counted.input_tokens, 0)

    def test_errors_of_weir(self):
        wrong = anthropic.Anthropic(base_url=URL, api_key="sk-wrong", max_retries=0)
        self.addCleanup(wrong.close)
        with self.assertRaises(anthropic.AuthenticationError) as raised:
            self.ask(wrong)
        self.assertTrue(raised.exception.request_id.startswith("req_"))
        for model, kind in [
            ("forbidden", anthropic.PermissionDeniedError),
            ("absent", anthropic.NotFoundError),
            ("limited", anthropic.RateLimitError),
        ]:
            for stream in [False, True]:
                with self.assertRaises(kind) as raised:
                    self.ask(model=model, stream=stream)
                self.assertEqual(raised.exception.body["type"], "error")

    def test_errors_of_the_provider(self):
        for status, kind in [
            (400, anthropic.BadRequestError),
            (401, anthropic.AuthenticationError),
            (403, anthropic.PermissionDeniedError),
            (404, anthropic.NotFoundError),
            (429, anthropic.RateLimitError),
            (500, anthropic.InternalServerError),
        ]:
            model, headers = provider_error(status)
            with self.assertRaises(kind) as raised:
                self.ask(model=model, extra_headers=headers)
            self.assertEqual(raised.exception.status_code, status)


class Gemini(Case):
    def setUp(self):
        self.client = self.connect(KEY)

    def connect(self, key, headers=None):
        options = genai_types.HttpOptions(base_url=URL, headers=headers)
        return genai.Client(api_key=key, http_options=options)

    def taken(self, usage):
        """All tokens of the answer: those of its thoughts stand beside the others here."""
        return usage.candidates_token_count + (usage.thoughts_token_count or 0)

    def test_generate(self):
        reply = self.client.models.generate_content(model="good", contents="What is the weather in Paris?")
        self.assertTrue(reply.text)
        self.used("gemini_generate", reply.usage_metadata.prompt_token_count, self.taken(reply.usage_metadata))

    def test_generate_streamed(self):
        text, usage = "", None
        for chunk in self.client.models.generate_content_stream(model="good", contents="Hello"):
            text += chunk.text or ""
            usage = chunk.usage_metadata or usage
        self.assertTrue(text)
        self.used("gemini_generate_streamed", usage.prompt_token_count, self.taken(usage))

    def test_tool_calls(self):
        declared = genai_types.FunctionDeclaration(name="get_weather", parameters_json_schema=SCHEMA)
        config = genai_types.GenerateContentConfig(
            tools=[genai_types.Tool(function_declarations=[declared])],
            automatic_function_calling=genai_types.AutomaticFunctionCallingConfig(disable=True),
        )
        reply = self.client.models.generate_content(model="good", contents="Weather?", config=config)
        self.assertTrue(reply.function_calls[0].name)
        self.assertIsInstance(reply.function_calls[0].args, dict)

    def raises(self, client, model, status):
        with self.assertRaises(genai_errors.APIError) as raised:
            client.models.generate_content(model=model, contents="Hello")
        self.assertEqual(raised.exception.code, status)

    def test_errors(self):
        self.raises(self.connect("sk-wrong"), "good", 401)
        for model, status in [("forbidden", 403), ("absent", 404), ("limited", 429)]:
            self.raises(self.client, model, status)
        for status in [400, 403, 404, 500]:
            model, headers = provider_error(status)
            self.raises(self.connect(KEY, headers), model, status)


if __name__ == "__main__":
    unittest.main()
