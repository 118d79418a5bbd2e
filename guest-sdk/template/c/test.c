/* sh weir-sdk/testing/run.sh policy.c test.c -fsanitize=address,undefined */
#include "weir_double.h"

static void configured(const char *json) {
  weir_double_reset();
  CHECK(weir_double_init(json).len == 0);
}

// weir:if access
static void a_denied_model(void) {
  configured("{\"denied_models\": [\"o1*\"]}");
  weir_denial_t denial;
  weir_summary_t good = weir_double_chat("gpt-4o"), bad = weir_double_chat("o1-pro");
  CHECK(policy_authorize(&good, &denial) == WEIR_OK);
  CHECK(policy_authorize(&bad, &denial) == WEIR_DENY);
  CHECK_TEXT(denial.code, "model_denied");
}

// weir:end
// weir:if rewrite
static void the_instruction_comes_first(void) {
  configured("{\"instruction\": \"Be brief.\"}");
  weir_denial_t denial;
  weir_summary_t call = weir_double_chat("gpt-4o");
  CHECK(policy_rewrite(&call, &denial) == WEIR_OK && weir_double.edits.len == 1);
  CHECK_TEXT(weir_double.edits.ptr[0], "prepend-system Be brief.");
}

// weir:end
// weir:if limit
static void a_bucket_for_each_key(void) {
  configured("{\"requests_per_minute\": 60}");
  weir_double.key = "key_7";
  weir_denial_t denial;
  weir_rules_t rules = {0};
  weir_summary_t call = weir_double_chat("gpt-4o");
  CHECK(policy_limits(&call, &rules, &denial) == WEIR_OK && rules.len == 1);
  CHECK_TEXT(rules.ptr[0].key, "key:key_7");
}

// weir:end
// weir:if answer
static void the_notice_is_the_answer(void) {
  configured("{\"notice\": \"Back at nine.\"}");
  weir_denial_t denial;
  weir_response_t response = {0};
  weir_summary_t call = weir_double_chat("gpt-4o");
  CHECK(policy_answer(&call, &response, &denial) == WEIR_DONE && response.status == 503);
}

// weir:end
// weir:if route
static void without_a_channel_of_the_region_the_call_is_denied(void) {
  configured("{\"region\": \"eu\"}");
  weir_denial_t denial;
  weir_attempts_t attempts = {0};
  weir_summary_t call = weir_double_chat("gpt-4o");
  weir_candidate_t candidate = weir_double_candidate(1);
  CHECK(policy_route(&call, &candidate, 1, &attempts, &denial) == WEIR_DENY && denial.status == 503);
}

// weir:end
// weir:if reply
static void replies_are_stamped(void) {
  configured("{\"stamp\": \"checked\"}");
  weir_denial_t denial;
  weir_response_t response = {.status = 200};
  weir_summary_t call = weir_double_chat("gpt-4o");
  CHECK(policy_reply(&call, &response, &denial) == WEIR_DONE && response.headers.len == 1);
  CHECK_TEXT(response.headers.ptr[0].f1, "checked");
}

// weir:end
// weir:if events
static void words_of_a_stream(void) {
  configured("{\"replace\": {\"secret\": \"[redacted]\"}}");
  weir_denial_t denial;
  weir_summary_t call = weir_double_chat("gpt-4o");
  void *stream = policy_open(&call);
  weir_event_t event = weir_text_event(0, weir_text("a secret"));
  weir_events_t instead = {0};
  CHECK(policy_push(stream, &event, &instead, &denial) == WEIR_DONE && instead.len == 1);
  CHECK_TEXT(instead.ptr[0].val.text.text, "a [redacted]");
}

// weir:end
// weir:if audit
static void finished_calls_are_counted(void) {
  configured("{}");
  weir_outcome_t outcome = {.status = 429};
  policy_finished(&outcome);
  CHECK(weir_double.metrics.len == 1);
  CHECK_TEXT(weir_double.metrics.ptr[0], "calls_finished{status=429} 1");
}

// weir:end
static void a_setting_that_there_is_not(void) {
  weir_double_reset();
  weir_errors_t errors = weir_double_init("{\"regoin\": \"eu\"}");
  CHECK(errors.len == 1 && weir_starts_with(errors.ptr[0], weir_text("regoin: no such setting")));
}

int main(void) {
  // weir:if access
  a_denied_model();
  // weir:end
  // weir:if rewrite
  the_instruction_comes_first();
  // weir:end
  // weir:if limit
  a_bucket_for_each_key();
  // weir:end
  // weir:if answer
  the_notice_is_the_answer();
  // weir:end
  // weir:if route
  without_a_channel_of_the_region_the_call_is_denied();
  // weir:end
  // weir:if reply
  replies_are_stamped();
  // weir:end
  // weir:if events
  words_of_a_stream();
  // weir:end
  // weir:if audit
  finished_calls_are_counted();
  // weir:end
  a_setting_that_there_is_not();
  return 0;
}
