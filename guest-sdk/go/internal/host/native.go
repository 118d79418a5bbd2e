//go:build !wasip1

package host

import (
	models "weir/sdk/internal/bindings/weir_policy_models"
	types "weir/sdk/internal/bindings/weir_policy_types"
)

// Double answers in the host's place.
type Double interface {
	CallID() string
	CallDialect() string
	CallMethod() string
	CallPath() string
	CallQuery() []Pair
	CallTenant() string
	CallKey() string
	CallClientIP() string
	CallRemember(forMs uint32)
	CallLabel(name string) (string, bool)
	CallHeader(name string) (string, bool)
	CallHeaders() []Pair
	CallJSON(pointer string) (string, bool)
	CallMessages() []types.Message
	CallBody() []byte
	ChannelName(channel uint32) string
	ChannelProvider(channel uint32) string
	ChannelModel(channel uint32) string
	ChannelLabel(channel uint32, name string) (string, bool)
	EditSetModel(model string) error
	EditSetHeader(name, value string) error
	EditRemoveHeader(name string) error
	EditSetJSON(pointer, json string) error
	EditRemoveJSON(pointer string) error
	EditPrependSystem(text string) error
	EditSetMessageText(index uint32, text string) error
	EditReplaceBody(body []byte) error
	StoreGet(key string) ([]byte, bool)
	StoreSet(key string, value []byte, ttlMs uint32) error
	StoreRemove(key string)
	StoreAdd(key string, by int64, ttlMs uint32) (int64, error)
	LogWrite(level uint8, message string)
	MetricsCount(name string, by uint32, labels []Pair)
	MetricsObserve(name string, value float64, labels []Pair)
	ClockNowMs() uint64
	SecretsGet(name string) (string, bool)
	FirewallBan(ip string, forMs uint32, reason string) error
	ModelsComplete(model string, messages []types.Message, maxOutputTokens uint32) (models.Completion, error)
	ModelsCountTokens(model, text string) uint32
	HTTPSend(method, url string, headers []Pair, body []byte, timeoutMs uint32) (types.Response, error)
}

var current Double

// Enter puts a double in the host's place.
func Enter(double Double) { current = double }

func double() Double {
	if current == nil {
		panic("weir: the host was asked outside of a hook of a weirtest.Host")
	}
	return current
}

// The functions of the interface, each under its interface's name.
func CallID() string                         { return double().CallID() }
func CallDialect() string                    { return double().CallDialect() }
func CallMethod() string                     { return double().CallMethod() }
func CallPath() string                       { return double().CallPath() }
func CallQuery() []Pair                      { return double().CallQuery() }
func CallTenant() string                     { return double().CallTenant() }
func CallKey() string                        { return double().CallKey() }
func CallClientIP() string                   { return double().CallClientIP() }
func CallRemember(forMs uint32)              { double().CallRemember(forMs) }
func CallLabel(name string) (string, bool)   { return double().CallLabel(name) }
func CallHeader(name string) (string, bool)  { return double().CallHeader(name) }
func CallHeaders() []Pair                    { return double().CallHeaders() }
func CallJSON(pointer string) (string, bool) { return double().CallJSON(pointer) }
func CallMessages() []types.Message          { return double().CallMessages() }
func CallBody() []byte                       { return double().CallBody() }
func ChannelName(channel uint32) string      { return double().ChannelName(channel) }
func ChannelProvider(channel uint32) string  { return double().ChannelProvider(channel) }
func ChannelModel(channel uint32) string     { return double().ChannelModel(channel) }
func ChannelLabel(channel uint32, name string) (string, bool) {
	return double().ChannelLabel(channel, name)
}
func EditSetModel(model string) error        { return double().EditSetModel(model) }
func EditSetHeader(name, value string) error { return double().EditSetHeader(name, value) }
func EditRemoveHeader(name string) error     { return double().EditRemoveHeader(name) }
func EditSetJSON(pointer, json string) error { return double().EditSetJSON(pointer, json) }
func EditRemoveJSON(pointer string) error    { return double().EditRemoveJSON(pointer) }
func EditPrependSystem(text string) error    { return double().EditPrependSystem(text) }
func EditSetMessageText(index uint32, text string) error {
	return double().EditSetMessageText(index, text)
}
func EditReplaceBody(body []byte) error  { return double().EditReplaceBody(body) }
func StoreGet(key string) ([]byte, bool) { return double().StoreGet(key) }
func StoreSet(key string, value []byte, ttlMs uint32) error {
	return double().StoreSet(key, value, ttlMs)
}
func StoreRemove(key string) { double().StoreRemove(key) }
func StoreAdd(key string, by int64, ttlMs uint32) (int64, error) {
	return double().StoreAdd(key, by, ttlMs)
}
func LogWrite(level uint8, message string)               { double().LogWrite(level, message) }
func MetricsCount(name string, by uint32, labels []Pair) { double().MetricsCount(name, by, labels) }
func MetricsObserve(name string, value float64, labels []Pair) {
	double().MetricsObserve(name, value, labels)
}
func ClockNowMs() uint64                    { return double().ClockNowMs() }
func SecretsGet(name string) (string, bool) { return double().SecretsGet(name) }
func FirewallBan(ip string, forMs uint32, reason string) error {
	return double().FirewallBan(ip, forMs, reason)
}
func ModelsComplete(model string, messages []types.Message, maxOutputTokens uint32) (models.Completion, error) {
	return double().ModelsComplete(model, messages, maxOutputTokens)
}
func ModelsCountTokens(model, text string) uint32 { return double().ModelsCountTokens(model, text) }
func HTTPSend(method, url string, headers []Pair, body []byte, timeoutMs uint32) (types.Response, error) {
	return double().HTTPSend(method, url, headers, body, timeoutMs)
}
