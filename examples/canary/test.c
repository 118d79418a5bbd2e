#include "weir_double.h"

static weir_denial_t denial;
static weir_double_channel_t channels[4];
static weir_candidate_t candidates[4];

/* Channels 1 and 3 are stable, 2 and 4 are canaries. */
static void configured(const char *json) {
  weir_double_reset();
  CHECK(weir_double_init(json).len == 0);
  for (uint32_t i = 0; i < 4; i++) {
    channels[i] = (weir_double_channel_t){"name", "provider", 0, i % 2 ? weir_double_pairs("track", "canary", NULL) : (weir_pairs_t){0}};
    candidates[i] = weir_double_candidate(i + 1);
  }
  weir_double.channels = channels, weir_double.channels_len = 4;
}

static weir_verdict_t route(weir_attempts_t *attempts) {
  weir_summary_t call = weir_double_chat("gpt-4o");
  *attempts = (weir_attempts_t){0};
  return policy_route(&call, candidates, 4, attempts, &denial);
}

static void order_is(unsigned a, unsigned b, unsigned c, unsigned d) {
  weir_attempts_t attempts;
  unsigned wanted[] = {a, b, c, d};
  size_t count = 0;
  while (count < 4 && wanted[count]) count++;
  CHECK(route(&attempts) == WEIR_OK && attempts.len == count);
  for (size_t i = 0; i < count; i++) CHECK(attempts.ptr[i].channel == wanted[i]);
}

static void nobody_and_everybody(void) {
  configured("{\"percent\": 0}");
  order_is(1, 3, 0, 0);
  CHECK_TEXT(weir_double.metrics.ptr[0], "calls{group=stable,reason=share} 1");
  configured("{\"percent\": 100}");
  order_is(2, 4, 1, 3);
  CHECK_TEXT(weir_double.metrics.ptr[0], "calls{group=canary,reason=share} 1");
}

static void a_label_decides_for_its_key(void) {
  configured("{\"percent\": 0}");
  weir_double.labels = weir_double_pairs("canary", "always", NULL);
  order_is(2, 4, 1, 3);
  configured("{\"percent\": 100}");
  weir_double.labels = weir_double_pairs("canary", "never", NULL);
  order_is(1, 3, 0, 0);
  configured("{\"percent\": 100}");
  weir_double.labels = weir_double_pairs("canary", "perhaps", NULL);
  order_is(2, 4, 1, 3);
  CHECK_TEXT(weir_double.logs.ptr[0], "warn: the label `canary` is `perhaps`; it should be `always` or `never`");
}

static void what_cannot_be_used_comes_later(void) {
  configured("{\"percent\": 100}");
  candidates[1].tripped_ms = 1000;
  order_is(4, 1, 3, 2);
  candidates[3].usable_keys = 0;
  weir_double.metrics.len = 0;
  order_is(1, 3, 2, 4);
  CHECK_TEXT(weir_double.metrics.ptr[0], "calls{group=stable,reason=canary_unusable} 1");
}

static void stable_keys_go_to_canaries_only_where_that_is_allowed(void) {
  configured("{\"percent\": 0}");
  candidates[0].tripped_ms = candidates[2].tripped_ms = 1000;
  order_is(1, 3, 0, 0);
  configured("{\"percent\": 0, \"stable_may_use_canary\": true}");
  candidates[0].tripped_ms = candidates[2].tripped_ms = 1000;
  order_is(2, 4, 1, 3);
  CHECK_TEXT(weir_double.metrics.ptr[0], "calls{group=canary,reason=stable_unusable} 1");
}

static void without_a_stable_channel_a_stable_key_is_refused(void) {
  configured("{\"percent\": 0}");
  channels[0].labels = channels[2].labels = channels[1].labels;
  weir_attempts_t attempts;
  CHECK(route(&attempts) == WEIR_DENY && denial.status == 503);
  CHECK_TEXT(denial.code, "no_stable_channel");
}

static void the_share_is_right_and_only_grows(void) {
  enum { KEYS = 2000 };
  static bool before[KEYS];
  const char *shares[] = {"{\"percent\": 5}", "{\"percent\": 20}", "{\"percent\": 60.5}"};
  const unsigned wanted[] = {100, 400, 1210};
  for (size_t share = 0; share < 3; share++) {
    unsigned in = 0;
    configured(shares[share]);
    for (unsigned key = 0; key < KEYS; key++) {
      char name[24];
      snprintf(name, sizeof name, "key_%08x", key * 2654435761u);
      weir_double.key = name;
      weir_attempts_t attempts;
      CHECK(route(&attempts) == WEIR_OK);
      bool goes = attempts.ptr[0].channel == 2;
      CHECK(goes || !before[key]);
      before[key] = goes, in += goes;
    }
    CHECK(in > wanted[share] * 8 / 10 && in < wanted[share] * 12 / 10);
  }
}

static void a_canary_gets_less_time(void) {
  configured("{\"percent\": 100, \"first_byte_timeout_ms\": 1500}");
  weir_attempts_t attempts;
  CHECK(route(&attempts) == WEIR_OK && attempts.ptr[0].first_byte_timeout_ms.is_some);
  CHECK(attempts.ptr[0].first_byte_timeout_ms.val == 1500 && !attempts.ptr[2].first_byte_timeout_ms.is_some);
}

static void mistakes_in_the_configuration(void) {
  struct { const char *json, *error; } cases[] = {
      {"{}", "percent: must be set, to the share of keys from 0 to 100"},
      {"{\"percent\": 101}", "percent: must be a number from 0 to 100"},
      {"{\"percent\": 5, \"by\": \"ip\"}", "by: must be \"key\" or \"tenant\""},
      {"{\"percent\": 5, \"channel_label\": \"\"}", "channel_label: must name a label of channels"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    weir_double_reset();
    weir_errors_t errors = weir_double_init(cases[i].json);
    CHECK(errors.len == 1);
    CHECK_TEXT(errors.ptr[0], cases[i].error);
  }
}

int main(void) {
  nobody_and_everybody();
  a_label_decides_for_its_key();
  what_cannot_be_used_comes_later();
  stable_keys_go_to_canaries_only_where_that_is_allowed();
  without_a_stable_channel_a_stable_key_is_refused();
  the_share_is_right_and_only_grows();
  a_canary_gets_less_time();
  mistakes_in_the_configuration();
  return 0;
}
