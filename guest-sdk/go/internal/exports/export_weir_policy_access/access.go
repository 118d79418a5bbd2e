// Package export_weir_policy_access is called by the bindings when the host calls the hook. The SDK puts
// the policy's own function in.
package export_weir_policy_access

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"

	"weir/sdk/internal/bindings/weir_policy_types"
)

// Run is the policy's hook.
var Run func(call weir_policy_types.Summary) witTypes.Result[witTypes.Unit, weir_policy_types.Denial]

// Authorize is the host's call.
func Authorize(call weir_policy_types.Summary) witTypes.Result[witTypes.Unit, weir_policy_types.Denial] {
	return Run(call)
}
