package weirtest_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	weir "weir/sdk"
	"weir/sdk/weirtest"
)

type config struct {
	Limit int      `json:"limit"`
	Names []string `json:"names"`
}

func (config *config) Defaults() { config.Limit = 5 }

// policy does what the test says.
type policy struct {
	config
	do   func(call weir.Summary) error
	open func(call weir.Summary) weir.Stream
}

func (policy *policy) Authorize(call weir.Summary) error  { return policy.do(call) }
func (policy *policy) Open(call weir.Summary) weir.Stream { return policy.open(call) }

func configure(config config) (*policy, error) { return &policy{config: config}, nil }

func run(t *testing.T, do func(call weir.Summary) error) *weirtest.Host[*policy] {
	host := weirtest.New(t, configure, "")
	host.Policy.do = do
	return host
}

func equal(t *testing.T, seen, wanted any) {
	t.Helper()
	if !reflect.DeepEqual(seen, wanted) {
		t.Errorf("%#v, not %#v", seen, wanted)
	}
}

func TestConfiguration(t *testing.T) {
	made, err := weirtest.Configure(configure, `{"names":["a"]}`)
	equal(t, err, nil)
	equal(t, made.config, config{5, []string{"a"}})
	for text, wanted := range map[string]string{
		`{"limit":"ten"}`: "limit: must be an integer that fits (int), not a JSON string",
		`{"names":{}}`:    "names: must be a list, not a JSON object",
		`{"limits":1}`:    "limits: no such setting",
		`[]`:              "the configuration: must be a JSON object, not a JSON array",
		`{} x`:            "not JSON: there is more after its end",
	} {
		if _, err := weirtest.Configure(configure, text); err == nil || err.Error() != wanted {
			t.Errorf("%s: %v, not %s", text, err, wanted)
		}
	}
	if _, err := weirtest.Configure(configure, "{"); err == nil || !strings.HasPrefix(err.Error(), "not JSON") {
		t.Error(err)
	}
}

func TestTheCallAsItIsGiven(t *testing.T) {
	host := run(t, func(call weir.Summary) error {
		plan, _ := weir.Label("plan")
		one, _ := weir.Header("x-one")
		equal(t, []string{call.Model, weir.Tenant(), weir.Key(), plan, one}, []string{"m", "acme", "key_1", "pro", "1"})
		var truth []bool
		equal(t, weir.JSON("/a/0/b~1c", &truth) && truth[0] && !weir.JSON("/a/9", &truth), true)
		weir.Remember(500 * time.Millisecond)
		return nil
	})
	call := weirtest.Call{Model: "m", Labels: map[string]string{"plan": "pro"}, Headers: []weir.Pair{{Name: "X-One", Value: "1"}}, Body: `{"a":[{"b/c":[true]}]}`}
	equal(t, host.Authorize(call), nil)
	equal(t, []int{int(host.Seen.RememberMs), host.Seen.Imports}, []int{500, 7})
}

func TestEdits(t *testing.T) {
	host := run(t, func(weir.Summary) error {
		if weir.EditHeader("Authorization", "x") == nil || weir.EditJSON("/a/b", 1) == nil {
			t.Error("must be refused")
		}
		more := map[string]any{"role": "user", "content": []any{map[string]any{"type": "text", "text": "more"}}}
		err := errors.Join(weir.EditModel("n"), weir.EditHeader("X-A", "1"), weir.EditJSON("/temperature", 0.5), weir.EditJSON("/messages/-", more),
			weir.EditRemoveJSON("/absent/deep"), weir.EditPrependSystem("first"), weir.EditMessageText(1, "changed"))
		equal(t, weir.Messages(), []weir.Message{{Role: "system", Text: "first"}, {Role: "user", Text: "changed"}, {Role: "user", Text: "more"}})
		return err
	})
	equal(t, host.Authorize(weirtest.Call{}), nil)
	equal(t, []any{host.Seen.JSON()["model"], host.Seen.JSON()["temperature"]}, []any{"n", 0.5})
	equal(t, host.Seen.Headers, []weir.Pair{{Name: "x-a", Value: "1"}})
}

func TestTheStoreAndTheClockLast(t *testing.T) {
	var seen []int64
	host := run(t, func(weir.Summary) error {
		sum, err := weir.StoreAdd("n", 2, time.Second)
		seen = append(seen, sum, int64(weir.Now().Hour()))
		return err
	})
	for range 3 {
		equal(t, host.Authorize(weirtest.Call{}), nil)
		host.Now = host.Now.Add(500 * time.Millisecond)
	}
	equal(t, seen, []int64{2, 12, 4, 12, 2, 12})
}

func TestTheOtherImports(t *testing.T) {
	host := run(t, func(weir.Summary) error {
		weir.Log(weir.Warn, "careful %d", 1)
		weir.Count("n", 2, weir.Pair{Name: "kind", Value: "a"})
		secret, _ := weir.Secret("token")
		region, _ := weir.ChannelLabel(1, "region")
		answer, err := weir.Complete("judge", []weir.Message{{Role: "user", Text: "ok?"}}, 5)
		equal(t, err, nil)
		equal(t, []string{secret, region, weir.ChannelName(2), answer.Text}, []string{"s", "eu", "", "judge says ok?"})
		_, err = weir.Send("GET", "https://a.example/", nil, nil, time.Second)
		equal(t, err, error(weir.HostError("https://a.example/ was not granted")))
		return weir.Ban("192.0.2.9", time.Minute, "why")
	})
	host.Secrets = map[string]string{"token": "s"}
	host.Channels = []weirtest.Channel{{Name: "one", Labels: map[string]string{"region": "eu"}}}
	host.Models = func(model string, messages []weir.Message) (string, error) { return model + " says " + messages[0].Text, nil }
	equal(t, host.Authorize(weirtest.Call{}), nil)
	equal(t, host.Seen.Logs, []string{"careful 1"})
	equal(t, host.Seen.Metrics, map[string]float64{"n,kind=a": 2})
	equal(t, host.Seen.Bans, []string{"192.0.2.9: why"})
}

// hold keeps everything but the end back until the end.
type hold struct{ held []weir.Event }

func (hold *hold) Push(event weir.Event) ([]weir.Event, error) {
	if _, last := event.(weir.Finish); last {
		return weir.Keep()
	}
	hold.held = append(hold.held, event)
	return nil, nil
}

func (hold *hold) Close() []weir.Event {
	return append([]weir.Event{weir.Text{Text: "held: "}}, hold.held...)
}

func TestStreams(t *testing.T) {
	host := run(t, nil)
	host.Policy.open = func(call weir.Summary) weir.Stream {
		if call.Model == "gpt-4o" {
			return &hold{}
		}
		return nil
	}
	text, err := host.Stream(weirtest.Call{}, "a", "b")
	equal(t, err, nil)
	equal(t, text, "held: ab")
	text, _ = host.Stream(weirtest.Call{Model: "other"}, "a", "b")
	equal(t, text, "ab")
	events, _ := host.Events(weirtest.Call{}, weir.Finish("stop"))
	equal(t, events[0], weir.Event(weir.Finish("stop")))
}

func TestADenialIsAnError(t *testing.T) {
	host := run(t, func(weir.Summary) error { return errors.Join(weir.Deny(403, "no", "Not %s.", "now")) })
	var denial *weir.Denial
	equal(t, errors.As(host.Authorize(weirtest.Call{}), &denial) && denial.Message == "Not now.", true)
}
