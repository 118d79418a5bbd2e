// Package export_weir_policy_events is called by the bindings when the host calls the hook. The SDK puts
// the policy's own function in.
package export_weir_policy_events

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"

	"weir/sdk/internal/bindings/weir_policy_events"
	"weir/sdk/internal/bindings/weir_policy_types"
)

// The policy's hook.
var (
	RunOpen  func(reply uint32, call weir_policy_types.Summary) bool
	RunPush  func(reply uint32, event weir_policy_events.Event) witTypes.Result[weir_policy_events.Action, weir_policy_types.Denial]
	RunClose func(reply uint32) []weir_policy_events.Event
)

// Open is the host's call.
func Open(reply uint32, call weir_policy_types.Summary) bool {
	return RunOpen(reply, call)
}

// Push is the host's call.
func Push(reply uint32, event weir_policy_events.Event) witTypes.Result[weir_policy_events.Action, weir_policy_types.Denial] {
	return RunPush(reply, event)
}

// Close is the host's call.
func Close(reply uint32) []weir_policy_events.Event {
	return RunClose(reply)
}
