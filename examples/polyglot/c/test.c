#include "weir_double.h"

static weir_denial_t denial;

static void configured(const char *json) {
  weir_double_reset();
  CHECK(weir_double_init(json).len == 0);
}

static void a_denied_model(void) {
  configured("{\"denied_models\": [\"gpt-4-*\", \"o1\"]}");
  weir_summary_t good = weir_double_chat("gpt-4o"), bad = weir_double_chat("gpt-4-32k"), exact = weir_double_chat("o1");
  CHECK(policy_authorize(&good, &denial) == WEIR_OK);
  CHECK(policy_authorize(&bad, &denial) == WEIR_DENY && denial.status == 403);
  CHECK_TEXT(denial.message, "The model `gpt-4-32k` may not be used here.");
  CHECK(policy_authorize(&exact, &denial) == WEIR_DENY);
}

static void outside_the_hours_only_the_exempt_plan_passes(void) {
  configured("{\"open_hour\": 8, \"close_hour\": 18, \"exempt_plan\": \"pro\"}");
  weir_summary_t call = weir_double_chat("gpt-4o");
  CHECK(policy_authorize(&call, &denial) == WEIR_OK);
  weir_double.now_ms += (8 * 60 + 30) * 60000; /* half past eight in the evening */
  weir_double.labels = weir_double_pairs("plan", "free", NULL);
  CHECK(policy_authorize(&call, &denial) == WEIR_DENY);
  CHECK_TEXT(denial.code, "closed");
  CHECK(denial.retry_after_ms.is_some && denial.retry_after_ms.val == 41400000);
  weir_double.labels = weir_double_pairs("plan", "pro", NULL);
  CHECK(policy_authorize(&call, &denial) == WEIR_OK);
}

static void the_instruction_comes_first(void) {
  configured("{\"instruction\": \"Be brief.\"}");
  weir_summary_t call = weir_double_chat("gpt-4o");
  CHECK(policy_rewrite(&call, &denial) == WEIR_OK && weir_double.edits.len == 2);
  CHECK_TEXT(weir_double.edits.ptr[0], "prepend-system Be brief.");
  CHECK_TEXT(weir_double.edits.ptr[1], "set-header x-guard: c");
}

static void a_bucket_for_each_key(void) {
  configured("{\"requests_per_minute\": 60}");
  weir_summary_t call = weir_double_chat("gpt-4o");
  weir_rules_t rules = {0};
  weir_double.key = "key_7";
  CHECK(policy_limits(&call, &rules, &denial) == WEIR_OK && rules.len == 1);
  CHECK_TEXT(rules.ptr[0].key, "key:key_7");
  CHECK(rules.ptr[0].unit == WEIR_REQUESTS && rules.ptr[0].window.val.sliding == 60 && rules.ptr[0].limit == 60);
}

static void channels_of_the_region_by_priority_the_tripped_one_last(void) {
  configured("{\"region\": \"eu\"}");
  weir_pairs_t eu = weir_double_pairs("region", "eu", NULL), us = weir_double_pairs("region", "us", NULL);
  weir_double_channel_t channels[] = {{"tripped", "x", 0, eu}, {"low", "x", 0, eu}, {"us", "x", 0, us}, {"high", "x", 0, eu}};
  weir_double.channels = channels, weir_double.channels_len = 4;
  weir_candidate_t candidates[4];
  for (uint32_t i = 0; i < 4; i++) candidates[i] = weir_double_candidate(i + 1);
  candidates[0].priority = 9, candidates[0].tripped_ms = 500, candidates[3].priority = 2;
  weir_summary_t call = weir_double_chat("gpt-4o");
  weir_attempts_t attempts = {0};
  CHECK(policy_route(&call, candidates, 4, &attempts, &denial) == WEIR_OK && attempts.len == 3);
  CHECK(attempts.ptr[0].channel == 4 && attempts.ptr[1].channel == 2 && attempts.ptr[2].channel == 1);
  CHECK(policy_route(&call, candidates + 2, 1, &attempts, &denial) == WEIR_DENY && denial.status == 503);
}

static void words_of_a_stream(void) {
  configured("{\"replace\": {\"secret\": \"[redacted]\"}}");
  weir_summary_t call = weir_double_chat("gpt-4o");
  void *stream = policy_open(&call);
  weir_event_t event = weir_text_event(1, weir_text("a secret, a secret")), plain = weir_text_event(0, weir_text("plain"));
  weir_events_t instead = {0};
  CHECK(policy_push(stream, &event, &instead, &denial) == WEIR_DONE && instead.len == 1 && instead.ptr[0].val.text.choice == 1);
  CHECK_TEXT(instead.ptr[0].val.text.text, "a [redacted], a [redacted]");
  CHECK(policy_push(stream, &plain, &instead, &denial) == WEIR_OK);
}

static void mistakes_in_the_configuration(void) {
  struct { const char *json, *error; } cases[] = {
      {"{\"open_hour\": 9, \"close_hour\": 9}", "close_hour: must be from open_hour + 1 to 24"},
      {"{\"open_hour\": 24}", "open_hour: must be an integer from 0 to 23"},
      {"{\"denied_models\": \"o1\"}", "denied_models: must be a list of texts"},
      {"[]", "the configuration: must be a JSON object"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    weir_double_reset();
    weir_errors_t errors = weir_double_init(cases[i].json);
    CHECK(errors.len == 1);
    CHECK_TEXT(errors.ptr[0], cases[i].error);
  }
  weir_errors_t errors = weir_double_init("{\"regoin\": \"eu\"}");
  CHECK(errors.len == 1 && weir_starts_with(errors.ptr[0], weir_text("regoin: no such setting; there are: open_hour, ")));
}

int main(void) {
  a_denied_model();
  outside_the_hours_only_the_exempt_plan_passes();
  the_instruction_comes_first();
  a_bucket_for_each_key();
  channels_of_the_region_by_priority_the_tripped_one_last();
  words_of_a_stream();
  mistakes_in_the_configuration();
  return 0;
}
