/* What a policy author writes against, in C. Read guest-sdk/c/README.md first.
 *
 * A policy defines the hooks that it needs, out of the `policy_…` functions at the end; the component
 * exports those and no others. Everything that the SDK hands to a hook, and everything that a hook
 * gets from `weir_…` functions, lives until the hook returns and is freed by nobody. What must live
 * longer (the configuration) is kept with `weir_keep`.
 *
 * Never here: decisions. testing/weir_double.h is the gateway's double for native tests. */
#ifndef WEIR_SDK_H
#define WEIR_SDK_H

#include <stdarg.h>
#include <stddef.h>

#include "weir.h"

/* ---- the vocabulary: the generated types under short names */
typedef weir_policy_types_summary_t weir_summary_t;
typedef weir_policy_types_message_t weir_message_t;
typedef weir_policy_types_usage_t weir_usage_t;
typedef weir_policy_types_denial_t weir_denial_t;
typedef weir_policy_types_response_t weir_response_t;
typedef weir_policy_call_list_message_t weir_messages_t;
typedef weir_tuple2_string_string_t weir_pair_t;       /* f0: name, f1: value */
typedef weir_list_tuple2_string_string_t weir_pairs_t; /* headers, labels, parameters */
typedef weir_list_string_t weir_strings_t;
typedef weir_list_u8_t weir_bytes_t;
typedef exports_weir_policy_limit_rule_t weir_rule_t;
typedef exports_weir_policy_limit_list_rule_t weir_rules_t;
typedef exports_weir_policy_limit_unit_t weir_unit_t;
typedef exports_weir_policy_limit_window_t weir_window_t;
typedef exports_weir_policy_route_candidate_t weir_candidate_t;
typedef exports_weir_policy_route_attempt_t weir_attempt_t;
typedef exports_weir_policy_route_list_attempt_t weir_attempts_t;
typedef exports_weir_policy_events_event_t weir_event_t;
typedef exports_weir_policy_events_list_event_t weir_events_t;
typedef exports_weir_policy_events_action_t weir_action_t;
typedef exports_weir_policy_audit_outcome_t weir_outcome_t;
typedef weir_policy_models_completion_t weir_completion_t;
typedef weir_policy_http_request_t weir_request_t;

enum { WEIR_REQUESTS, WEIR_INPUT_TOKENS, WEIR_OUTPUT_TOKENS, WEIR_TOTAL_TOKENS, WEIR_COST_MICROS, WEIR_IN_FLIGHT };
enum { WEIR_TEXT_EVENT, WEIR_REASONING_EVENT, WEIR_TOOL_CALL_EVENT, WEIR_USAGE_EVENT, WEIR_FINISH_EVENT, WEIR_OTHER_EVENT };
enum { WEIR_TRACE, WEIR_DEBUG, WEIR_INFO, WEIR_WARN, WEIR_ERROR };

/* What a hook answers. */
typedef enum {
  WEIR_OK = 0,   /* the call goes on */
  WEIR_DENY = 1, /* the call ends with the denial; `return weir_deny(denial, …)` */
  WEIR_DONE = 2, /* answer, reply: with the response that was filled in */
} weir_verdict_t;

#define WEIR_PRINTF(text, first) __attribute__((format(printf, text, first)))

/* ---- memory */
void *weir_alloc(size_t bytes); /* until the hook returns; traps where there is none; zeroed */
void *weir_keep(size_t bytes);  /* as long as the instance lives; zeroed */

/* ---- text: a pointer and a length, not ended by a zero. Print it with "%.*s", WEIR_ARG(text). */
#define WEIR_ARG(text) (int)(text).len, (const char *)(text).ptr
weir_string_t weir_text(const char *text); /* of a C string, not copied */
weir_string_t weir_format(const char *format, ...) WEIR_PRINTF(1, 2);
bool weir_same(weir_string_t a, weir_string_t b);
bool weir_is(weir_string_t text, const char *other);
bool weir_starts_with(weir_string_t text, weir_string_t prefix);
bool weir_matches(weir_string_t pattern, weir_string_t text); /* "gpt-*": any run of characters for each * */
weir_string_t weir_replace(weir_string_t text, weir_string_t what, weir_string_t by);

/* ---- refusing */
/* Fills the denial in and returns WEIR_DENY. The status is 400 to 599, the code in snake_case, and the
 * message one sentence that says what to do. */
weir_verdict_t weir_deny(weir_denial_t *denial, uint16_t status, const char *code, const char *format, ...) WEIR_PRINTF(4, 5);
void weir_retry_after(weir_denial_t *denial, uint32_t ms);
/* Logs the sentence and traps: the policy failed, and `on_failure` decides about the call. */
_Noreturn void weir_fail(const char *format, ...) WEIR_PRINTF(1, 2);

/* ---- lists to answer with */
weir_window_t weir_sliding(uint32_t seconds);
weir_window_t weir_day(void);
weir_window_t weir_week(void);
weir_window_t weir_month(void);
weir_window_t weir_lifetime(void);
weir_window_t weir_this_call(void); /* for WEIR_IN_FLIGHT */
void weir_rule(weir_rules_t *rules, weir_string_t key, weir_unit_t unit, weir_window_t window, uint64_t limit);
void weir_attempt(weir_attempts_t *attempts, uint32_t channel);
bool weir_usable(const weir_candidate_t *candidate); /* not tripped, and a key may be used */
void weir_event(weir_events_t *events, weir_event_t event);
weir_event_t weir_text_event(uint32_t choice, weir_string_t text);
void weir_pair(weir_pairs_t *pairs, weir_string_t name, weir_string_t value);

/* ---- the call that the running hook is about; each is a call into the host */
weir_string_t weir_call_id(void);
weir_string_t weir_call_dialect(void);
weir_string_t weir_call_method(void);
weir_string_t weir_call_path(void);
weir_pairs_t weir_call_query(void);
weir_string_t weir_call_tenant(void);
weir_string_t weir_call_key(void);
weir_string_t weir_call_client_ip(void);
void weir_call_remember(uint32_t for_ms);
bool weir_call_label(const char *name, weir_string_t *value);
bool weir_call_header(const char *name, weir_string_t *value);
weir_pairs_t weir_call_headers(void);
bool weir_call_json(const char *pointer, weir_string_t *json);
weir_messages_t weir_call_messages(void);
weir_bytes_t weir_call_body(void);

/* ---- the channels by their numbers; empty where there is none */
weir_string_t weir_channel_name(uint32_t channel);
weir_string_t weir_channel_provider(uint32_t channel);
weir_string_t weir_channel_model(uint32_t channel);
bool weir_channel_label(uint32_t channel, const char *name, weir_string_t *value);

/* ---- changes to the request, from policy_rewrite only. False: the host refused; `error`, where it is
 * not NULL, gets its sentence. */
bool weir_edit_set_model(weir_string_t model, weir_string_t *error);
bool weir_edit_set_header(const char *name, weir_string_t value, weir_string_t *error);
bool weir_edit_remove_header(const char *name, weir_string_t *error);
bool weir_edit_set_json(const char *pointer, weir_string_t json, weir_string_t *error);
bool weir_edit_remove_json(const char *pointer, weir_string_t *error);
bool weir_edit_prepend_system(weir_string_t text, weir_string_t *error);
bool weir_edit_set_message_text(uint32_t index, weir_string_t text, weir_string_t *error);
bool weir_edit_replace_body(weir_bytes_t body, weir_string_t *error);

/* ---- the store; a ttl of 0 ms means for ever */
bool weir_store_get(weir_string_t key, weir_bytes_t *value);
bool weir_store_set(weir_string_t key, weir_bytes_t value, uint32_t ttl_ms, weir_string_t *error);
void weir_store_remove(weir_string_t key);
bool weir_store_add(weir_string_t key, int64_t by, uint32_t ttl_ms, int64_t *sum, weir_string_t *error);

/* ---- everything else that a policy may reach */
void weir_log(weir_policy_log_level_t level, const char *format, ...) WEIR_PRINTF(2, 3);
void weir_count(const char *name, uint32_t by, weir_pairs_t labels);
void weir_observe(const char *name, double value, weir_pairs_t labels);
uint64_t weir_now_ms(void);
bool weir_secret(const char *name, weir_string_t *value);
bool weir_ban(weir_string_t ip, uint32_t for_ms, weir_string_t reason, weir_string_t *error);
bool weir_complete(const char *model, weir_messages_t messages, uint32_t max_output_tokens, weir_completion_t *completion, weir_string_t *error);
uint32_t weir_count_tokens(const char *model, weir_string_t text);
bool weir_http_send(weir_request_t request, weir_response_t *response, weir_string_t *error);

/* ---- JSON, read */
typedef enum { WEIR_JSON_NULL, WEIR_JSON_BOOL, WEIR_JSON_NUMBER, WEIR_JSON_TEXT, WEIR_JSON_LIST, WEIR_JSON_TABLE } weir_json_kind_t;
typedef struct weir_json {
  weir_json_kind_t kind;
  bool truth;
  double number;
  weir_string_t text;
  size_t len;              /* of a list or a table */
  struct weir_json *items; /* the values */
  weir_string_t *names;    /* of a table: the names of the values */
} weir_json_t;
/* NULL where it is not JSON. `alloc` is weir_alloc or weir_keep. */
const weir_json_t *weir_json_read(weir_string_t text, void *(*alloc)(size_t));
const weir_json_t *weir_json_get(const weir_json_t *table, const char *name); /* NULL where there is none */

/* ---- the configuration as a struct of the policy's own
 *
 *   typedef struct { int64_t limit; weir_strings_t models; } config_t;
 *   static const weir_setting_t SETTINGS[] = {
 *     WEIR_SETTING_INT(config_t, limit, 1, 1000), WEIR_SETTING_TEXTS(config_t, models), WEIR_SETTINGS_END };
 *
 * What the configuration does not say stays as it is in the struct. */
typedef enum { WEIR_SET_END, WEIR_SET_BOOL, WEIR_SET_INT, WEIR_SET_NUMBER, WEIR_SET_TEXT, WEIR_SET_TEXTS, WEIR_SET_MAP } weir_setting_kind_t;
typedef struct {
  const char *name;
  weir_setting_kind_t kind;
  size_t offset;
  double least, most;
} weir_setting_t;
#define WEIR_SETTING_BOOL(type, field) {#field, WEIR_SET_BOOL, offsetof(type, field), 0, 0}                     /* bool */
#define WEIR_SETTING_INT(type, field, least, most) {#field, WEIR_SET_INT, offsetof(type, field), least, most}   /* int64_t */
#define WEIR_SETTING_NUMBER(type, field, least, most) {#field, WEIR_SET_NUMBER, offsetof(type, field), least, most} /* double */
#define WEIR_SETTING_TEXT(type, field) {#field, WEIR_SET_TEXT, offsetof(type, field), 0, 0}                     /* weir_string_t */
#define WEIR_SETTING_TEXTS(type, field) {#field, WEIR_SET_TEXTS, offsetof(type, field), 0, 0}                   /* weir_strings_t */
#define WEIR_SETTING_MAP(type, field) {#field, WEIR_SET_MAP, offsetof(type, field), 0, 0}                       /* weir_pairs_t */
#define WEIR_SETTINGS_END {0, WEIR_SET_END, 0, 0, 0}
typedef weir_list_string_t weir_errors_t;
/* Reads JSON into the struct. Every mistake becomes a sentence that names the setting. */
void weir_config_read(weir_string_t json, const weir_setting_t *settings, void *config, weir_errors_t *errors);
void weir_error(weir_errors_t *errors, const char *format, ...) WEIR_PRINTF(2, 3);

/* ---- the hooks: define those that you need
 *
 * weak: what is not defined is not exported. The name is how build.sh finds out which ones there are. */
#if defined(__wasm__)
#define WEIR_HOOK(name) __attribute__((weak, export_name("weir-hook:" name)))
#else
#define WEIR_HOOK(name) __attribute__((weak))
#endif
/* Called once for each new instance, before any other. Any error refuses the version. */
WEIR_HOOK("lifecycle") void policy_init(weir_string_t config, weir_errors_t *errors);
WEIR_HOOK("access") weir_verdict_t policy_authorize(const weir_summary_t *call, weir_denial_t *denial);
WEIR_HOOK("rewrite") weir_verdict_t policy_rewrite(const weir_summary_t *call, weir_denial_t *denial);
WEIR_HOOK("limit") weir_verdict_t policy_limits(const weir_summary_t *call, weir_rules_t *rules, weir_denial_t *denial);
WEIR_HOOK("answer") weir_verdict_t policy_answer(const weir_summary_t *call, weir_response_t *response, weir_denial_t *denial);
WEIR_HOOK("route")
weir_verdict_t policy_route(const weir_summary_t *call, const weir_candidate_t *candidates, size_t count, weir_attempts_t *attempts, weir_denial_t *denial);
/* WEIR_DONE: with `response` as it now is. */
WEIR_HOOK("reply") weir_verdict_t policy_reply(const weir_summary_t *call, weir_response_t *response, weir_denial_t *denial);
/* A stream begins. NULL: it runs untouched; anything else is handed to push and close. Memory of a
 * stream is the policy's own: malloc here, free in policy_close. */
WEIR_HOOK("events") void *policy_open(const weir_summary_t *call);
/* WEIR_OK passes the provider's own bytes on, WEIR_DONE puts `instead` in the event's place (empty: drops it). */
WEIR_HOOK("events-push") weir_verdict_t policy_push(void *stream, const weir_event_t *event, weir_events_t *instead, weir_denial_t *denial);
/* The stream ends, also where the caller hung up: `last` is what is still held back. */
WEIR_HOOK("events-close") void policy_close(void *stream, weir_events_t *last);
WEIR_HOOK("audit") void policy_finished(const weir_outcome_t *outcome);

#endif
