// Package weirtest is a double of the gateway, so that `go test` tests a policy natively and always the same.
//
//	host := weirtest.New(t, configure, `{"prefix": "gpt-"}`)
//	err := host.Authorize(weirtest.Call{Model: "claude-sonnet-4"})
//
// It answers the imports as the gateway does, except that edits work in every hook and nothing is evicted
// from the store. What the last hook left behind is in host.Seen.
package weirtest

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	weir "weir/sdk"
	"weir/sdk/internal/bindings/weir_policy_types"
	"weir/sdk/internal/host"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
)

// Noon is where the clock begins: a Monday.
var Noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// Call is the call of a test. What is left out is a chat to gpt-4o of tenant "acme" with the key "key_1".
type Call struct {
	// Summary is the rest of what every hook gets, where a test needs it; Model comes before its own.
	weir.Summary
	Model                                            string
	ID, Dialect, Method, Path, Tenant, Key, ClientIP string
	Query, Headers                                   []weir.Pair
	Labels                                           map[string]string
	// Body is JSON; where it is empty, a short chat to the model.
	Body string
}

// Channel is a channel that could serve the call; its candidate is healthy unless Change says otherwise.
type Channel struct {
	Name, Provider, Model string
	Labels                map[string]string
	Change                func(candidate *weir.Candidate)
}

// Seen is what one hook left behind.
type Seen struct {
	// Imports is how many calls into the host the hook made.
	Imports    int
	RememberMs uint32
	Model      string
	Headers    []weir.Pair
	Body       []byte
	// Edits in order, for example "set-header x-a: 1".
	Edits []string
	// Logs, for example "careful"; Bans, for example "192.0.2.9: why".
	Logs, Bans []string
	Metrics    map[string]float64
}

// JSON is the body after the edits.
func (seen *Seen) JSON() map[string]any {
	made := map[string]any{}
	_ = json.Unmarshal(seen.Body, &made)
	return made
}

// Host is the gateway's place in a test, with a policy in it. The store and the clock last from hook to hook.
type Host[Policy any] struct {
	Policy   Policy
	Now      time.Time
	Channels []Channel
	Secrets  map[string]string
	// HTTP and Models answer what the policy sends; an error refuses.
	HTTP   func(method, url string, body []byte) (weir.Response, error)
	Models func(model string, messages []weir.Message) (string, error)
	Seen   Seen

	call  Call
	store map[string]entry
}

type entry struct {
	value   []byte
	expires time.Time
}

// Configure is what a policy has against a configuration, nil where it is good.
func Configure[Config, Policy any](configure func(Config) (Policy, error), config string) (Policy, error) {
	var read Config
	if starts, has := any(&read).(interface{ Defaults() }); has {
		starts.Defaults()
	}
	if err := weir.Configure(config, &read); err != nil {
		var none Policy
		return none, err
	}
	return configure(read)
}

// New makes a host with the policy that configure (what weir.Export got) makes of the configuration, JSON.
func New[Config, Policy any](t testing.TB, configure func(Config) (Policy, error), config string) *Host[Policy] {
	t.Helper()
	made := &Host[Policy]{Now: Noon, store: map[string]entry{}}
	made.begin(Call{})
	policy, err := Configure(configure, config)
	if err != nil {
		t.Fatal("the configuration is refused: ", err)
	}
	made.Policy = policy
	return made
}

func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}

func (one *Host[Policy]) begin(call Call) weir.Summary {
	call.Summary.Model = or(or(call.Model, call.Summary.Model), "gpt-4o")
	call.Body = or(call.Body, `{"model":`+strconv.Quote(call.Summary.Model)+`,"messages":[{"role":"user","content":"Hello"}]}`)
	one.call = call
	one.Seen = Seen{Model: call.Summary.Model, Headers: call.Headers, Body: []byte(call.Body), Metrics: map[string]float64{}}
	host.Enter(double[Policy]{one})
	return call.Summary
}

// Authorize runs the hook. The methods panic where the policy does not have the hook.
func (one *Host[Policy]) Authorize(call Call) error {
	return any(one.Policy).(weir.Authorizer).Authorize(one.begin(call))
}

// Rewrite runs the hook.
func (one *Host[Policy]) Rewrite(call Call) error {
	return any(one.Policy).(weir.Rewriter).Rewrite(one.begin(call))
}

// Limits runs the hook.
func (one *Host[Policy]) Limits(call Call) ([]weir.Rule, error) {
	return any(one.Policy).(weir.Limiter).Limits(one.begin(call))
}

// Answer runs the hook.
func (one *Host[Policy]) Answer(call Call) (*weir.Response, error) {
	return any(one.Policy).(weir.Answerer).Answer(one.begin(call))
}

// Reply runs the hook on a whole reply.
func (one *Host[Policy]) Reply(call Call, response weir.Response) (*weir.Response, error) {
	return any(one.Policy).(weir.Replier).Reply(one.begin(call), response)
}

// Route runs the hook with all channels as candidates and returns their names in order.
func (one *Host[Policy]) Route(call Call) ([]string, error) {
	var candidates []weir.Candidate
	for at, channel := range one.Channels {
		made := weir.Candidate{Channel: uint32(at + 1), Weight: 1, UsableKeys: 1, Headroom: 1, InputPrice: -1, OutputPrice: -1}
		if channel.Change != nil {
			channel.Change(&made)
		}
		candidates = append(candidates, made)
	}
	attempts, err := any(one.Policy).(weir.Router).Route(one.begin(call), candidates)
	var names []string
	for _, attempt := range attempts {
		names = append(names, double[Policy]{one}.channel(attempt.Channel).Name)
	}
	return names, err
}

// Events runs a stream through the policy and returns what the caller gets.
func (one *Host[Policy]) Events(call Call, given ...weir.Event) ([]weir.Event, error) {
	stream := any(one.Policy).(weir.Streamer).Open(one.begin(call))
	if stream == nil {
		return given, nil
	}
	var out []weir.Event
	for _, event := range given {
		made, err := stream.Push(event)
		switch {
		case err != nil:
			return out, err
		case weir.Kept(made):
			out = append(out, event)
		default:
			out = append(out, made...)
		}
	}
	return append(out, stream.Close()...), nil
}

// Stream does the same with pieces of the answer's text, and returns the text that comes out.
func (one *Host[Policy]) Stream(call Call, texts ...string) (string, error) {
	var given []weir.Event
	for _, text := range texts {
		given = append(given, weir.Text{Text: text})
	}
	events, err := one.Events(call, given...)
	var out strings.Builder
	for _, event := range events {
		if text, is := event.(weir.Text); is {
			out.WriteString(text.Text)
		}
	}
	return out.String(), err
}

// Finished runs the hook.
func (one *Host[Policy]) Finished(outcome weir.Outcome) {
	one.begin(Call{Summary: outcome.Call})
	any(one.Policy).(weir.Auditor).Finished(outcome)
}

func response(from weir.Response) weir_policy_types.Response {
	made := weir_policy_types.Response{Status: uint16(from.Status), Body: from.Body}
	for _, header := range from.Headers {
		made.Headers = append(made.Headers, witTypes.Tuple2[string, string]{F0: header.Name, F1: header.Value})
	}
	return made
}
