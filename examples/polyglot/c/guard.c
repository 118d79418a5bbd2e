/* The policy of ../README.md in C. */
#include <stdlib.h>

#include "weir_sdk.h"

typedef struct {
  int64_t open_hour, close_hour, requests_per_minute;
  weir_string_t exempt_plan, instruction, region;
  weir_strings_t denied_models;
  weir_pairs_t replace;
} config_t;

static config_t config;

static const weir_setting_t SETTINGS[] = {
    WEIR_SETTING_INT(config_t, open_hour, 0, 23),
    WEIR_SETTING_INT(config_t, close_hour, 1, 24),
    WEIR_SETTING_TEXT(config_t, exempt_plan),
    WEIR_SETTING_TEXTS(config_t, denied_models),
    WEIR_SETTING_INT(config_t, requests_per_minute, 0, 1e9),
    WEIR_SETTING_TEXT(config_t, instruction),
    WEIR_SETTING_TEXT(config_t, region),
    WEIR_SETTING_MAP(config_t, replace),
    WEIR_SETTINGS_END,
};

void policy_init(weir_string_t json, weir_errors_t *errors) {
  config = (config_t){.open_hour = 0, .close_hour = 24};
  weir_config_read(json, SETTINGS, &config, errors);
  if (errors->len == 0 && config.close_hour <= config.open_hour)
    weir_error(errors, "close_hour: must be from open_hour + 1 to 24");
}

weir_verdict_t policy_authorize(const weir_summary_t *call, weir_denial_t *denial) {
  for (size_t i = 0; i < config.denied_models.len; i++)
    if (weir_matches(config.denied_models.ptr[i], call->model))
      return weir_deny(denial, 403, "model_denied", "The model `%.*s` may not be used here.", WEIR_ARG(call->model));
  if (config.open_hour == 0 && config.close_hour == 24) return WEIR_OK;
  weir_string_t plan;
  if (config.exempt_plan.len && weir_call_label("plan", &plan) && weir_same(plan, config.exempt_plan)) return WEIR_OK;
  uint64_t now_ms = weir_now_ms();
  int64_t hour = (int64_t)(now_ms / 3600000 % 24);
  if (hour >= config.open_hour && hour < config.close_hour) return WEIR_OK;
  int64_t wait_hours = (config.open_hour - hour + 24) % 24;
  weir_verdict_t refused = weir_deny(denial, 403, "closed", "Calls are allowed from %d to %d o'clock UTC.",
                                     (int)config.open_hour, (int)config.close_hour);
  weir_retry_after(denial, (uint32_t)(wait_hours * 3600000 - (int64_t)(now_ms % 3600000)));
  return refused;
}

weir_verdict_t policy_rewrite(const weir_summary_t *call, weir_denial_t *denial) {
  (void)call;
  weir_string_t error;
  if (config.instruction.len == 0) return WEIR_OK;
  if (!weir_edit_prepend_system(config.instruction, &error) || !weir_edit_set_header("x-guard", weir_text("c"), &error))
    return weir_deny(denial, 400, "not_changed", "The instruction could not be added: %.*s", WEIR_ARG(error));
  return WEIR_OK;
}

weir_verdict_t policy_limits(const weir_summary_t *call, weir_rules_t *rules, weir_denial_t *denial) {
  (void)call, (void)denial;
  if (config.requests_per_minute)
    weir_rule(rules, weir_format("key:%.*s", WEIR_ARG(weir_call_key())), WEIR_REQUESTS, weir_sliding(60), (uint64_t)config.requests_per_minute);
  return WEIR_OK;
}

static bool in_region(uint32_t channel) {
  weir_string_t region;
  return config.region.len == 0 || (weir_channel_label(channel, "region", &region) && weir_same(region, config.region));
}

/* Channels that cannot be used now come last; within each group the highest priority first. */
static bool before(const weir_candidate_t *a, const weir_candidate_t *b) {
  if (weir_usable(a) != weir_usable(b)) return weir_usable(a);
  return a->priority > b->priority;
}

weir_verdict_t policy_route(const weir_summary_t *call, const weir_candidate_t *candidates, size_t count, weir_attempts_t *attempts, weir_denial_t *denial) {
  (void)call;
  const weir_candidate_t **there = weir_alloc(count * sizeof *there);
  size_t found = 0;
  for (size_t i = 0; i < count; i++) {
    if (!in_region(candidates[i].channel)) continue;
    size_t at = found++;
    for (; at > 0 && before(&candidates[i], there[at - 1]); at--) there[at] = there[at - 1];
    there[at] = &candidates[i];
  }
  if (found == 0) return weir_deny(denial, 503, "no_channel", "No channel of the region `%.*s` serves this model.", WEIR_ARG(config.region));
  for (size_t i = 0; i < found; i++) weir_attempt(attempts, there[i]->channel);
  return WEIR_OK;
}

void *policy_open(const weir_summary_t *call) {
  (void)call;
  return config.replace.len ? &config : NULL; /* nothing to remember between events */
}

weir_verdict_t policy_push(void *stream, const weir_event_t *event, weir_events_t *instead, weir_denial_t *denial) {
  (void)stream, (void)denial;
  if (event->tag != WEIR_TEXT_EVENT) return WEIR_OK;
  weir_string_t text = event->val.text.text;
  for (size_t i = 0; i < config.replace.len; i++) text = weir_replace(text, config.replace.ptr[i].f0, config.replace.ptr[i].f1);
  if (weir_same(text, event->val.text.text)) return WEIR_OK;
  weir_event(instead, weir_text_event(event->val.text.choice, text));
  return WEIR_DONE;
}
