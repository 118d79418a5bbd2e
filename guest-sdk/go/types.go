// Package weir is what a policy author writes against, in Go. Read README.md first.
//
// A policy is a type with the methods of the hooks that it needs (Authorizer, Limiter, ...); Export makes
// it the component's. What a policy may reach are the functions of call.go and host.go: what is called is
// what the component imports, and is all that it can do.
package weir

import (
	"fmt"
	"time"

	"weir/sdk/internal/bindings/weir_policy_events"
	"weir/sdk/internal/bindings/weir_policy_limit"
	"weir/sdk/internal/bindings/weir_policy_models"
	"weir/sdk/internal/bindings/weir_policy_route"
	"weir/sdk/internal/bindings/weir_policy_types"
	"weir/sdk/internal/host"
)

// The vocabulary of the interface; wit/policy.wit documents every field.
type (
	// Summary is the facts that every hook gets.
	Summary = weir_policy_types.Summary
	// Operation is what the caller asked for.
	Operation = weir_policy_types.Operation
	// Message is one message of the prompt.
	Message = weir_policy_types.Message
	// Usage is tokens and money.
	Usage = weir_policy_types.Usage
	// Candidate is a channel that could serve the call.
	Candidate = weir_policy_route.Candidate
	// Rule is one limit that the call falls under.
	Rule = weir_policy_limit.Rule
	// Unit is what a limit counts.
	Unit = weir_policy_limit.Unit
	// Window is the time over which a limit counts.
	Window = weir_policy_limit.Window
	// TextDelta is a piece of text.
	TextDelta = weir_policy_events.TextDelta
	// Completion is a model's answer.
	Completion = weir_policy_models.Completion
	// Pair is a name and a value: a header, a label, a parameter.
	Pair = host.Pair
	// HostError is what the host could not do, in its own words.
	HostError = host.Error
)

// What a call can ask for.
const (
	Chat          = weir_policy_types.OperationChat
	TextComplete  = weir_policy_types.OperationCompletion
	Embedding     = weir_policy_types.OperationEmbedding
	Image         = weir_policy_types.OperationImage
	Speech        = weir_policy_types.OperationSpeech
	Transcription = weir_policy_types.OperationTranscription
	Moderation    = weir_policy_types.OperationModeration
	Rerank        = weir_policy_types.OperationRerank
	Video         = weir_policy_types.OperationVideo
	Realtime      = weir_policy_types.OperationRealtime
	File          = weir_policy_types.OperationFile
	Batch         = weir_policy_types.OperationBatch
	Models        = weir_policy_types.OperationModels
	CountingOnly  = weir_policy_types.OperationCountTokens
	ToolCall      = weir_policy_types.OperationToolCall
	Other         = weir_policy_types.OperationOther
)

// What a limit can count.
const (
	Requests     = weir_policy_limit.UnitRequests
	InputTokens  = weir_policy_limit.UnitInputTokens
	OutputTokens = weir_policy_limit.UnitOutputTokens
	TotalTokens  = weir_policy_limit.UnitTotalTokens
	CostMicros   = weir_policy_limit.UnitCostMicros
	InFlight     = weir_policy_limit.UnitInFlight
)

// Sliding is the last so many seconds, whole ones.
func Sliding(span time.Duration) Window {
	return weir_policy_limit.MakeWindowSliding(uint32(span / time.Second))
}

// Day is the natural day in the tenant's time zone.
func Day() Window { return weir_policy_limit.MakeWindowDay() }

// Week is the natural week, Monday first.
func Week() Window { return weir_policy_limit.MakeWindowWeek() }

// Month is the natural month.
func Month() Window { return weir_policy_limit.MakeWindowMonth() }

// Lifetime never resets.
func Lifetime() Window { return weir_policy_limit.MakeWindowLifetime() }

// WhileUnderWay is as long as the call is under way; for InFlight.
func WhileUnderWay() Window { return weir_policy_limit.MakeWindowCall() }

// Denial refuses the call; a hook returns it as its error, wrapped or not.
type Denial struct {
	// Status is 400 to 599.
	Status int
	// Code is machine-readable, snake_case.
	Code string
	// Message is one sentence for the caller that says what to do about it.
	Message string
	// RetryAfter is when the same call may succeed, where waiting helps.
	RetryAfter time.Duration
}

func (denial *Denial) Error() string {
	return fmt.Sprintf("%d %s: %s", denial.Status, denial.Code, denial.Message)
}

// Deny makes a refusal.
func Deny(status int, code, format string, arguments ...any) *Denial {
	return &Denial{Status: status, Code: code, Message: fmt.Sprintf(format, arguments...)}
}

// Response is a whole reply.
type Response struct {
	Status  int
	Headers []Pair
	Body    []byte
}

// Attempt is one try at one channel.
type Attempt struct {
	Channel uint32
	// FirstByteTimeout is the host's own where it is 0.
	FirstByteTimeout time.Duration
	// HedgeAfter starts the next attempt beside this one; never where it is 0.
	HedgeAfter time.Duration
}

// Usable tells whether the circuit breaker does not keep the channel out, and it has a key to use.
func Usable(candidate Candidate) bool { return candidate.TrippedMs == 0 && candidate.UsableKeys > 0 }

// Event is one event of a streamed reply: Text, Reasoning, ToolCallPiece, Used, Finish or OtherEvent.
type Event interface{ event() }

type (
	// Text is a piece of the answer's text.
	Text TextDelta
	// Reasoning is a piece of the reasoning before the answer.
	Reasoning TextDelta
	// ToolCallPiece is a piece of a tool call.
	ToolCallPiece struct {
		Choice, Index uint32
		// ID and Name are nil where this piece does not have them.
		ID, Name *string
		// Arguments is JSON text, to be appended.
		Arguments string
	}
	// Used is what the call has used.
	Used Usage
	// Finish is the end of the answer, with the reason in the dialect's words.
	Finish string
	// OtherEvent is anything else, as the provider sent it.
	OtherEvent struct {
		// Name is nil where the event has none.
		Name *string
		Data string
	}
)

func (Text) event()          {}
func (Reasoning) event()     {}
func (ToolCallPiece) event() {}
func (Used) event()          {}
func (Finish) event()        {}
func (OtherEvent) event()    {}

// Outcome is how a call ended.
type Outcome struct {
	Call Summary
	// Channel and Denied are empty where no channel answered, and where nothing was denied.
	Channel, Denied      string
	Status               int
	Attempts             uint32
	FirstByteMs, TotalMs uint32
	Usage                Usage
}
