/* The functions of the bindings, answered from `weir_double`. Never linked into a component. */
#include "weir_double.h"

#include <string.h>
#include <strings.h>

#include "../src/arena.h"

weir_double_t weir_double;

typedef struct entry {
  struct entry *next;
  weir_string_t key;
  weir_bytes_t value;
  uint64_t expires_ms; /* 0: never */
} entry_t;
static entry_t *entries;

static weir_string_t kept(weir_string_t text) {
  uint8_t *made = weir_keep(text.len + 1);
  if (text.len) memcpy(made, text.ptr, text.len);
  return (weir_string_t){made, text.len};
}

/* What a test gives and looks at outlives hooks; nothing of it is freed, a test is short. */
static void note(weir_strings_t *list, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  weir_string_t line = kept(weir_formatted(format, arguments));
  va_end(arguments);
  weir_string_t *grown = weir_keep((list->len + 1) * sizeof *grown);
  if (list->len) memcpy(grown, list->ptr, list->len * sizeof *grown);
  grown[list->len] = line;
  *list = (weir_strings_t){grown, list->len + 1};
}

static bool refuse(weir_string_t *error, const char *sentence) {
  *error = weir_text(sentence);
  return false;
}

void weir_double_reset(void) {
  weir_double = (weir_double_t){
      .id = "req_1", .dialect = "openai.chat", .method = "POST", .path = "/v1/chat/completions",
      .tenant = "acme", .key = "key_1", .client_ip = "192.0.2.1", .body = "", .now_ms = 1767614400000};
  entries = NULL;
}

weir_errors_t weir_double_init(const char *json) {
  weir_errors_t errors = {0};
  policy_init(kept(weir_text(json)), &errors);
  return errors;
}

weir_summary_t weir_double_chat(const char *model) {
  return (weir_summary_t){.model = kept(weir_text(model)), .input_tokens = 10};
}

weir_pairs_t weir_double_pairs(const char *name, ...) {
  weir_pairs_t pairs = {weir_keep(32 * sizeof *pairs.ptr), 0};
  va_list rest;
  va_start(rest, name);
  for (; name && pairs.len < 32; name = va_arg(rest, const char *))
    pairs.ptr[pairs.len++] = (weir_pair_t){kept(weir_text(name)), kept(weir_text(va_arg(rest, const char *)))};
  va_end(rest);
  return pairs;
}

weir_candidate_t weir_double_candidate(uint32_t channel) {
  return (weir_candidate_t){.channel = channel, .weight = 1, .usable_keys = 1, .headroom = 1, .input_price = -1, .output_price = -1};
}

static bool find(weir_pairs_t pairs, weir_string_t name, bool any_case, weir_string_t *value) {
  weir_double.imports++;
  for (size_t i = 0; i < pairs.len; i++) {
    weir_string_t known = pairs.ptr[i].f0;
    bool same = any_case ? known.len == name.len && strncasecmp((char *)known.ptr, (char *)name.ptr, name.len) == 0 : weir_same(known, name);
    if (same) { *value = pairs.ptr[i].f1; return true; }
  }
  return false;
}

#define FACT(name) \
  void weir_policy_call_##name(weir_string_t *ret) { weir_double.imports++, *ret = weir_text(weir_double.name); }
FACT(id) FACT(dialect) FACT(method) FACT(path) FACT(tenant) FACT(key) FACT(client_ip)

void weir_policy_call_query(weir_pairs_t *ret) { weir_double.imports++, *ret = weir_double.query; }
void weir_policy_call_headers(weir_pairs_t *ret) { weir_double.imports++, *ret = weir_double.headers; }
void weir_policy_call_messages(weir_messages_t *ret) { weir_double.imports++, *ret = weir_double.messages; }
void weir_policy_call_body(weir_bytes_t *ret) { weir_double.imports++, *ret = (weir_bytes_t){(uint8_t *)weir_double.body, strlen(weir_double.body)}; }
void weir_policy_call_remember(uint32_t for_ms) { weir_double.imports++, weir_double.remember_ms = for_ms; }
bool weir_policy_call_label(weir_string_t *name, weir_string_t *ret) { return find(weir_double.labels, *name, false, ret); }
bool weir_policy_call_header(weir_string_t *name, weir_string_t *ret) { return find(weir_double.headers, *name, true, ret); }
bool weir_policy_call_json(weir_string_t *pointer, weir_string_t *ret) { return find(weir_double.json, *pointer, false, ret); }
bool weir_policy_secrets_get(weir_string_t *name, weir_string_t *ret) { return find(weir_double.secrets, *name, false, ret); }

static const weir_double_channel_t *channel_of(uint32_t number) {
  static const weir_double_channel_t none = {"", "", "", {0}};
  weir_double.imports++;
  return number >= 1 && number <= weir_double.channels_len ? &weir_double.channels[number - 1] : &none;
}
void weir_policy_channels_name(uint32_t channel, weir_string_t *ret) { *ret = weir_text(channel_of(channel)->name); }
void weir_policy_channels_provider(uint32_t channel, weir_string_t *ret) { *ret = weir_text(channel_of(channel)->provider); }
void weir_policy_channels_model(uint32_t channel, weir_string_t *ret) {
  const char *model = channel_of(channel)->model;
  *ret = weir_text(model ? model : "gpt-4o");
}
bool weir_policy_channels_label(uint32_t channel, weir_string_t *name, weir_string_t *ret) {
  return find(channel_of(channel)->labels, *name, false, ret);
}

#define NOTE(...) weir_double.imports++, note(&weir_double.edits, __VA_ARGS__)
bool weir_policy_edit_set_model(weir_string_t *model, weir_string_t *err) { (void)err; NOTE("set-model %.*s", WEIR_ARG(*model)); return true; }
bool weir_policy_edit_set_header(weir_string_t *name, weir_string_t *value, weir_string_t *err) {
  if (weir_is(*name, "authorization") || weir_is(*name, "x-api-key") || weir_is(*name, "host")) return refuse(err, "this header is the gateway's");
  NOTE("set-header %.*s: %.*s", WEIR_ARG(*name), WEIR_ARG(*value));
  return true;
}
bool weir_policy_edit_remove_header(weir_string_t *name, weir_string_t *err) { (void)err; NOTE("remove-header %.*s", WEIR_ARG(*name)); return true; }
bool weir_policy_edit_set_json(weir_string_t *pointer, weir_string_t *json, weir_string_t *err) {
  if (!weir_json_read(*json, weir_alloc)) return refuse(err, "not JSON");
  NOTE("set-json %.*s %.*s", WEIR_ARG(*pointer), WEIR_ARG(*json));
  return true;
}
bool weir_policy_edit_remove_json(weir_string_t *pointer, weir_string_t *err) { (void)err; NOTE("remove-json %.*s", WEIR_ARG(*pointer)); return true; }
bool weir_policy_edit_prepend_system(weir_string_t *text, weir_string_t *err) { (void)err; NOTE("prepend-system %.*s", WEIR_ARG(*text)); return true; }
bool weir_policy_edit_set_message_text(uint32_t index, weir_string_t *text, weir_string_t *err) {
  (void)err;
  NOTE("set-message-text %u %.*s", index, WEIR_ARG(*text));
  return true;
}
bool weir_policy_edit_replace_body(weir_bytes_t *body, weir_string_t *err) { (void)err; NOTE("replace-body %.*s", WEIR_ARG(*body)); return true; }

static entry_t *alive(weir_string_t key) {
  weir_double.imports++;
  for (entry_t *one = entries; one; one = one->next)
    if (weir_same(one->key, key)) return one->expires_ms && one->expires_ms <= weir_double.now_ms ? NULL : one;
  return NULL;
}
static void put(weir_string_t key, weir_bytes_t value, uint64_t expires_ms) {
  entry_t *made = weir_keep(sizeof *made);
  weir_string_t copy = kept((weir_string_t){value.ptr, value.len});
  *made = (entry_t){entries, kept(key), {copy.ptr, copy.len}, expires_ms};
  entries = made; /* hides an older one */
}
static uint64_t expiry(uint32_t *ttl_ms) { return ttl_ms ? weir_double.now_ms + *ttl_ms : 0; }

bool weir_policy_store_get(weir_string_t *key, weir_bytes_t *ret) {
  entry_t *found = alive(*key);
  if (found) *ret = found->value;
  return found != NULL;
}
bool weir_policy_store_set(weir_string_t *key, weir_bytes_t *value, uint32_t *ttl_ms, weir_string_t *err) {
  (void)err;
  weir_double.imports++;
  put(*key, *value, expiry(ttl_ms));
  return true;
}
void weir_policy_store_remove(weir_string_t *key) {
  entry_t *found = alive(*key);
  if (found) found->expires_ms = 1;
}
bool weir_policy_store_add(weir_string_t *key, int64_t by, uint32_t *ttl_ms, int64_t *ret, weir_string_t *err) {
  entry_t *found = alive(*key);
  char text[32] = "0", *end;
  if (found && found->value.len >= sizeof text) return refuse(err, "the value is not an integer");
  if (found) memcpy(text, found->value.ptr, found->value.len), text[found->value.len] = 0;
  long long old = strtoll(text, &end, 10);
  if (*end || end == text) return refuse(err, "the value is not an integer");
  *ret = old + by;
  weir_string_t sum = weir_format("%lld", (long long)*ret);
  put(*key, (weir_bytes_t){sum.ptr, sum.len}, found ? found->expires_ms : expiry(ttl_ms));
  return true;
}

void weir_policy_log_write(weir_policy_log_level_t level, weir_string_t *message) {
  static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
  weir_double.imports++;
  note(&weir_double.logs, "%s: %.*s", names[level], WEIR_ARG(*message));
}
static void metric(weir_string_t name, double value, weir_pairs_t labels) {
  weir_string_t shown = weir_format("%s", "");
  for (size_t i = 0; i < labels.len; i++)
    shown = weir_format("%.*s%s%.*s=%.*s", WEIR_ARG(shown), i ? "," : "", WEIR_ARG(labels.ptr[i].f0), WEIR_ARG(labels.ptr[i].f1));
  weir_double.imports++;
  note(&weir_double.metrics, "%.*s{%.*s} %g", WEIR_ARG(name), WEIR_ARG(shown), value);
}
void weir_policy_metrics_count(weir_string_t *name, uint32_t by, weir_pairs_t *labels) { metric(*name, by, *labels); }
void weir_policy_metrics_observe(weir_string_t *name, double value, weir_pairs_t *labels) { metric(*name, value, *labels); }
uint64_t weir_policy_clock_now_ms(void) { weir_double.imports++; return weir_double.now_ms; }
bool weir_policy_firewall_ban(weir_string_t *ip, uint32_t for_ms, weir_string_t *reason, weir_string_t *err) {
  (void)err;
  weir_double.imports++;
  note(&weir_double.bans, "%.*s for %u ms: %.*s", WEIR_ARG(*ip), for_ms, WEIR_ARG(*reason));
  return true;
}
bool weir_policy_models_complete(weir_string_t *model, weir_policy_models_list_message_t *messages, uint32_t max_output_tokens, weir_completion_t *ret, weir_string_t *err) {
  (void)max_output_tokens;
  weir_double.imports++;
  if (!weir_double.complete) return refuse(err, "this model was not granted");
  return weir_double.complete(*model, (weir_messages_t){messages->ptr, messages->len}, ret, err);
}
/* The rule of thumb for English: a token is four characters. */
uint32_t weir_policy_models_count_tokens(weir_string_t *model, weir_string_t *text) {
  (void)model;
  weir_double.imports++;
  return (uint32_t)((text->len + 3) / 4);
}
bool weir_policy_http_send(weir_request_t *request, weir_response_t *ret, weir_string_t *err) {
  weir_double.imports++;
  return weir_double.http ? weir_double.http(request, ret, err) : refuse(err, "this host was not granted");
}
