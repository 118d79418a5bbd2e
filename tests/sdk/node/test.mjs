// The official Node SDKs against Weir, unmodified but for base URL and key.
//
// Run by tests/tests/it/sdk.rs in the same way as ../python/test_sdks.py; see there for the
// environment and for the models that the gateway refuses itself.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';

const { WEIR_URL: url, WEIR_KEY: key, WEIR_BEHIND: behind } = process.env;
const expected = JSON.parse(process.env.WEIR_EXPECTED ?? '{}');
const messages = [{ role: 'user', content: 'What is the weather in Paris?' }];
const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });

/** The model and the headers with which a provider answers this status. */
const providerError = (status) =>
  behind === 'fake' ? ['good', { 'x-fake-status': String(status) }] : [`status-${status}`, {}];

/** Holds the usage that an SDK reports against the recording. */
const used = (name, given, taken) => {
  assert.ok(given > 0 && taken > 0);
  if (expected[name]) assert.deepEqual([given, taken], expected[name]);
};

/** All tokens of a prompt: in Anthropic's usage the cached ones stand beside the others. */
const given = (usage) =>
  usage.input_tokens + (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0);

test('openai: chat', async () => {
  const reply = await openai.chat.completions.create({ model: 'good', messages });
  assert.ok(reply.choices[0].message.content);
  used('openai_chat', reply.usage.prompt_tokens, reply.usage.completion_tokens);
});

test('openai: chat, streamed', async () => {
  const asked = { model: 'good', messages, stream: true, stream_options: { include_usage: true } };
  let text = '';
  let usage;
  for await (const chunk of await openai.chat.completions.create(asked)) {
    usage = chunk.usage ?? usage;
    for (const choice of chunk.choices) text += choice.delta.content ?? '';
  }
  assert.ok(text);
  used('openai_chat_streamed', usage.prompt_tokens, usage.completion_tokens);
});

test('openai: tool calls', async () => {
  const tools = [{ type: 'function', function: { name: 'get_weather', parameters: schema } }];
  const reply = await openai.chat.completions.create({ model: 'good', messages, tools });
  const call = reply.choices[0].message.tool_calls[0];
  assert.equal(typeof JSON.parse(call.function.arguments), 'object');

  const stream = openai.chat.completions.stream({ model: 'good', messages, tools });
  const [first] = (await stream.finalChatCompletion()).choices[0].message.tool_calls;
  assert.equal(typeof JSON.parse(first.function.arguments), 'object');
});

test('openai: responses', async () => {
  const reply = await openai.responses.create({ model: 'good', input: 'Hello' });
  assert.ok(reply.output_text);
  used('openai_responses', reply.usage.input_tokens, reply.usage.output_tokens);

  let last;
  for await (const event of await openai.responses.create({ model: 'good', input: 'Hello', stream: true })) last = event;
  assert.equal(last.type, 'response.completed');
});

test('openai: embeddings', async () => {
  const reply = await openai.embeddings.create({ model: 'good', input: ['one', 'two'] });
  assert.equal(reply.data.length, 2);
  assert.equal(typeof reply.data[0].embedding[0], 'number');
});

test('openai: errors of Weir', async () => {
  const wrong = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-wrong', maxRetries: 0 });
  await assert.rejects(wrong.chat.completions.create({ model: 'good', messages }), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.equal(error.code, 'key_unknown');
    assert.match(error.requestID, /^req_/);
    return true;
  });
  for (const [model, kind, code] of [
    ['forbidden', OpenAI.PermissionDeniedError, 'model_not_allowed'],
    ['absent', OpenAI.NotFoundError, 'model_not_found'],
    ['limited', OpenAI.RateLimitError, 'rate_limit_exceeded'],
  ]) {
    await assert.rejects(openai.chat.completions.create({ model, messages }), (error) => {
      assert.ok(error instanceof kind, `${model}: ${error}`);
      assert.equal(error.code, code);
      return true;
    });
  }
});

test('openai: errors of the provider', async () => {
  for (const [status, kind] of [
    [400, OpenAI.BadRequestError],
    [401, OpenAI.AuthenticationError],
    [403, OpenAI.PermissionDeniedError],
    [404, OpenAI.NotFoundError],
    [429, OpenAI.RateLimitError],
    [500, OpenAI.InternalServerError],
  ]) {
    const [model, headers] = providerError(status);
    await assert.rejects(openai.chat.completions.create({ model, messages }, { headers }), kind);
  }
});

test('anthropic: messages', async () => {
  const asked = { model: 'good', max_tokens: 100, messages };
  const reply = await anthropic.messages.create(asked);
  assert.ok(reply.content[0].text);
  used('anthropic_messages', given(reply.usage), reply.usage.output_tokens);
  const message = await anthropic.messages.stream(asked).finalMessage();
  assert.ok(message.content[0].text);
  used('anthropic_messages_streamed', given(message.usage), message.usage.output_tokens);
});

test('anthropic: tool calls', async () => {
  const tools = [{ name: 'get_weather', description: 'The weather.', input_schema: schema }];
  const asked = { model: 'good', max_tokens: 100, messages, tools };
  for (const reply of [await anthropic.messages.create(asked), await anthropic.messages.stream(asked).finalMessage()]) {
    const block = reply.content.find((found) => found.type === 'tool_use');
    assert.equal(typeof block.input, 'object');
  }
});

test('anthropic: errors', async () => {
  const asked = { max_tokens: 100, messages };
  const wrong = new Anthropic({ baseURL: url, apiKey: 'sk-wrong', maxRetries: 0 });
  await assert.rejects(wrong.messages.create({ model: 'good', ...asked }), Anthropic.AuthenticationError);
  for (const [model, kind] of [
    ['forbidden', Anthropic.PermissionDeniedError],
    ['absent', Anthropic.NotFoundError],
    ['limited', Anthropic.RateLimitError],
  ]) {
    await assert.rejects(anthropic.messages.create({ model, ...asked }), kind);
  }
  for (const [status, kind] of [
    [403, Anthropic.PermissionDeniedError],
    [404, Anthropic.NotFoundError],
    [429, Anthropic.RateLimitError],
    [500, Anthropic.InternalServerError],
  ]) {
    const [model, headers] = providerError(status);
    await assert.rejects(anthropic.messages.create({ model, ...asked }, { headers }), kind);
  }
});
