// Package export_weir_policy_lifecycle is called by the bindings when the host calls the hook. The SDK puts
// the policy's own function in.
package export_weir_policy_lifecycle

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"
)

// Run configures the policy.
var Run func(config string) []string

// Init is the host's call.
func Init(config string) witTypes.Result[witTypes.Unit, []string] {
	if errors := Run(config); len(errors) > 0 {
		return witTypes.Err[witTypes.Unit](errors)
	}
	return witTypes.Ok[witTypes.Unit, []string](witTypes.Unit{})
}
