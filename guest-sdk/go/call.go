package weir

import (
	"encoding/json"
	"time"

	"weir/sdk/internal/host"
)

// The call that the running hook is about. Each function is a call into the host; what the Summary has
// needs none.

// ID is the request id that the caller sees in `x-request-id`.
func ID() string { return host.CallID() }

// Dialect is for example "openai.chat", "anthropic.messages", "gemini.generate".
func Dialect() string { return host.CallDialect() }

// Method is the HTTP method, in upper case.
func Method() string { return host.CallMethod() }

// Path is the path as the caller asked for it, without the query.
func Path() string { return host.CallPath() }

// Query is the parameters of the query, decoded and in order; never a credential.
func Query() []Pair { return host.CallQuery() }

// Tenant is the name of the tenant that the virtual key belongs to.
func Tenant() string { return host.CallTenant() }

// Key is the public id of the virtual key, never its secret.
func Key() string { return host.CallKey() }

// ClientIP is the caller's address; empty where it is not known.
func ClientIP() string { return host.CallClientIP() }

// Remember says that this hook's answer holds for so long, a minute at most, for every call of this key,
// address, dialect, operation, model and streaming. For Authorize where it allows and for Limits; not for an
// answer that depends on headers, the body, tokens, the time or the store.
func Remember(span time.Duration) { host.CallRemember(milliseconds(span)) }

// Label is a label of the key, else of its tenant.
func Label(name string) (string, bool) { return host.CallLabel(name) }

// Header is the first header of that name, in any case; never a credential.
func Header(name string) (string, bool) { return host.CallHeader(name) }

// Headers are all headers in order, names in lower case, without credentials.
func Headers() []Pair { return host.CallHeaders() }

// JSON reads the value at an RFC 6901 pointer into the body into a value; false where there is none.
func JSON(pointer string, into any) bool {
	text, found := host.CallJSON(pointer)
	return found && json.Unmarshal([]byte(text), into) == nil
}

// Messages are the prompt in the dialect-neutral view, system instructions first.
func Messages() []Message { return host.CallMessages() }

// Body is the bytes of the request's body.
func Body() []byte { return host.CallBody() }

// milliseconds of a span; at least one where there is any, so that it does not become "none".
func milliseconds(span time.Duration) uint32 {
	if span <= 0 {
		return 0
	}
	const most = time.Duration(1<<32-1) * time.Millisecond
	return uint32(max(min(span, most)/time.Millisecond, 1))
}
