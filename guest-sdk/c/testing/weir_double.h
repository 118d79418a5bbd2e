/* A double of the gateway for native tests: compile the policy, src/memory.c, src/sdk.c, src/json.c and
 * testing/weir_double.c with any C compiler, and call the policy's hooks (see run.sh).
 *
 * Set what the policy is to see in `weir_double`, run a hook, look at what it left there. Edits are
 * noted, not made: `body` and the JSON pointers stay as the test gave them. */
#ifndef WEIR_DOUBLE_H
#define WEIR_DOUBLE_H

#include <stdio.h>
#include <stdlib.h>

#include "weir_sdk.h"

typedef struct {
  const char *name, *provider, *model; /* model: NULL for the call's own */
  weir_pairs_t labels;
} weir_double_channel_t;

typedef struct {
  /* what the policy sees */
  const char *id, *dialect, *method, *path, *tenant, *key, *client_ip, *body;
  weir_pairs_t query, headers, labels, secrets;
  weir_pairs_t json; /* pointers and the JSON text that they lead to */
  weir_messages_t messages;
  weir_double_channel_t *channels; /* number 1 is the first */
  size_t channels_len;
  uint64_t now_ms; /* 2026-01-05T12:00:00Z, a Monday, unless set */
  bool (*http)(const weir_request_t *request, weir_response_t *response, weir_string_t *error);
  bool (*complete)(weir_string_t model, weir_messages_t messages, weir_completion_t *completion, weir_string_t *error);
  /* what it left behind */
  unsigned imports; /* calls into the host */
  uint32_t remember_ms;
  weir_strings_t edits;   /* "set-model gpt-4o-mini", "set-header x-a: 1", … in order */
  weir_strings_t logs;    /* "warn: careful" */
  weir_strings_t metrics; /* "blocked{kind=word} 1" */
  weir_strings_t bans;    /* "192.0.2.9 for 1000 ms: why" */
} weir_double_t;

extern weir_double_t weir_double;

/* A fresh gateway: an empty store, a chat of tenant "acme" with the key "key_1", nobody at the other end. */
void weir_double_reset(void);
/* Configures the policy; the errors are what it has against the configuration. */
weir_errors_t weir_double_init(const char *json);
/* A chat call to the model. */
weir_summary_t weir_double_chat(const char *model);
/* Pairs from C strings, ended by NULL: weir_double_pairs("plan", "pro", NULL). */
weir_pairs_t weir_double_pairs(const char *name, ...);
/* A candidate of that number without a fault. */
weir_candidate_t weir_double_candidate(uint32_t channel);

/* Ends the test program with the place and 1 where it does not hold. */
#define CHECK(holds) \
  do { if (!(holds)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #holds); exit(1); } } while (0)
#define CHECK_TEXT(text, wanted) \
  do { \
    weir_string_t seen_ = (text); \
    if (!weir_is(seen_, wanted)) { fprintf(stderr, "%s:%d: %.*s, not %s\n", __FILE__, __LINE__, WEIR_ARG(seen_), wanted); exit(1); } \
  } while (0)

#endif
