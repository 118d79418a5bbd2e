// Package export_weir_policy_answer is called by the bindings when the host calls the hook. The SDK puts
// the policy's own function in.
package export_weir_policy_answer

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"

	"weir/sdk/internal/bindings/weir_policy_types"
)

// Run is the policy's hook.
var Run func(call weir_policy_types.Summary) witTypes.Result[witTypes.Option[weir_policy_types.Response], weir_policy_types.Denial]

// Answer is the host's call.
func Answer(call weir_policy_types.Summary) witTypes.Result[witTypes.Option[weir_policy_types.Response], weir_policy_types.Denial] {
	return Run(call)
}
