// Package export_weir_policy_route is called by the bindings when the host calls the hook. The SDK puts
// the policy's own function in.
package export_weir_policy_route

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"

	"weir/sdk/internal/bindings/weir_policy_route"
	"weir/sdk/internal/bindings/weir_policy_types"
)

// Run is the policy's hook.
var Run func(call weir_policy_types.Summary, candidates []weir_policy_route.Candidate) witTypes.Result[[]weir_policy_route.Attempt, weir_policy_types.Denial]

// Route is the host's call.
func Route(call weir_policy_types.Summary, candidates []weir_policy_route.Candidate) witTypes.Result[[]weir_policy_route.Attempt, weir_policy_types.Denial] {
	return Run(call, candidates)
}
