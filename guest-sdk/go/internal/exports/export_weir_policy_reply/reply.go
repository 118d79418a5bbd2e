// Package export_weir_policy_reply is called by the bindings when the host calls the hook. The SDK puts
// the policy's own function in.
package export_weir_policy_reply

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"

	"weir/sdk/internal/bindings/weir_policy_types"
)

// Run is the policy's hook.
var Run func(call weir_policy_types.Summary, response weir_policy_types.Response) witTypes.Result[witTypes.Option[weir_policy_types.Response], weir_policy_types.Denial]

// Reply is the host's call.
func Reply(call weir_policy_types.Summary, response weir_policy_types.Response) witTypes.Result[witTypes.Option[weir_policy_types.Response], weir_policy_types.Denial] {
	return Run(call, response)
}
