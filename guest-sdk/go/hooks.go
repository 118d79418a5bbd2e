package weir

// The hooks: a policy has the methods of those that it needs. An error that is (or wraps) a *Denial refuses
// the call; any other is a failure of the policy, is logged, and `on_failure` decides about the call.
type (
	// Authorizer: may this caller make this call at all?
	Authorizer interface{ Authorize(call Summary) error }
	// Rewriter changes the request, with the Edit functions.
	Rewriter interface{ Rewrite(call Summary) error }
	// Limiter names the limits that the call falls under.
	Limiter interface {
		Limits(call Summary) ([]Rule, error)
	}
	// Answerer answers without calling a provider; nil lets the call go on.
	Answerer interface {
		Answer(call Summary) (*Response, error)
	}
	// Router says which channels are tried, in order; candidates left out are not.
	Router interface {
		Route(call Summary, candidates []Candidate) ([]Attempt, error)
	}
	// Replier changes a whole (not streamed) reply; nil leaves it as it is.
	Replier interface {
		Reply(call Summary, response Response) (*Response, error)
	}
	// Streamer changes streamed replies; a nil Stream lets this one run untouched.
	Streamer interface{ Open(call Summary) Stream }
	// Auditor sees every finished call, off the request path.
	Auditor interface{ Finished(outcome Outcome) }
)

// Stream is what a policy remembers of one streamed reply.
type Stream interface {
	// Push gets the next event. Keep passes the provider's own bytes on; a list takes the event's
	// place, an empty one (nil too) drops it.
	Push(event Event) ([]Event, error)
	// Close ends the stream, also where the caller hung up: what is still held back.
	Close() []Event
}

var keep = []Event{nil}

// Keep is what Push returns to pass the provider's own bytes on.
func Keep() ([]Event, error) { return keep, nil }

// Kept tells whether that is what Push returned.
func Kept(events []Event) bool { return len(events) == 1 && events[0] == nil }

func hooksOf(policy any) []string {
	hooks := []string{}
	add := func(name string, has bool) {
		if has {
			hooks = append(hooks, name)
		}
	}
	_, has := policy.(Authorizer)
	add("access", has)
	_, has = policy.(Rewriter)
	add("rewrite", has)
	_, has = policy.(Limiter)
	add("limit", has)
	_, has = policy.(Answerer)
	add("answer", has)
	_, has = policy.(Router)
	add("route", has)
	_, has = policy.(Replier)
	add("reply", has)
	_, has = policy.(Streamer)
	add("events", has)
	_, has = policy.(Auditor)
	add("audit", has)
	return hooks
}
