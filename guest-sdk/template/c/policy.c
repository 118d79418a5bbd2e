/* The policy weir-template; README.md says what it does. */
#include "weir_sdk.h"

/* What may stand under [policy.config]; SETTINGS reads it, and its errors name the setting. */
typedef struct {
  // weir:if access
  weir_strings_t denied_models; /* nobody may use them; a `*` stands for anything */
  // weir:end
  // weir:if rewrite
  weir_string_t instruction; /* put ahead of every prompt */
  // weir:end
  // weir:if limit
  int64_t requests_per_minute; /* of each key; 0 for no limit */
  // weir:end
  // weir:if answer
  weir_string_t notice; /* the answer to every call, while it is set */
  // weir:end
  // weir:if route
  weir_string_t region; /* only channels with this label */
  // weir:end
  // weir:if reply
  weir_string_t stamp; /* what the header `x-stamp` of every reply says */
  // weir:end
  // weir:if events
  weir_pairs_t replace; /* words of streamed answers, and what stands in their place */
  // weir:end
  char end; /* no setting: a struct without a member is not C */
} config_t;

static config_t config;

static const weir_setting_t SETTINGS[] = {
    // weir:if access
    WEIR_SETTING_TEXTS(config_t, denied_models),
    // weir:end
    // weir:if rewrite
    WEIR_SETTING_TEXT(config_t, instruction),
    // weir:end
    // weir:if limit
    WEIR_SETTING_INT(config_t, requests_per_minute, 0, 1e9),
    // weir:end
    // weir:if answer
    WEIR_SETTING_TEXT(config_t, notice),
    // weir:end
    // weir:if route
    WEIR_SETTING_TEXT(config_t, region),
    // weir:end
    // weir:if reply
    WEIR_SETTING_TEXT(config_t, stamp),
    // weir:end
    // weir:if events
    WEIR_SETTING_MAP(config_t, replace),
    // weir:end
    WEIR_SETTINGS_END,
};

void policy_init(weir_string_t json, weir_errors_t *errors) {
  config = (config_t){0}; /* the defaults */
  weir_config_read(json, SETTINGS, &config, errors);
}

// weir:if access
weir_verdict_t policy_authorize(const weir_summary_t *call, weir_denial_t *denial) {
  for (size_t i = 0; i < config.denied_models.len; i++)
    if (weir_matches(config.denied_models.ptr[i], call->model))
      return weir_deny(denial, 403, "model_denied", "The model `%.*s` may not be used here.", WEIR_ARG(call->model));
  return WEIR_OK;
}

// weir:end
// weir:if rewrite
weir_verdict_t policy_rewrite(const weir_summary_t *call, weir_denial_t *denial) {
  (void)call;
  weir_string_t error;
  if (config.instruction.len == 0 || weir_edit_prepend_system(config.instruction, &error)) return WEIR_OK;
  return weir_deny(denial, 400, "not_changed", "The instruction could not be added: %.*s", WEIR_ARG(error));
}

// weir:end
// weir:if limit
weir_verdict_t policy_limits(const weir_summary_t *call, weir_rules_t *rules, weir_denial_t *denial) {
  (void)call, (void)denial;
  if (config.requests_per_minute) {
    weir_string_t key = weir_format("key:%.*s", WEIR_ARG(weir_call_key()));
    weir_rule(rules, key, WEIR_REQUESTS, weir_sliding(60), (uint64_t)config.requests_per_minute);
  }
  return WEIR_OK;
}

// weir:end
// weir:if answer
weir_verdict_t policy_answer(const weir_summary_t *call, weir_response_t *response, weir_denial_t *denial) {
  (void)call, (void)denial;
  if (config.notice.len == 0) return WEIR_OK;
  response->status = 503;
  weir_pair((weir_pairs_t *)&response->headers, weir_text("content-type"), weir_text("text/plain"));
  response->body.ptr = config.notice.ptr;
  response->body.len = config.notice.len;
  return WEIR_DONE;
}

// weir:end
// weir:if route
static bool in_region(uint32_t channel) {
  weir_string_t region;
  return config.region.len == 0 || (weir_channel_label(channel, "region", &region) && weir_same(region, config.region));
}

/* Channels that cannot be used now come last; within each group the highest priority first. */
static bool before(const weir_candidate_t *a, const weir_candidate_t *b) {
  if (weir_usable(a) != weir_usable(b)) return weir_usable(a);
  return a->priority > b->priority;
}

weir_verdict_t policy_route(const weir_summary_t *call, const weir_candidate_t *candidates, size_t count,
                            weir_attempts_t *attempts, weir_denial_t *denial) {
  (void)call;
  const weir_candidate_t **there = weir_alloc(count * sizeof *there);
  size_t found = 0;
  for (size_t i = 0; i < count; i++) {
    if (!in_region(candidates[i].channel)) continue;
    size_t at = found++;
    for (; at > 0 && before(&candidates[i], there[at - 1]); at--) there[at] = there[at - 1];
    there[at] = &candidates[i];
  }
  if (found == 0)
    return weir_deny(denial, 503, "no_channel", "No channel of the region `%.*s` serves this model.", WEIR_ARG(config.region));
  for (size_t i = 0; i < found; i++) weir_attempt(attempts, there[i]->channel);
  return WEIR_OK;
}

// weir:end
// weir:if reply
weir_verdict_t policy_reply(const weir_summary_t *call, weir_response_t *response, weir_denial_t *denial) {
  (void)call, (void)denial;
  if (config.stamp.len == 0) return WEIR_OK;
  weir_pair((weir_pairs_t *)&response->headers, weir_text("x-stamp"), config.stamp);
  return WEIR_DONE;
}

// weir:end
// weir:if events
void *policy_open(const weir_summary_t *call) {
  (void)call;
  return config.replace.len ? &config : NULL; /* nothing to remember between events */
}

weir_verdict_t policy_push(void *stream, const weir_event_t *event, weir_events_t *instead, weir_denial_t *denial) {
  (void)stream, (void)denial;
  if (event->tag != WEIR_TEXT_EVENT) return WEIR_OK;
  weir_string_t text = event->val.text.text;
  for (size_t i = 0; i < config.replace.len; i++)
    text = weir_replace(text, config.replace.ptr[i].f0, config.replace.ptr[i].f1);
  if (weir_same(text, event->val.text.text)) return WEIR_OK;
  weir_event(instead, weir_text_event(event->val.text.choice, text));
  return WEIR_DONE;
}

// weir:end
// weir:if audit
void policy_finished(const weir_outcome_t *outcome) {
  weir_pairs_t labels = {0};
  weir_pair(&labels, weir_text("status"), weir_format("%u", outcome->status));
  weir_count("calls_finished", 1, labels);
}

// weir:end
