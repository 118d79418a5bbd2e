/* From the exports of the bindings to the hooks of the policy. In WebAssembly only.
 *
 * All hooks are here; which of them the component has is said by the world that build.sh embeds. */
#include <stdlib.h>

#include "arena.h"
#include "weir_sdk.h"

/* The bindings want to be linked with a description of the whole world; build.sh embeds a smaller one. */
void __component_type_object_force_link_weir(void);
void __component_type_object_force_link_weir(void) {}

/* What the hook filled in while it did not say so is not read: `ret` and `err` are one union. */
static bool decided(weir_verdict_t verdict, weir_denial_t *into, weir_denial_t denial) {
  weir_arena_end();
  if (verdict == WEIR_DENY) *into = denial;
  return verdict != WEIR_DENY;
}

bool exports_weir_policy_lifecycle_init(weir_string_t *config, weir_list_string_t *err) {
  weir_arena_begin();
  weir_errors_t errors = {0};
  if (policy_init) {
    /* Strings of the configuration may be kept as they are: it outlives the hook. */
    policy_init(*config, &errors);
  }
  weir_arena_end();
  if (errors.len) *err = errors;
  return errors.len == 0;
}

bool exports_weir_policy_access_authorize(weir_summary_t *call, weir_denial_t *err) {
  weir_denial_t denial = {0};
  weir_arena_begin();
  return decided(policy_authorize ? policy_authorize(call, &denial) : WEIR_OK, err, denial);
}

bool exports_weir_policy_rewrite_rewrite(weir_summary_t *call, weir_denial_t *err) {
  weir_denial_t denial = {0};
  weir_arena_begin();
  return decided(policy_rewrite ? policy_rewrite(call, &denial) : WEIR_OK, err, denial);
}

bool exports_weir_policy_limit_limits(weir_summary_t *call, weir_rules_t *ret, weir_denial_t *err) {
  weir_denial_t denial = {0};
  weir_rules_t rules = {0};
  weir_arena_begin();
  weir_verdict_t verdict = policy_limits ? policy_limits(call, &rules, &denial) : WEIR_OK;
  *ret = rules;
  return decided(verdict, err, denial);
}

bool exports_weir_policy_answer_answer(weir_summary_t *call, exports_weir_policy_answer_option_response_t *ret, weir_denial_t *err) {
  weir_denial_t denial = {0};
  weir_response_t response = {.status = 200};
  weir_arena_begin();
  weir_verdict_t verdict = policy_answer ? policy_answer(call, &response, &denial) : WEIR_OK;
  *ret = (exports_weir_policy_answer_option_response_t){verdict == WEIR_DONE, response};
  return decided(verdict, err, denial);
}

bool exports_weir_policy_route_route(weir_summary_t *call, exports_weir_policy_route_list_candidate_t *candidates, weir_attempts_t *ret, weir_denial_t *err) {
  weir_denial_t denial = {0};
  weir_attempts_t attempts = {0};
  weir_arena_begin();
  weir_verdict_t verdict = policy_route ? policy_route(call, candidates->ptr, candidates->len, &attempts, &denial) : WEIR_OK;
  *ret = attempts;
  return decided(verdict, err, denial);
}

bool exports_weir_policy_reply_reply(weir_summary_t *call, weir_response_t *response, exports_weir_policy_reply_option_response_t *ret, weir_denial_t *err) {
  weir_denial_t denial = {0};
  weir_response_t changed = *response;
  weir_arena_begin();
  weir_verdict_t verdict = policy_reply ? policy_reply(call, &changed, &denial) : WEIR_OK;
  *ret = (exports_weir_policy_reply_option_response_t){verdict == WEIR_DONE, changed};
  return decided(verdict, err, denial);
}

/* The open streams by the host's number; a handful at a time. */
typedef struct stream {
  struct stream *next;
  uint32_t reply;
  void *own;
} stream_t;
static stream_t *streams;

bool exports_weir_policy_events_open(uint32_t reply, weir_summary_t *call) {
  weir_arena_begin();
  void *own = policy_open ? policy_open(call) : NULL;
  weir_arena_end();
  if (!own) return false;
  stream_t *made = weir_keep(sizeof *made);
  *made = (stream_t){streams, reply, own};
  streams = made;
  return true;
}

bool exports_weir_policy_events_push(uint32_t reply, weir_event_t *event, weir_action_t *ret, weir_denial_t *err) {
  weir_denial_t denial = {0};
  weir_events_t instead = {0};
  weir_verdict_t verdict = WEIR_OK;
  weir_arena_begin();
  for (stream_t *one = streams; one; one = one->next)
    if (one->reply == reply && policy_push) verdict = policy_push(one->own, event, &instead, &denial);
  *ret = (weir_action_t){EXPORTS_WEIR_POLICY_EVENTS_ACTION_PASS, {{0}}};
  if (verdict == WEIR_DONE) {
    ret->tag = instead.len ? EXPORTS_WEIR_POLICY_EVENTS_ACTION_REPLACE : EXPORTS_WEIR_POLICY_EVENTS_ACTION_DROP;
    ret->val.replace = instead;
  }
  return decided(verdict, err, denial);
}

void exports_weir_policy_events_close(uint32_t reply, weir_events_t *ret) {
  weir_events_t last = {0};
  weir_arena_begin();
  for (stream_t **at = &streams; *at; at = &(*at)->next) {
    stream_t *one = *at;
    if (one->reply != reply) continue;
    if (policy_close) policy_close(one->own, &last);
    *at = one->next;
    free(one);
    break;
  }
  weir_arena_end();
  *ret = last;
}

void exports_weir_policy_audit_finished(weir_outcome_t *outcome) {
  weir_arena_begin();
  if (policy_finished) policy_finished(outcome);
  weir_arena_end();
}
