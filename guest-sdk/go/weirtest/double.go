package weirtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	weir "weir/sdk"
	"weir/sdk/internal/bindings/weir_policy_types"
)

// double answers the imports from a host.
type double[Policy any] struct{ *Host[Policy] }

func (one double[Policy]) asked() *Host[Policy] {
	one.Seen.Imports++
	return one.Host
}

func (one double[Policy]) channel(number uint32) Channel {
	if number == 0 || int(number) > len(one.Channels) {
		return Channel{}
	}
	return one.Channels[number-1]
}

func (one double[Policy]) CallID() string       { return or(one.asked().call.ID, "req_1") }
func (one double[Policy]) CallDialect() string  { return or(one.asked().call.Dialect, "openai.chat") }
func (one double[Policy]) CallMethod() string   { return or(one.asked().call.Method, "POST") }
func (one double[Policy]) CallPath() string     { return or(one.asked().call.Path, "/v1/chat/completions") }
func (one double[Policy]) CallTenant() string   { return or(one.asked().call.Tenant, "acme") }
func (one double[Policy]) CallKey() string      { return or(one.asked().call.Key, "key_1") }
func (one double[Policy]) CallClientIP() string { return or(one.asked().call.ClientIP, "192.0.2.1") }

func (one double[Policy]) CallQuery() []weir.Pair    { return one.asked().call.Query }
func (one double[Policy]) CallHeaders() []weir.Pair  { return one.asked().Seen.Headers }
func (one double[Policy]) CallBody() []byte          { return one.asked().Seen.Body }
func (one double[Policy]) CallRemember(forMs uint32) { one.asked().Seen.RememberMs = forMs }
func (one double[Policy]) CallLabel(name string) (string, bool) {
	value, has := one.asked().call.Labels[name]
	return value, has
}
func (one double[Policy]) CallHeader(name string) (string, bool) {
	for _, header := range one.asked().Seen.Headers {
		if strings.EqualFold(header.Name, name) {
			return header.Value, true
		}
	}
	return "", false
}
func (one double[Policy]) CallJSON(pointer string) (string, bool) {
	var value any
	if json.Unmarshal(one.asked().Seen.Body, &value) != nil {
		return "", false
	}
	for _, step := range steps(pointer) {
		next, has := child(value, step)
		if !has {
			return "", false
		}
		value = next
	}
	text, err := json.Marshal(value)
	return string(text), err == nil
}
func (one double[Policy]) CallMessages() []weir_policy_types.Message {
	var body struct {
		System   any
		Messages []struct {
			Role    string
			Content any
		}
	}
	var made []weir_policy_types.Message
	if json.Unmarshal(one.asked().Seen.Body, &body) != nil {
		return nil
	}
	if body.System != nil {
		made = append(made, weir_policy_types.Message{Role: "system", Text: textOf(body.System)})
	}
	for _, message := range body.Messages {
		made = append(made, weir_policy_types.Message{Role: message.Role, Text: textOf(message.Content)})
	}
	return made
}

func textOf(content any) string {
	parts, list := content.([]any)
	if !list {
		text, _ := content.(string)
		return text
	}
	var texts []string
	for _, part := range parts {
		if table, is := part.(map[string]any); is {
			if text, has := table["text"].(string); has {
				texts = append(texts, text)
			}
		}
	}
	return strings.Join(texts, "\n")
}

func steps(pointer string) []string {
	if pointer == "" {
		return nil
	}
	made := strings.Split(pointer, "/")[1:]
	for at, step := range made {
		made[at] = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
	}
	return made
}

func child(value any, step string) (any, bool) {
	switch value := value.(type) {
	case map[string]any:
		next, has := value[step]
		return next, has
	case []any:
		if at, err := strconv.Atoi(step); err == nil && at >= 0 && at < len(value) {
			return value[at], true
		}
	}
	return nil, false
}

func (one double[Policy]) ChannelName(channel uint32) string {
	one.asked()
	return one.channel(channel).Name
}
func (one double[Policy]) ChannelProvider(channel uint32) string {
	one.asked()
	return one.channel(channel).Provider
}
func (one double[Policy]) ChannelModel(channel uint32) string {
	return or(one.channel(channel).Model, one.asked().Seen.Model)
}
func (one double[Policy]) ChannelLabel(channel uint32, name string) (string, bool) {
	one.asked()
	value, has := one.channel(channel).Labels[name]
	return value, has
}

func (one double[Policy]) note(format string, arguments ...any) {
	one.asked()
	one.Seen.Edits = append(one.Seen.Edits, fmt.Sprintf(format, arguments...))
}

// change edits the body as JSON.
func (one double[Policy]) change(make func(body map[string]any) error) error {
	body := map[string]any{}
	if json.Unmarshal(one.Seen.Body, &body) != nil {
		return weir.HostError("the body is not JSON")
	}
	if err := make(body); err != nil {
		return err
	}
	text, err := json.Marshal(body)
	one.Seen.Body = text
	return err
}

func (one double[Policy]) EditSetModel(model string) error {
	one.note("set-model %s", model)
	one.Seen.Model = model
	_ = one.change(func(body map[string]any) error {
		if _, has := body["model"]; has {
			body["model"] = model
		}
		return nil
	})
	return nil
}
func (one double[Policy]) EditSetHeader(name, value string) error {
	name = strings.ToLower(name)
	one.note("set-header %s: %s", name, value)
	if slices.Contains([]string{"authorization", "x-api-key", "host", "connection"}, name) {
		return weir.HostError(name + " is the gateway's")
	}
	one.without(name)
	one.Seen.Headers = append(one.Seen.Headers, weir.Pair{Name: name, Value: value})
	return nil
}
func (one double[Policy]) without(name string) {
	one.Seen.Headers = slices.DeleteFunc(slices.Clone(one.Seen.Headers), func(header weir.Pair) bool { return strings.EqualFold(header.Name, name) })
}
func (one double[Policy]) EditRemoveHeader(name string) error {
	one.note("remove-header %s", name)
	one.without(name)
	return nil
}
func (one double[Policy]) EditSetJSON(pointer, text string) error {
	one.note("set-json %s %s", pointer, text)
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return weir.HostError(err.Error())
	}
	return one.change(func(body map[string]any) error { return set(body, steps(pointer), pointer, value) })
}

// set puts a value where the steps lead; at the end of a list with "-".
func set(where any, path []string, pointer string, value any) error {
	missing := weir.HostError("nothing at " + pointer)
	if len(path) == 0 {
		return missing
	}
	if len(path) > 1 {
		next, has := child(where, path[0])
		if !has {
			return missing
		}
		if list, is := next.([]any); is && len(path) == 2 && path[1] == "-" {
			return set(where, path[:1], pointer, append(list, value))
		}
		return set(next, path[1:], pointer, value)
	}
	switch where := where.(type) {
	case map[string]any:
		where[path[0]] = value
		return nil
	case []any:
		if at, err := strconv.Atoi(path[0]); err == nil && at >= 0 && at < len(where) {
			where[at] = value
			return nil
		}
	}
	return missing
}
func (one double[Policy]) EditRemoveJSON(pointer string) error {
	one.note("remove-json %s", pointer)
	return one.change(func(body map[string]any) error {
		path := steps(pointer)
		var where any = body
		for at, step := range path {
			table, is := where.(map[string]any)
			if is && at == len(path)-1 {
				delete(table, step)
				return nil
			}
			next, has := child(where, step)
			if !has {
				return nil
			}
			where = next
		}
		return nil
	})
}
func (one double[Policy]) EditPrependSystem(text string) error {
	one.note("prepend-system %s", text)
	return one.change(func(body map[string]any) error {
		if one.call.Dialect == "anthropic.messages" {
			body["system"] = strings.TrimSuffix(text+"\n"+textOf(body["system"]), "\n")
			return nil
		}
		messages, _ := body["messages"].([]any)
		body["messages"] = append([]any{map[string]any{"role": "system", "content": text}}, messages...)
		return nil
	})
}
func (one double[Policy]) EditSetMessageText(index uint32, text string) error {
	one.note("set-message-text %d %s", index, text)
	return one.change(func(body map[string]any) error {
		at := int(index)
		if _, has := body["system"]; has {
			at--
		}
		if at < 0 {
			body["system"] = text
			return nil
		}
		return set(body, []string{"messages", strconv.Itoa(at), "content"}, fmt.Sprintf("message %d", index), text)
	})
}
func (one double[Policy]) EditReplaceBody(body []byte) error {
	one.note("replace-body %s", body)
	one.Seen.Body = body
	return nil
}

func (one double[Policy]) alive(key string) (entry, bool) {
	found, has := one.asked().store[key]
	return found, has && (found.expires.IsZero() || one.Now.Before(found.expires))
}
func (one double[Policy]) expiry(ttlMs uint32) time.Time {
	if ttlMs == 0 {
		return time.Time{}
	}
	return one.Now.Add(time.Duration(ttlMs) * time.Millisecond)
}
func (one double[Policy]) StoreGet(key string) ([]byte, bool) {
	found, has := one.alive(key)
	if !has {
		return nil, false
	}
	return found.value, true
}
func (one double[Policy]) StoreSet(key string, value []byte, ttlMs uint32) error {
	one.asked().store[key] = entry{slices.Clone(value), one.expiry(ttlMs)}
	return nil
}
func (one double[Policy]) StoreRemove(key string) { delete(one.asked().store, key) }
func (one double[Policy]) StoreAdd(key string, by int64, ttlMs uint32) (int64, error) {
	found, has := one.alive(key)
	if !has {
		found = entry{[]byte("0"), one.expiry(ttlMs)}
	}
	old, err := strconv.ParseInt(string(found.value), 10, 64)
	if err != nil {
		return 0, weir.HostError("the value is not an integer")
	}
	found.value = strconv.AppendInt(nil, old+by, 10)
	one.store[key] = found
	return old + by, nil
}

func (one double[Policy]) LogWrite(_ uint8, message string) {
	one.asked().Seen.Logs = append(one.Seen.Logs, message)
}
func (one double[Policy]) MetricsCount(name string, by uint32, labels []weir.Pair) {
	one.MetricsObserve(name, float64(by), labels)
}
func (one double[Policy]) MetricsObserve(name string, value float64, labels []weir.Pair) {
	for _, label := range labels {
		name += "," + label.Name + "=" + label.Value
	}
	one.asked().Seen.Metrics[name] += value
}
func (one double[Policy]) ClockNowMs() uint64 { return uint64(one.asked().Now.UnixMilli()) }
func (one double[Policy]) SecretsGet(name string) (string, bool) {
	value, has := one.asked().Secrets[name]
	return value, has
}
func (one double[Policy]) FirewallBan(ip string, _ uint32, reason string) error {
	one.asked().Seen.Bans = append(one.Seen.Bans, ip+": "+reason)
	return nil
}
func (one double[Policy]) ModelsComplete(model string, messages []weir_policy_types.Message, _ uint32) (weir.Completion, error) {
	if one.asked().Models == nil {
		return weir.Completion{}, weir.HostError(model + " was not granted")
	}
	text, err := one.Models(model, messages)
	return weir.Completion{Text: text}, err
}

// The rule of thumb for English: a token is four characters.
func (one double[Policy]) ModelsCountTokens(_, text string) uint32 {
	one.asked()
	return uint32((len([]rune(text)) + 3) / 4)
}
func (one double[Policy]) HTTPSend(method, url string, _ []weir.Pair, body []byte, _ uint32) (weir_policy_types.Response, error) {
	if one.asked().HTTP == nil {
		return weir_policy_types.Response{}, weir.HostError(url + " was not granted")
	}
	made, err := one.HTTP(method, url, body)
	return response(made), err
}
