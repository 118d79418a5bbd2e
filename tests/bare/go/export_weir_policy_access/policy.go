// Package export_weir_policy_access has the name and place that the bindings look for the hook in.
package export_weir_policy_access

import (
	"fmt"

	"bare/weir_policy_call"
	"bare/weir_policy_clock"
	"bare/weir_policy_store"
	"bare/weir_policy_types"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

const (
	allowed  = 2
	minuteMs = 60_000
)

type answer = wit.Result[wit.Unit, weir_policy_types.Denial]

// Authorize is the hook.
func Authorize(call weir_policy_types.Summary) answer {
	tenant := weir_policy_call.Tenant()
	if call.Model == "forbidden" {
		return wit.Err[wit.Unit](weir_policy_types.Denial{
			Status: 403, Code: "model_denied", RetryAfterMs: wit.None[uint32](),
			Message: fmt.Sprintf("`forbidden` is not for %s: ask for another model.", tenant),
		})
	}
	leftMs := wit.Some(uint32(minuteMs - weir_policy_clock.NowMs()%minuteMs))
	calls := weir_policy_store.Add(tenant, 1, leftMs)
	if calls.IsErr() || calls.Ok() > allowed {
		return wit.Err[wit.Unit](weir_policy_types.Denial{
			Status: 429, Code: "enough", RetryAfterMs: leftMs,
			Message: fmt.Sprintf("%s has made its two calls of this minute.", tenant),
		})
	}
	return wit.Ok[wit.Unit, weir_policy_types.Denial](wit.Unit{})
}
