package main

import (
	"errors"
	"testing"
	"time"

	weir "weir/sdk"
	"weir/sdk/weirtest"
)

func denied(t *testing.T, err error, code string) *weir.Denial {
	t.Helper()
	var denial *weir.Denial
	if !errors.As(err, &denial) || denial.Code != code {
		t.Fatalf("%v, not the denial %s", err, code)
	}
	return denial
}

func allowed(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestADeniedModel(t *testing.T) {
	host := weirtest.New(t, configure, `{"denied_models": ["gpt-4-*", "o1"]}`)
	allowed(t, host.Authorize(weirtest.Call{Model: "gpt-4o"}))
	denied(t, host.Authorize(weirtest.Call{Model: "gpt-4-32k"}), "model_denied")
	denied(t, host.Authorize(weirtest.Call{Model: "o1"}), "model_denied")
}

func TestOutsideTheHoursOnlyTheExemptPlanPasses(t *testing.T) {
	host := weirtest.New(t, configure, `{"open_hour": 8, "close_hour": 18, "exempt_plan": "pro"}`)
	allowed(t, host.Authorize(weirtest.Call{}))
	host.Now = host.Now.Add(8*time.Hour + 30*time.Minute)
	denial := denied(t, host.Authorize(weirtest.Call{Labels: map[string]string{"plan": "free"}}), "closed")
	if denial.RetryAfter != 11*time.Hour+30*time.Minute {
		t.Error(denial.RetryAfter)
	}
	allowed(t, host.Authorize(weirtest.Call{Labels: map[string]string{"plan": "pro"}}))
}

func TestTheInstructionComesFirst(t *testing.T) {
	host := weirtest.New(t, configure, `{"instruction": "Be brief."}`)
	allowed(t, host.Rewrite(weirtest.Call{}))
	if len(host.Seen.Edits) != 2 || host.Seen.Edits[0] != "prepend-system Be brief." || host.Seen.Edits[1] != "set-header x-guard: go" {
		t.Error(host.Seen.Edits)
	}
}

func TestABucketForEachKey(t *testing.T) {
	rules, err := weirtest.New(t, configure, `{"requests_per_minute": 60}`).Limits(weirtest.Call{Key: "key_7"})
	if err != nil || len(rules) != 1 || rules[0] != (weir.Rule{Key: "key:key_7", Unit: weir.Requests, Window: weir.Sliding(time.Minute), Limit: 60}) {
		t.Error(rules, err)
	}
}

func TestChannelsOfTheRegionByPriorityTheTrippedOneLast(t *testing.T) {
	host := weirtest.New(t, configure, `{"region": "eu"}`)
	eu := map[string]string{"region": "eu"}
	host.Channels = []weirtest.Channel{
		{Name: "tripped", Labels: eu, Change: func(one *weir.Candidate) { one.Priority, one.TrippedMs = 9, 500 }},
		{Name: "low", Labels: eu},
		{Name: "us", Labels: map[string]string{"region": "us"}},
		{Name: "high", Labels: eu, Change: func(one *weir.Candidate) { one.Priority = 2 }},
	}
	names, err := host.Route(weirtest.Call{})
	if err != nil || len(names) != 3 || names[0] != "high" || names[1] != "low" || names[2] != "tripped" {
		t.Error(names, err)
	}
	host.Channels = host.Channels[2:3]
	_, err = host.Route(weirtest.Call{})
	denied(t, err, "no_channel")
}

func TestWordsOfAStream(t *testing.T) {
	text, err := weirtest.New(t, configure, `{"replace": {"secret": "[redacted]"}}`).Stream(weirtest.Call{}, "a secret, ", "another secret")
	if err != nil || text != "a [redacted], another [redacted]" {
		t.Error(text, err)
	}
}

func TestMistakesInTheConfiguration(t *testing.T) {
	for config, wanted := range map[string]string{
		`{"open_hour": 9, "close_hour": 9}`: "close_hour: must be from open_hour + 1 to 24",
		`{"denied_models": "o1"}`:           "denied_models: must be a list, not a JSON string",
		`{"regoin": "eu"}`:                  "regoin: no such setting",
	} {
		if _, err := weirtest.Configure(configure, config); err == nil || err.Error() != wanted {
			t.Errorf("%s: %v, not %s", config, err, wanted)
		}
	}
}
