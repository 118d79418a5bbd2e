package weir

import (
	"encoding/json"
	"fmt"
	"time"

	"weir/sdk/internal/host"
)

// ChannelName is the channel's name in the configuration; empty where there is no such channel.
func ChannelName(channel uint32) string { return host.ChannelName(channel) }

// ChannelProvider is the provider behind it, for example "openai".
func ChannelProvider(channel uint32) string { return host.ChannelProvider(channel) }

// ChannelModel is what the channel calls the model of the running call.
func ChannelModel(channel uint32) string { return host.ChannelModel(channel) }

// ChannelLabel is a label of the channel, for example its region.
func ChannelLabel(channel uint32, name string) (string, bool) {
	return host.ChannelLabel(channel, name)
}

// EditModel asks for another model. The Edit functions change the request, from Rewrite only; an error is a
// HostError, the host's sentence about why the change was refused.
func EditModel(model string) error { return host.EditSetModel(model) }

// EditHeader sets a header, replacing all of that name.
func EditHeader(name, value string) error { return host.EditSetHeader(name, value) }

// EditRemoveHeader removes all headers of that name.
func EditRemoveHeader(name string) error { return host.EditRemoveHeader(name) }

// EditJSON sets the value at an RFC 6901 pointer into the body.
func EditJSON(pointer string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return host.EditSetJSON(pointer, string(text))
}

// EditRemoveJSON removes the value at an RFC 6901 pointer.
func EditRemoveJSON(pointer string) error { return host.EditRemoveJSON(pointer) }

// EditPrependSystem puts a system instruction ahead of the prompt.
func EditPrependSystem(text string) error { return host.EditPrependSystem(text) }

// EditMessageText replaces the text of the message at this index of Messages.
func EditMessageText(index uint32, text string) error { return host.EditSetMessageText(index, text) }

// EditBody replaces the whole body.
func EditBody(body []byte) error { return host.EditReplaceBody(body) }

// StoreGet reads the policy's own store, which outlives instances and versions.
func StoreGet(key string) ([]byte, bool) { return host.StoreGet(key) }

// StoreSet sets a value; with a ttl of 0 it stays until it is removed or evicted.
func StoreSet(key string, value []byte, ttl time.Duration) error {
	return host.StoreSet(key, value, milliseconds(ttl))
}

// StoreRemove removes a key.
func StoreRemove(key string) { host.StoreRemove(key) }

// StoreAdd adds atomically and returns the sum; a missing key counts as 0, and the ttl applies when the
// key is made.
func StoreAdd(key string, by int64, ttl time.Duration) (int64, error) {
	return host.StoreAdd(key, by, milliseconds(ttl))
}

// Level is how much a line of the log matters.
type Level uint8

// The levels.
const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
)

// Log writes one line to the policy's own log.
func Log(level Level, format string, arguments ...any) {
	host.LogWrite(uint8(level), fmt.Sprintf(format, arguments...))
}

// Count adds to a counter of the policy's own metrics.
func Count(name string, by uint32, labels ...Pair) { host.MetricsCount(name, by, labels) }

// Observe puts a value into a histogram.
func Observe(name string, value float64, labels ...Pair) { host.MetricsObserve(name, value, labels) }

// Now is the host's clock, in UTC, so that a test or a replay can set it. Go's own stands still in a component.
func Now() time.Time { return time.UnixMilli(int64(host.ClockNowMs())).UTC() }

// Secret is a value that the operator granted by name.
func Secret(name string) (string, bool) { return host.SecretsGet(name) }

// Ban keeps an address out for a while.
func Ban(ip string, span time.Duration, reason string) error {
	return host.FirewallBan(ip, milliseconds(span), reason)
}

// Complete asks a model that was granted and waits for the whole answer.
func Complete(model string, messages []Message, maxOutputTokens uint32) (Completion, error) {
	return host.ModelsComplete(model, messages, maxOutputTokens)
}

// CountTokens is how many tokens the text is for that model, by the host's tokenizer.
func CountTokens(model, text string) uint32 { return host.ModelsCountTokens(model, text) }

// Send sends an HTTP request to a host that was granted and waits for the whole response.
func Send(method, url string, headers []Pair, body []byte, timeout time.Duration) (Response, error) {
	made, err := host.HTTPSend(method, url, headers, body, milliseconds(timeout))
	if err != nil {
		return Response{}, err
	}
	response := Response{Status: int(made.Status), Body: made.Body}
	for _, one := range made.Headers {
		response.Headers = append(response.Headers, Pair{Name: one.F0, Value: one.F1})
	}
	return response, nil
}
