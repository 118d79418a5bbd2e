//go:build wasip1

package host

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"

	call "weir/sdk/internal/bindings/weir_policy_call"
	channels "weir/sdk/internal/bindings/weir_policy_channels"
	clock "weir/sdk/internal/bindings/weir_policy_clock"
	edit "weir/sdk/internal/bindings/weir_policy_edit"
	firewall "weir/sdk/internal/bindings/weir_policy_firewall"
	http "weir/sdk/internal/bindings/weir_policy_http"
	log "weir/sdk/internal/bindings/weir_policy_log"
	metrics "weir/sdk/internal/bindings/weir_policy_metrics"
	models "weir/sdk/internal/bindings/weir_policy_models"
	secrets "weir/sdk/internal/bindings/weir_policy_secrets"
	store "weir/sdk/internal/bindings/weir_policy_store"
	types "weir/sdk/internal/bindings/weir_policy_types"
)

func pairs(from []witTypes.Tuple2[string, string]) []Pair {
	made := make([]Pair, len(from))
	for at, one := range from {
		made[at] = Pair{one.F0, one.F1}
	}
	return made
}

func tuples(from []Pair) []witTypes.Tuple2[string, string] {
	made := make([]witTypes.Tuple2[string, string], len(from))
	for at, one := range from {
		made[at] = witTypes.Tuple2[string, string]{F0: one.Name, F1: one.Value}
	}
	return made
}

func found[T any](from witTypes.Option[T]) (T, bool) {
	var none T
	return from.SomeOr(none), from.IsSome()
}

// optional is none where there is nothing to say.
func optional(value uint32) witTypes.Option[uint32] {
	if value == 0 {
		return witTypes.None[uint32]()
	}
	return witTypes.Some(value)
}

func made[T any](from witTypes.Result[T, string]) (T, error) {
	if from.IsErr() {
		var none T
		return none, Error(from.Err())
	}
	return from.Ok(), nil
}

func failed(from witTypes.Result[witTypes.Unit, string]) error {
	_, err := made(from)
	return err
}

// The functions of the interface, each under its interface's name.
func CallID() string                         { return call.Id() }
func CallDialect() string                    { return call.Dialect() }
func CallMethod() string                     { return call.Method() }
func CallPath() string                       { return call.Path() }
func CallQuery() []Pair                      { return pairs(call.Query()) }
func CallTenant() string                     { return call.Tenant() }
func CallKey() string                        { return call.Key() }
func CallClientIP() string                   { return call.ClientIp() }
func CallRemember(forMs uint32)              { call.Remember(forMs) }
func CallLabel(name string) (string, bool)   { return found(call.Label(name)) }
func CallHeader(name string) (string, bool)  { return found(call.Header(name)) }
func CallHeaders() []Pair                    { return pairs(call.Headers()) }
func CallJSON(pointer string) (string, bool) { return found(call.Json(pointer)) }
func CallMessages() []types.Message          { return call.Messages() }
func CallBody() []byte                       { return call.Body() }
func ChannelName(channel uint32) string      { return channels.Name(channel) }
func ChannelProvider(channel uint32) string  { return channels.Provider(channel) }
func ChannelModel(channel uint32) string     { return channels.Model(channel) }
func ChannelLabel(channel uint32, name string) (string, bool) {
	return found(channels.Label(channel, name))
}
func EditSetModel(model string) error        { return failed(edit.SetModel(model)) }
func EditSetHeader(name, value string) error { return failed(edit.SetHeader(name, value)) }
func EditRemoveHeader(name string) error     { return failed(edit.RemoveHeader(name)) }
func EditSetJSON(pointer, json string) error { return failed(edit.SetJson(pointer, json)) }
func EditRemoveJSON(pointer string) error    { return failed(edit.RemoveJson(pointer)) }
func EditPrependSystem(text string) error    { return failed(edit.PrependSystem(text)) }
func EditSetMessageText(index uint32, text string) error {
	return failed(edit.SetMessageText(index, text))
}
func EditReplaceBody(body []byte) error  { return failed(edit.ReplaceBody(body)) }
func StoreGet(key string) ([]byte, bool) { return found(store.Get(key)) }
func StoreSet(key string, value []byte, ttlMs uint32) error {
	return failed(store.Set(key, value, optional(ttlMs)))
}
func StoreRemove(key string) { store.Remove(key) }
func StoreAdd(key string, by int64, ttlMs uint32) (int64, error) {
	return made(store.Add(key, by, optional(ttlMs)))
}
func LogWrite(level uint8, message string)               { log.Write(level, message) }
func MetricsCount(name string, by uint32, labels []Pair) { metrics.Count(name, by, tuples(labels)) }
func MetricsObserve(name string, value float64, labels []Pair) {
	metrics.Observe(name, value, tuples(labels))
}
func ClockNowMs() uint64                    { return clock.NowMs() }
func SecretsGet(name string) (string, bool) { return found(secrets.Get(name)) }
func FirewallBan(ip string, forMs uint32, reason string) error {
	return failed(firewall.Ban(ip, forMs, reason))
}
func ModelsComplete(model string, messages []types.Message, maxOutputTokens uint32) (models.Completion, error) {
	return made(models.Complete(model, messages, maxOutputTokens))
}
func ModelsCountTokens(model, text string) uint32 { return models.CountTokens(model, text) }
func HTTPSend(method, url string, headers []Pair, body []byte, timeoutMs uint32) (types.Response, error) {
	return made(http.Send(http.Request{Method: method, Url: url, Headers: tuples(headers), Body: body, TimeoutMs: timeoutMs}))
}
