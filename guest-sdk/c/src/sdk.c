/* The functions of weir_sdk.h over the generated bindings: names, defaults and error sentences. */
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "weir_sdk.h"

weir_verdict_t weir_deny(weir_denial_t *denial, uint16_t status, const char *code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  *denial = (weir_denial_t){.status = status, .code = weir_text(code), .message = weir_formatted(format, arguments)};
  va_end(arguments);
  return WEIR_DENY;
}

void weir_retry_after(weir_denial_t *denial, uint32_t ms) { denial->retry_after_ms = (weir_option_u32_t){true, ms}; }

void weir_fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  weir_string_t line = weir_formatted(format, arguments);
  va_end(arguments);
  weir_policy_log_write(WEIR_ERROR, &line);
  abort();
}

weir_window_t weir_sliding(uint32_t seconds) { return (weir_window_t){EXPORTS_WEIR_POLICY_LIMIT_WINDOW_SLIDING, {seconds}}; }
weir_window_t weir_day(void) { return (weir_window_t){EXPORTS_WEIR_POLICY_LIMIT_WINDOW_DAY, {0}}; }
weir_window_t weir_week(void) { return (weir_window_t){EXPORTS_WEIR_POLICY_LIMIT_WINDOW_WEEK, {0}}; }
weir_window_t weir_month(void) { return (weir_window_t){EXPORTS_WEIR_POLICY_LIMIT_WINDOW_MONTH, {0}}; }
weir_window_t weir_lifetime(void) { return (weir_window_t){EXPORTS_WEIR_POLICY_LIMIT_WINDOW_LIFETIME, {0}}; }
weir_window_t weir_this_call(void) { return (weir_window_t){EXPORTS_WEIR_POLICY_LIMIT_WINDOW_CALL, {0}}; }

#define APPEND(list, ...) \
  ((list)->ptr = weir_arena_grow((list)->ptr, (list)->len, sizeof *(list)->ptr), (list)->ptr[(list)->len++] = __VA_ARGS__)

void weir_rule(weir_rules_t *rules, weir_string_t key, weir_unit_t unit, weir_window_t window, uint64_t limit) {
  APPEND(rules, (weir_rule_t){key, unit, window, limit});
}
void weir_attempt(weir_attempts_t *attempts, uint32_t channel) { APPEND(attempts, (weir_attempt_t){.channel = channel}); }
void weir_event(weir_events_t *events, weir_event_t event) { APPEND(events, event); }
void weir_pair(weir_pairs_t *pairs, weir_string_t name, weir_string_t value) { APPEND(pairs, (weir_pair_t){name, value}); }
void weir_error(weir_errors_t *errors, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  weir_string_t error = weir_formatted(format, arguments);
  va_end(arguments);
  APPEND(errors, error);
}

bool weir_usable(const weir_candidate_t *candidate) { return candidate->tripped_ms == 0 && candidate->usable_keys > 0; }
weir_event_t weir_text_event(uint32_t choice, weir_string_t text) {
  return (weir_event_t){.tag = WEIR_TEXT_EVENT, .val.text = {choice, text}};
}

#define GETTER(type, name, raw) \
  type name(void) { type made; raw(&made); return made; }
GETTER(weir_string_t, weir_call_id, weir_policy_call_id)
GETTER(weir_string_t, weir_call_dialect, weir_policy_call_dialect)
GETTER(weir_string_t, weir_call_method, weir_policy_call_method)
GETTER(weir_string_t, weir_call_path, weir_policy_call_path)
GETTER(weir_pairs_t, weir_call_query, weir_policy_call_query)
GETTER(weir_string_t, weir_call_tenant, weir_policy_call_tenant)
GETTER(weir_string_t, weir_call_key, weir_policy_call_key)
GETTER(weir_string_t, weir_call_client_ip, weir_policy_call_client_ip)
GETTER(weir_pairs_t, weir_call_headers, weir_policy_call_headers)
GETTER(weir_messages_t, weir_call_messages, weir_policy_call_messages)
GETTER(weir_bytes_t, weir_call_body, weir_policy_call_body)

void weir_call_remember(uint32_t for_ms) { weir_policy_call_remember(for_ms); }

#define LOOKUP(name, raw) \
  bool name(const char *key, weir_string_t *value) { weir_string_t given = weir_text(key); return raw(&given, value); }
LOOKUP(weir_call_label, weir_policy_call_label)
LOOKUP(weir_call_header, weir_policy_call_header)
LOOKUP(weir_call_json, weir_policy_call_json)
LOOKUP(weir_secret, weir_policy_secrets_get)

#define OF_CHANNEL(name, raw) \
  weir_string_t name(uint32_t channel) { weir_string_t made; raw(channel, &made); return made; }
OF_CHANNEL(weir_channel_name, weir_policy_channels_name)
OF_CHANNEL(weir_channel_provider, weir_policy_channels_provider)
OF_CHANNEL(weir_channel_model, weir_policy_channels_model)
bool weir_channel_label(uint32_t channel, const char *name, weir_string_t *value) {
  weir_string_t given = weir_text(name);
  return weir_policy_channels_label(channel, &given, value);
}

/* The bindings always write an error; who does not want it gives NULL. */
#define ERROR(error) ((error) ? (error) : &(weir_string_t){0})

bool weir_edit_set_model(weir_string_t model, weir_string_t *error) { return weir_policy_edit_set_model(&model, ERROR(error)); }
bool weir_edit_set_header(const char *name, weir_string_t value, weir_string_t *error) {
  weir_string_t given = weir_text(name);
  return weir_policy_edit_set_header(&given, &value, ERROR(error));
}
bool weir_edit_remove_header(const char *name, weir_string_t *error) {
  weir_string_t given = weir_text(name);
  return weir_policy_edit_remove_header(&given, ERROR(error));
}
bool weir_edit_set_json(const char *pointer, weir_string_t json, weir_string_t *error) {
  weir_string_t given = weir_text(pointer);
  return weir_policy_edit_set_json(&given, &json, ERROR(error));
}
bool weir_edit_remove_json(const char *pointer, weir_string_t *error) {
  weir_string_t given = weir_text(pointer);
  return weir_policy_edit_remove_json(&given, ERROR(error));
}
bool weir_edit_prepend_system(weir_string_t text, weir_string_t *error) { return weir_policy_edit_prepend_system(&text, ERROR(error)); }
bool weir_edit_set_message_text(uint32_t index, weir_string_t text, weir_string_t *error) {
  return weir_policy_edit_set_message_text(index, &text, ERROR(error));
}
bool weir_edit_replace_body(weir_bytes_t body, weir_string_t *error) { return weir_policy_edit_replace_body(&body, ERROR(error)); }

bool weir_store_get(weir_string_t key, weir_bytes_t *value) { return weir_policy_store_get(&key, value); }
bool weir_store_set(weir_string_t key, weir_bytes_t value, uint32_t ttl_ms, weir_string_t *error) {
  return weir_policy_store_set(&key, &value, ttl_ms ? &ttl_ms : NULL, ERROR(error));
}
void weir_store_remove(weir_string_t key) { weir_policy_store_remove(&key); }
bool weir_store_add(weir_string_t key, int64_t by, uint32_t ttl_ms, int64_t *sum, weir_string_t *error) {
  return weir_policy_store_add(&key, by, ttl_ms ? &ttl_ms : NULL, sum, ERROR(error));
}

void weir_log(weir_policy_log_level_t level, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  weir_string_t line = weir_formatted(format, arguments);
  va_end(arguments);
  weir_policy_log_write(level, &line);
}
void weir_count(const char *name, uint32_t by, weir_pairs_t labels) {
  weir_string_t given = weir_text(name);
  weir_policy_metrics_count(&given, by, &labels);
}
void weir_observe(const char *name, double value, weir_pairs_t labels) {
  weir_string_t given = weir_text(name);
  weir_policy_metrics_observe(&given, value, &labels);
}
uint64_t weir_now_ms(void) { return weir_policy_clock_now_ms(); }
bool weir_ban(weir_string_t ip, uint32_t for_ms, weir_string_t reason, weir_string_t *error) {
  return weir_policy_firewall_ban(&ip, for_ms, &reason, ERROR(error));
}
bool weir_complete(const char *model, weir_messages_t messages, uint32_t max_output_tokens, weir_completion_t *completion, weir_string_t *error) {
  weir_string_t given = weir_text(model);
  weir_policy_models_list_message_t list = {messages.ptr, messages.len};
  return weir_policy_models_complete(&given, &list, max_output_tokens, completion, ERROR(error));
}
uint32_t weir_count_tokens(const char *model, weir_string_t text) {
  weir_string_t given = weir_text(model);
  return weir_policy_models_count_tokens(&given, &text);
}
bool weir_http_send(weir_request_t request, weir_response_t *response, weir_string_t *error) {
  return weir_policy_http_send(&request, response, ERROR(error));
}
