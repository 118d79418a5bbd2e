// Package export_weir_policy_audit is called by the bindings when the host calls the hook. The SDK puts
// the policy's own function in.
package export_weir_policy_audit

import (
	"weir/sdk/internal/bindings/weir_policy_audit"
)

// Run is the policy's hook.
var Run func(outcome weir_policy_audit.Outcome)

// Finished is the host's call.
func Finished(outcome weir_policy_audit.Outcome) {
	Run(outcome)
}
