/* Canary routing by key: a share of the keys, always the same ones, goes to the channels that carry a label.
 *
 * Runs behind whatever orders the channels (`router`): within the two groups the order stays as it was.
 * Never does: remember anything. Who belongs to the share is a function of the key and the settings. */
#include "weir_sdk.h"

typedef struct {
  weir_string_t channel_label, channel_value, key_label, by, salt;
  weir_strings_t models;
  double percent;
  bool stable_may_use_canary;
  int64_t first_byte_timeout_ms;
} config_t;

static config_t config;
/* The two names of labels as the host's functions want them, ended by a zero. */
static const char *channel_label, *key_label;

static const char *ended(weir_string_t text) {
  char *kept = weir_keep(text.len + 1);
  for (size_t i = 0; i < text.len; i++) kept[i] = (char)text.ptr[i];
  return kept;
}

static const weir_setting_t SETTINGS[] = {
    WEIR_SETTING_NUMBER(config_t, percent, 0, 100),
    WEIR_SETTING_TEXT(config_t, channel_label),
    WEIR_SETTING_TEXT(config_t, channel_value),
    WEIR_SETTING_TEXT(config_t, key_label),
    WEIR_SETTING_TEXT(config_t, by),
    WEIR_SETTING_TEXT(config_t, salt),
    WEIR_SETTING_TEXTS(config_t, models),
    WEIR_SETTING_BOOL(config_t, stable_may_use_canary),
    WEIR_SETTING_INT(config_t, first_byte_timeout_ms, 0, 86400000),
    WEIR_SETTINGS_END,
};

void policy_init(weir_string_t json, weir_errors_t *errors) {
  config = (config_t){
      .percent = -1,
      .channel_label = weir_text("track"),
      .channel_value = weir_text("canary"),
      .key_label = weir_text("canary"),
      .by = weir_text("key"),
      .salt = weir_text("canary"),
  };
  weir_config_read(json, SETTINGS, &config, errors);
  if (errors->len) return;
  if (config.percent < 0) weir_error(errors, "percent: must be set, to the share of keys from 0 to 100");
  if (config.channel_label.len == 0) weir_error(errors, "channel_label: must name a label of channels");
  if (config.channel_value.len == 0) weir_error(errors, "channel_value: must be the label's value on canary channels");
  if (!weir_is(config.by, "key") && !weir_is(config.by, "tenant")) weir_error(errors, "by: must be \"key\" or \"tenant\"");
  channel_label = ended(config.channel_label);
  key_label = ended(config.key_label);
}

static uint64_t mixed(uint64_t hash, weir_string_t text) {
  for (size_t i = 0; i < text.len; i++) hash = (hash ^ text.ptr[i]) * 0x100000001b3u;
  return hash;
}

/* FNV-1a, whose high bits say little of short texts, and therefore stirred at the end. From 0 to below 100;
 * a key that is below a percentage is below every larger one, so a growing share only takes keys in. */
static double place_of(weir_string_t who) {
  uint64_t hash = mixed(mixed(0xcbf29ce484222325u, config.salt) * 0x100000001b3u, who);
  hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdu;
  hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53u;
  hash ^= hash >> 33;
  return (double)(hash >> 11) * (100.0 / 9007199254740992.0);
}

typedef enum { BY_SHARE, BY_LABEL, BY_MODEL } reason_t;
static const char *const REASONS[] = {"share", "label", "model"};

/* Does this caller belong to the canary? */
static bool chosen(reason_t *reason) {
  weir_string_t label;
  *reason = BY_LABEL;
  if (config.key_label.len && weir_call_label(key_label, &label)) {
    if (weir_is(label, "always")) return true;
    if (weir_is(label, "never")) return false;
    weir_log(WEIR_WARN, "the label `%.*s` is `%.*s`; it should be `always` or `never`", WEIR_ARG(config.key_label), WEIR_ARG(label));
  }
  *reason = BY_SHARE;
  weir_string_t who = weir_is(config.by, "tenant") ? weir_call_tenant() : weir_call_key();
  return who.len && place_of(who) < config.percent;
}

static bool is_meant(weir_string_t model) {
  if (config.models.len == 0) return true;
  for (size_t i = 0; i < config.models.len; i++)
    if (weir_matches(config.models.ptr[i], model)) return true;
  return false;
}

static bool is_canary(uint32_t channel) {
  weir_string_t value;
  return weir_channel_label(channel, channel_label, &value) && weir_same(value, config.channel_value);
}

/* The candidates of one group, those that can be used now or those that cannot, in the order they came in. */
static size_t take(const weir_candidate_t *candidates, const bool *canary, size_t count, bool of_canary, bool usable, weir_attempts_t *attempts) {
  size_t taken = 0;
  for (size_t i = 0; i < count; i++) {
    if (canary[i] != of_canary || weir_usable(&candidates[i]) != usable) continue;
    weir_attempt(attempts, candidates[i].channel);
    if (of_canary && config.first_byte_timeout_ms)
      attempts->ptr[attempts->len - 1].first_byte_timeout_ms = (weir_option_u32_t){true, (uint32_t)config.first_byte_timeout_ms};
    taken++;
  }
  return taken;
}

static void counted(const char *group, const char *reason) {
  weir_pairs_t labels = {0};
  weir_pair(&labels, weir_text("group"), weir_text(group));
  weir_pair(&labels, weir_text("reason"), weir_text(reason));
  weir_count("calls", 1, labels);
}

weir_verdict_t policy_route(const weir_summary_t *call, const weir_candidate_t *candidates, size_t count, weir_attempts_t *attempts, weir_denial_t *denial) {
  bool *canary = weir_alloc(count);
  size_t canaries = 0;
  for (size_t i = 0; i < count; i++) canaries += canary[i] = is_canary(candidates[i].channel);
  if (canaries == 0) { /* nothing to choose from */
    for (size_t i = 0; i < count; i++) weir_attempt(attempts, candidates[i].channel);
    return WEIR_OK;
  }
  reason_t reason = BY_MODEL;
  bool goes = is_meant(call->model) && chosen(&reason);
  if (goes) {
    size_t usable = take(candidates, canary, count, true, true, attempts);
    size_t stable = take(candidates, canary, count, false, true, attempts);
    take(candidates, canary, count, true, false, attempts);
    take(candidates, canary, count, false, false, attempts);
    if (usable || !stable) counted("canary", REASONS[reason]);
    else counted("stable", "canary_unusable");
    return WEIR_OK;
  }
  size_t usable = take(candidates, canary, count, false, true, attempts);
  if (config.stable_may_use_canary && take(candidates, canary, count, true, true, attempts) && !usable) {
    take(candidates, canary, count, false, false, attempts);
    counted("canary", "stable_unusable");
    return WEIR_OK;
  }
  if (!usable && canaries == count)
    return weir_deny(denial, 503, "no_stable_channel",
                     "The model `%.*s` is only served by channels that are being tried out; ask for another, or ask the operator to let your key try it.",
                     WEIR_ARG(call->model));
  take(candidates, canary, count, false, false, attempts);
  counted("stable", REASONS[reason]);
  return WEIR_OK;
}
