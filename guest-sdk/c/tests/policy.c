#include "weir_sdk.h"

void policy_init(weir_string_t json, weir_errors_t *errors) { (void)json, (void)errors; }
