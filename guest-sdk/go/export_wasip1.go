//go:build wasip1

package weir

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	witTypes "go.bytecodealliance.org/pkg/wit/types"

	"weir/sdk/internal/bindings/weir_policy_audit"
	"weir/sdk/internal/bindings/weir_policy_events"
	"weir/sdk/internal/bindings/weir_policy_limit"
	"weir/sdk/internal/bindings/weir_policy_route"
	"weir/sdk/internal/bindings/weir_policy_types"
	_ "weir/sdk/internal/bindings/wit_exports"
	"weir/sdk/internal/exports/export_weir_policy_access"
	"weir/sdk/internal/exports/export_weir_policy_answer"
	"weir/sdk/internal/exports/export_weir_policy_audit"
	"weir/sdk/internal/exports/export_weir_policy_events"
	"weir/sdk/internal/exports/export_weir_policy_lifecycle"
	"weir/sdk/internal/exports/export_weir_policy_limit"
	"weir/sdk/internal/exports/export_weir_policy_reply"
	"weir/sdk/internal/exports/export_weir_policy_rewrite"
	"weir/sdk/internal/exports/export_weir_policy_route"
)

type (
	denial = weir_policy_types.Denial
	unit   = witTypes.Unit
)

// Main is all that `main` does; a component has no main.
func Main() {}

// Export makes a policy the component's: configure makes it from its configuration. Call it once, in `init`
// of the main package.
func Export[Config, Policy any](configure func(config Config) (Policy, error)) {
	var policy Policy
	export_weir_policy_lifecycle.Run = func(text string) []string {
		defer report()
		var config Config
		if starts, has := any(&config).(interface{ Defaults() }); has {
			starts.Defaults()
		}
		if err := Configure(text, &config); err != nil {
			return []string{err.Error()}
		}
		made, err := configure(config)
		if err != nil {
			return sentences(err)
		}
		policy = made
		return nil
	}
	// Which hooks there are is a matter of the type, so that the linker leaves out all others.
	if _, has := any(policy).(Authorizer); has {
		export_weir_policy_access.Run = func(call Summary) witTypes.Result[unit, denial] {
			defer report()
			return answered(unit{}, any(policy).(Authorizer).Authorize(call))
		}
	}
	if _, has := any(policy).(Rewriter); has {
		export_weir_policy_rewrite.Run = func(call Summary) witTypes.Result[unit, denial] {
			defer report()
			return answered(unit{}, any(policy).(Rewriter).Rewrite(call))
		}
	}
	if _, has := any(policy).(Limiter); has {
		export_weir_policy_limit.Run = func(call Summary) witTypes.Result[[]weir_policy_limit.Rule, denial] {
			defer report()
			rules, err := any(policy).(Limiter).Limits(call)
			return answered(rules, err)
		}
	}
	if _, has := any(policy).(Answerer); has {
		export_weir_policy_answer.Run = func(call Summary) witTypes.Result[witTypes.Option[weir_policy_types.Response], denial] {
			defer report()
			response, err := any(policy).(Answerer).Answer(call)
			return answered(outgoing(response), err)
		}
	}
	if _, has := any(policy).(Router); has {
		export_weir_policy_route.Run = func(call Summary, candidates []Candidate) witTypes.Result[[]weir_policy_route.Attempt, denial] {
			defer report()
			attempts, err := any(policy).(Router).Route(call, candidates)
			made := make([]weir_policy_route.Attempt, len(attempts))
			for at, one := range attempts {
				made[at] = weir_policy_route.Attempt{
					Channel:            one.Channel,
					FirstByteTimeoutMs: span(one.FirstByteTimeout),
					HedgeAfterMs:       span(one.HedgeAfter),
				}
			}
			return answered(made, err)
		}
	}
	if _, has := any(policy).(Replier); has {
		export_weir_policy_reply.Run = func(call Summary, response weir_policy_types.Response) witTypes.Result[witTypes.Option[weir_policy_types.Response], denial] {
			defer report()
			changed, err := any(policy).(Replier).Reply(call, incoming(response))
			return answered(outgoing(changed), err)
		}
	}
	if _, has := any(policy).(Streamer); has {
		streams(func(call Summary) Stream { return any(policy).(Streamer).Open(call) })
	}
	if _, has := any(policy).(Auditor); has {
		export_weir_policy_audit.Run = func(outcome weir_policy_audit.Outcome) {
			defer report()
			any(policy).(Auditor).Finished(Outcome{
				Call: outcome.Call, Channel: outcome.Channel.SomeOr(""), Denied: outcome.Denied.SomeOr(""),
				Status: int(outcome.Status), Attempts: outcome.Attempts,
				FirstByteMs: outcome.FirstByteMs, TotalMs: outcome.TotalMs, Usage: outcome.Usage,
			})
		}
	}
}

func streams(open func(call Summary) Stream) {
	running := map[uint32]Stream{}
	export_weir_policy_events.RunOpen = func(reply uint32, call Summary) bool {
		defer report()
		stream := open(call)
		if stream != nil {
			running[reply] = stream
		}
		return stream != nil
	}
	export_weir_policy_events.RunPush = func(reply uint32, given weir_policy_events.Event) witTypes.Result[weir_policy_events.Action, denial] {
		defer report()
		stream := running[reply]
		if stream == nil {
			return answered(weir_policy_events.MakeActionPass(), nil)
		}
		made, err := stream.Push(eventOf(given))
		switch {
		case err != nil:
			return answered(weir_policy_events.MakeActionPass(), err)
		case Kept(made):
			return answered(weir_policy_events.MakeActionPass(), nil)
		case len(made) == 0:
			return answered(weir_policy_events.MakeActionDrop(), nil)
		}
		return answered(weir_policy_events.MakeActionReplace(eventsTo(made)), nil)
	}
	export_weir_policy_events.RunClose = func(reply uint32) []weir_policy_events.Event {
		defer report()
		stream := running[reply]
		delete(running, reply)
		if stream == nil {
			return nil
		}
		return eventsTo(stream.Close())
	}
}

// report sends a panic to the policy's log before it becomes a bare trap.
func report() {
	if failure := recover(); failure != nil {
		Log(Error, "panic: %v\n%s", failure, debug.Stack())
		panic(failure)
	}
}

// answered is what the hook answers; an error that is no denial is a failure of the policy.
func answered[T any](value T, err error) witTypes.Result[T, denial] {
	if err == nil {
		return witTypes.Ok[T, denial](value)
	}
	var refused *Denial
	if !errors.As(err, &refused) {
		panic(err)
	}
	return witTypes.Err[T](denial{
		Status: uint16(refused.Status), Code: refused.Code, Message: refused.Message, RetryAfterMs: span(refused.RetryAfter),
	})
}

// sentences are the errors that were joined, one each.
func sentences(err error) []string {
	joined, many := err.(interface{ Unwrap() []error })
	if !many {
		return []string{err.Error()}
	}
	var made []string
	for _, one := range joined.Unwrap() {
		made = append(made, one.Error())
	}
	return made
}

func span(of time.Duration) witTypes.Option[uint32] {
	if of <= 0 {
		return witTypes.None[uint32]()
	}
	return witTypes.Some(milliseconds(of))
}

func outgoing(response *Response) witTypes.Option[weir_policy_types.Response] {
	if response == nil {
		return witTypes.None[weir_policy_types.Response]()
	}
	made := weir_policy_types.Response{Status: uint16(response.Status), Body: response.Body}
	for _, one := range response.Headers {
		made.Headers = append(made.Headers, witTypes.Tuple2[string, string]{F0: one.Name, F1: one.Value})
	}
	return witTypes.Some(made)
}

func incoming(response weir_policy_types.Response) Response {
	made := Response{Status: int(response.Status), Body: response.Body}
	for _, one := range response.Headers {
		made.Headers = append(made.Headers, Pair{Name: one.F0, Value: one.F1})
	}
	return made
}

func pointer(of witTypes.Option[string]) *string {
	if of.IsNone() {
		return nil
	}
	text := of.Some()
	return &text
}

func option(of *string) witTypes.Option[string] {
	if of == nil {
		return witTypes.None[string]()
	}
	return witTypes.Some(*of)
}

func eventOf(given weir_policy_events.Event) Event {
	switch given.Tag() {
	case weir_policy_events.EventText:
		return Text(given.Text())
	case weir_policy_events.EventReasoning:
		return Reasoning(given.Reasoning())
	case weir_policy_events.EventToolCall:
		piece := given.ToolCall()
		return ToolCallPiece{piece.Choice, piece.Index, pointer(piece.Id), pointer(piece.Name), piece.Arguments}
	case weir_policy_events.EventUsage:
		return Used(given.Usage())
	case weir_policy_events.EventFinish:
		return Finish(given.Finish())
	}
	other := given.Other()
	return OtherEvent{pointer(other.Name), other.Data}
}

func eventsTo(given []Event) []weir_policy_events.Event {
	made := make([]weir_policy_events.Event, len(given))
	for at, one := range given {
		switch event := one.(type) {
		case Text:
			made[at] = weir_policy_events.MakeEventText(TextDelta(event))
		case Reasoning:
			made[at] = weir_policy_events.MakeEventReasoning(TextDelta(event))
		case ToolCallPiece:
			made[at] = weir_policy_events.MakeEventToolCall(weir_policy_events.ToolCallDelta{
				Choice: event.Choice, Index: event.Index, Id: option(event.ID), Name: option(event.Name), Arguments: event.Arguments,
			})
		case Used:
			made[at] = weir_policy_events.MakeEventUsage(Usage(event))
		case Finish:
			made[at] = weir_policy_events.MakeEventFinish(string(event))
		case OtherEvent:
			made[at] = weir_policy_events.MakeEventOther(weir_policy_events.RawEvent{Name: option(event.Name), Data: event.Data})
		default:
			panic(fmt.Sprintf("weir: event %d is %v; Keep() stands alone", at, one))
		}
	}
	return made
}
