// The policy of tests/bare in C: wit-bindgen's bindings of the interface, nothing else.
//
// What an export gives back is freed by the bindings, so it is always allocated (`dup`); what an
// import gives is ours to free.
#include <stdio.h>
#include <string.h>

#include "bare.h"

#define ALLOWED 2
#define MINUTE_MS 60000

static bool is(const bare_string_t *text, const char *word) {
    return text->len == strlen(word) && memcmp(text->ptr, word, text->len) == 0;
}

/// Makes the denial; `message` holds one `%.*s`, for the tenant.
static bool deny(exports_weir_policy_access_denial_t *denial, uint16_t status, const char *code, const char *message,
                 const bare_string_t *tenant) {
    char text[256];
    snprintf(text, sizeof text, message, (int)tenant->len, (const char *)tenant->ptr);
    denial->status = status;
    bare_string_dup(&denial->code, code);
    bare_string_dup(&denial->message, text);
    denial->retry_after_ms.is_some = false;
    return false;
}

bool exports_weir_policy_access_authorize(exports_weir_policy_access_summary_t *call,
                                          exports_weir_policy_access_denial_t *denial) {
    bare_string_t tenant;
    weir_policy_call_tenant(&tenant);
    bool allowed = true;
    if (is(&call->model, "forbidden")) {
        allowed = deny(denial, 403, "model_denied", "`forbidden` is not for %.*s: ask for another model.", &tenant);
    } else {
        uint32_t left_ms = (uint32_t)(MINUTE_MS - weir_policy_clock_now_ms() % MINUTE_MS);
        int64_t calls = 0;
        bare_string_t error = {0};
        bool added = weir_policy_store_add(&tenant, 1, &left_ms, &calls, &error);
        if (!added || calls > ALLOWED) {
            allowed = deny(denial, 429, "enough", "%.*s has made its two calls of this minute.", &tenant);
            denial->retry_after_ms.is_some = true;
            denial->retry_after_ms.val = left_ms;
        }
        if (!added) bare_string_free(&error);
    }
    bare_string_free(&tenant);
    exports_weir_policy_access_summary_free(call);
    return allowed;
}
