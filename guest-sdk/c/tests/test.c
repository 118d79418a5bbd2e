/* The SDK's own tests: text, memory, JSON and the double. Run with testing/run.sh tests/policy.c tests/test.c */
#include <string.h>

#include "../src/arena.h"
#include "weir_double.h"

static void texts(void) {
  CHECK(weir_matches(weir_text("gpt-*"), weir_text("gpt-4o")) && !weir_matches(weir_text("gpt-*"), weir_text("o1")));
  CHECK(weir_matches(weir_text("*-mini*"), weir_text("a-mini-mini-x")) && weir_matches(weir_text("*"), weir_text("")));
  CHECK(!weir_matches(weir_text("a*b"), weir_text("abc")) && weir_matches(weir_text("a*c"), weir_text("abcbc")));
  CHECK_TEXT(weir_replace(weir_text("aaa"), weir_text("aa"), weir_text("b")), "ba");
  CHECK_TEXT(weir_replace(weir_text("abab"), weir_text("ab"), weir_text("")), "");
  CHECK_TEXT(weir_replace(weir_text("ab"), weir_text(""), weir_text("x")), "ab");
  CHECK_TEXT(weir_format("%d %.*s", 7, WEIR_ARG(weir_text("x"))), "7 x");
}

static void memory_is_freed_between_hooks(void) {
  weir_arena_end();
  void *one = weir_alloc(100);
  memset(weir_alloc(1000000), 1, 1000000);
  weir_arena_end();
  CHECK(weir_alloc(100) == one);
  weir_rules_t rules = {0};
  for (uint64_t i = 0; i < 1000; i++) weir_rule(&rules, weir_text("k"), WEIR_REQUESTS, weir_day(), i);
  CHECK(rules.len == 1000 && rules.ptr[777].limit == 777);
}

static void json(void) {
  const weir_json_t *read = weir_json_read(weir_text(" {\"a\\u00e9\\ud83d\\ude00\": [1, -2.5e1, true, null, \"x\\\"y\"], \"b\": {}} "), weir_alloc);
  const weir_json_t *list = weir_json_get(read, "a\xc3\xa9\xf0\x9f\x98\x80");
  CHECK(list && list->len == 5 && list->items[1].number == -25 && list->items[2].truth && list->items[3].kind == WEIR_JSON_NULL);
  CHECK_TEXT(list->items[4].text, "x\"y");
  CHECK(!weir_json_get(read, "c") && weir_json_get(read, "b")->len == 0);
  const char *bad[] = {"", "{", "[1,]", "{\"a\" 1}", "\"a", "\"\\x\"", "\"\\ud800\"", "\"\\u12", "tru", "1 2", "+1", ".5", "[\"a\n\"]", "\"\\"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!weir_json_read(weir_text(bad[i]), weir_alloc));
  char deep[300];
  memset(deep, '[', sizeof deep - 1), deep[sizeof deep - 1] = 0;
  CHECK(!weir_json_read(weir_text(deep), weir_alloc));
}

static void settings(void) {
  typedef struct { bool strict; double share; int64_t count; weir_strings_t names; } config_t;
  static const weir_setting_t table[] = {WEIR_SETTING_BOOL(config_t, strict), WEIR_SETTING_NUMBER(config_t, share, 0, 1),
                                         WEIR_SETTING_INT(config_t, count, 1, 9), WEIR_SETTING_TEXTS(config_t, names), WEIR_SETTINGS_END};
  config_t config = {.count = 5};
  weir_errors_t errors = {0};
  weir_config_read(weir_text("{\"strict\": true, \"share\": 0.5, \"names\": [\"a\", \"b\"]}"), table, &config, &errors);
  CHECK(errors.len == 0 && config.strict && config.share == 0.5 && config.count == 5 && config.names.len == 2);
  weir_config_read(weir_text("{\"strict\": 1, \"share\": 2, \"count\": 1.5, \"names\": [1], \"other\": 0}"), table, &config, &errors);
  CHECK(errors.len == 5 && config.count == 5);
  CHECK_TEXT(errors.ptr[2], "count: must be an integer from 1 to 9");
  CHECK_TEXT(errors.ptr[3], "names[0]: must be text");
  CHECK_TEXT(errors.ptr[4], "other: no such setting; there are: strict, share, count, names");
}

static void the_store_follows_the_clock(void) {
  int64_t sum;
  weir_string_t error;
  weir_double_reset();
  CHECK(weir_store_add(weir_text("n"), 2, 1000, &sum, &error) && sum == 2);
  weir_double.now_ms += 500;
  CHECK(weir_store_add(weir_text("n"), 2, 1000, &sum, NULL) && sum == 4);
  weir_double.now_ms += 500;
  weir_bytes_t value;
  CHECK(!weir_store_get(weir_text("n"), &value));
  CHECK(weir_store_set(weir_text("t"), (weir_bytes_t){(uint8_t *)"x", 1}, 0, NULL) && !weir_store_add(weir_text("t"), 1, 0, &sum, &error));
  CHECK_TEXT(error, "the value is not an integer");
  weir_store_remove(weir_text("t"));
  CHECK(!weir_store_get(weir_text("t"), &value));
}

static void the_other_imports(void) {
  weir_string_t error, value;
  weir_double_reset();
  weir_double.headers = weir_double_pairs("x-one", "1", NULL);
  CHECK(weir_call_header("X-One", &value) && weir_is(value, "1") && !weir_call_header("two", &value));
  weir_log(WEIR_WARN, "careful %d", 1);
  CHECK_TEXT(weir_double.logs.ptr[0], "warn: careful 1");
  weir_pairs_t labels = {0};
  weir_pair(&labels, weir_text("kind"), weir_text("a"));
  weir_count("n", 2, labels);
  CHECK_TEXT(weir_double.metrics.ptr[0], "n{kind=a} 2");
  CHECK(!weir_edit_set_header("authorization", weir_text("x"), NULL) && weir_double.edits.len == 0);
  weir_response_t response;
  CHECK(!weir_http_send((weir_request_t){0}, &response, &error) && weir_is(error, "this host was not granted"));
  CHECK(weir_ban(weir_text("192.0.2.9"), 10, weir_text("why"), NULL) && weir_is(weir_double.bans.ptr[0], "192.0.2.9 for 10 ms: why"));
}

int main(void) {
  texts();
  memory_is_freed_between_hooks();
  json();
  settings();
  the_store_follows_the_clock();
  the_other_imports();
  return 0;
}
