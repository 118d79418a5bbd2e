package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	weir "weir/sdk"
	"weir/sdk/weirtest"
)

const chats = `"cheaper_models": [{"models": ["gpt-4o", "o3*"], "to": "gpt-4o-mini", "max_input_tokens": 200}]`

func denied(t *testing.T, err error, code string) *weir.Denial {
	t.Helper()
	var denial *weir.Denial
	if !errors.As(err, &denial) || denial.Code != code {
		t.Fatalf("%v, not the denial %s", err, code)
	}
	return denial
}

func channel(name, quality string, input, output float32, change ...func(*weir.Candidate)) weirtest.Channel {
	labels := map[string]string{}
	if quality != "" {
		labels["quality"] = quality
	}
	return weirtest.Channel{Name: name, Labels: labels, Change: func(one *weir.Candidate) {
		one.InputPrice, one.OutputPrice = input, output
		for _, more := range change {
			more(one)
		}
	}}
}

func host(t *testing.T, config string) *weirtest.Host[*CostAware] {
	t.Helper()
	made := weirtest.New(t, configure, config)
	made.Channels = []weirtest.Channel{
		channel("dear", "premium", 10e6, 40e6),
		channel("fair", "standard", 2.5e6, 10e6),
		channel("cheap", "basic", 150e3, 600e3),
		channel("plain", "", 200e3, 500e3),
	}
	return made
}

func routed(t *testing.T, host *weirtest.Host[*CostAware], call weirtest.Call, wanted ...string) {
	t.Helper()
	names, err := host.Route(call)
	if err != nil || !slices.Equal(names, wanted) {
		t.Errorf("%v %v, not %v", names, err, wanted)
	}
}

func key(label, value string) weirtest.Call {
	return weirtest.Call{Summary: weir.Summary{InputTokens: 1000}, Labels: map[string]string{label: value}}
}

func TestTheCheapestThatIsGoodEnough(t *testing.T) {
	one := host(t, `{}`)
	routed(t, one, key("", ""), "cheap", "plain", "fair", "dear")
	routed(t, one, key("quality", "standard"), "fair", "dear")
	routed(t, one, key("quality", "premium"), "dear")
	// A slip in a label makes nothing worse.
	routed(t, one, key("quality", "premum"), "dear")
	routed(t, host(t, `{"key_quality": "standard", "channel_quality": "premium"}`), key("", ""), "plain", "fair", "dear")
	one.Channels = one.Channels[1:]
	_, err := one.Route(key("quality", "premium"))
	denied(t, err, "quality_not_served")
}

func TestTheSizeOfTheCallDecides(t *testing.T) {
	one := host(t, `{}`)
	one.Channels = []weirtest.Channel{channel("dear-input", "", 3e6, 1e6), channel("dear-output", "", 1e6, 3e6)}
	routed(t, one, key("", ""), "dear-output", "dear-input")
	short := weirtest.Call{Summary: weir.Summary{InputTokens: 100}}
	routed(t, one, short, "dear-input", "dear-output")
	short.MaxOutputTokens = 10
	routed(t, one, short, "dear-output", "dear-input")
	routed(t, one, weirtest.Call{Summary: weir.Summary{Operation: weir.Embedding, InputTokens: 100}}, "dear-output", "dear-input")
}

func TestAmongEquallyCheapOnesPriorityHealthAndLoad(t *testing.T) {
	one := host(t, `{"tolerance_percent": 10}`)
	one.Channels = []weirtest.Channel{
		channel("dearer", "", 1.2e6, 0),
		channel("tripped", "", 0.5e6, 0, func(one *weir.Candidate) { one.TrippedMs = 9 }),
		channel("failing", "", 1e6, 0, func(one *weir.Candidate) { one.Samples, one.ErrorRate = 50, 0.4 }),
		channel("busy", "", 1.05e6, 0, func(one *weir.Candidate) { one.InFlight = 3 }),
		channel("free", "", 1.09e6, 0),
		channel("first", "", 1.1e6, 0, func(one *weir.Candidate) { one.Priority = 1 }),
		channel("unknown", "", -1, -1),
	}
	routed(t, one, key("", ""), "first", "free", "busy", "failing", "dearer", "unknown", "tripped")
}

func TestPricesOfTheConfiguration(t *testing.T) {
	one := host(t, `{"prices": [
		{"channels": ["a"], "models": ["gpt-*"], "input_micros_per_million": 5e6, "output_micros_per_million": 5e6},
		{"channels": ["a", "b*"], "input_micros_per_million": 1e6, "output_micros_per_million": 1e6}]}`)
	one.Channels = []weirtest.Channel{channel("a", "", -1, -1), channel("known", "", 2e6, 2e6), channel("beta", "", -1, -1)}
	routed(t, one, key("", ""), "beta", "known", "a")
	routed(t, one, weirtest.Call{Model: "o3", Summary: weir.Summary{InputTokens: 1}}, "a", "beta", "known")
}

func TestSmallPromptsGoToACheaperModelWhereTheKeyAllowsIt(t *testing.T) {
	one := host(t, `{`+chats+`}`)
	small := func(model string, tokens uint32, allows, body string) string {
		call := weirtest.Call{Model: model, Body: body, Labels: map[string]string{"cheaper-model": allows}, Summary: weir.Summary{InputTokens: tokens}}
		if err := one.Rewrite(call); err != nil {
			t.Fatal(err)
		}
		return strings.Join(one.Seen.Edits, ", ")
	}
	for _, expected := range []struct {
		model  string
		tokens uint32
		allows string
		body   string
		edit   string
	}{
		{"gpt-4o", 200, "yes", "", "set-model gpt-4o-mini"},
		{"o3-pro", 1, "yes", "", "set-model gpt-4o-mini"},
		{"gpt-4o", 201, "yes", "", ""},
		{"gpt-4o", 200, "no", "", ""},
		{"gpt-4.1", 200, "yes", "", ""},
		{"gpt-4o", 200, "yes", `{"tools": [{"type": "function"}]}`, ""},
		{"gpt-4o", 200, "yes", `{"tools": []}`, "set-model gpt-4o-mini"},
	} {
		if edit := small(expected.model, expected.tokens, expected.allows, expected.body); edit != expected.edit {
			t.Errorf("%+v: %q", expected, edit)
		}
	}
}

func TestABudgetThatIsSpentLeavesWhatIsCheap(t *testing.T) {
	one := host(t, `{"budget": {"daily_micros": 1000}, `+chats+`}`)
	spend := func(micros uint64) {
		one.Finished(weir.Outcome{Channel: "fair", Status: 200, Usage: weir.Usage{CostMicros: micros}})
	}
	standard := key("quality", "standard")
	spend(999)
	routed(t, one, standard, "fair", "dear")
	spend(1)
	routed(t, one, standard, "cheap", "plain")
	allowed := key("cheaper-model", "yes")
	if err := one.Rewrite(allowed); err != nil || len(one.Seen.Edits) != 1 {
		t.Error(err, one.Seen.Edits)
	}
	routed(t, one, key("daily-budget-micros", "1001"), "cheap", "plain", "fair", "dear")
	routed(t, one, key("daily-budget-micros", "0"), "cheap", "plain", "fair", "dear")
	one.Channels = one.Channels[:2]
	_, err := one.Route(standard)
	if denial := denied(t, err, "daily_budget_spent"); denial.Status != 429 || denial.RetryAfter != 12*time.Hour {
		t.Error(denial)
	}
	one.Now = one.Now.Add(12 * time.Hour)
	routed(t, one, standard, "fair", "dear")
}

func TestWhatTheGatewayHasNoPriceForIsCountedByThePolicysOwn(t *testing.T) {
	one := host(t, `{"budget": {"daily_micros": 100}, "prices": [{"channels": ["fair"], "input_micros_per_million": 1e6, "output_micros_per_million": 2e6}]}`)
	one.Finished(weir.Outcome{Channel: "fair", Usage: weir.Usage{InputTokens: 50, OutputTokens: 25}})
	routed(t, one, key("quality", "premium"), "cheap", "plain")
}

func TestMistakesInTheConfiguration(t *testing.T) {
	for config, wanted := range map[string]string{
		`{"levels": []}`: "levels: is empty; there must be one at least",
		`{"levels": ["a", "a"], "key_quality": "b", "budget": {"level": "c", "daily_micros": -1}}`: "levels[1]: \"a\" is empty or there twice\n" +
			"key_quality: must be one of a, a, not \"b\"\nbudget.level: must be one of a, a, not \"c\"\nbudget.daily_micros: must be 0 or more, not -1",
		`{"prices": [{"channels": ["a"], "input_micros_per_million": 1}, {"channels": []}]}`: "prices[0]: must have input_micros_per_million and " +
			"output_micros_per_million\nprices[1].channels: must name a channel at least",
		`{"cheaper_models": [{"models": ["a"], "to": "b*", "max_input_tokens": 1}, {"models": ["a"], "to": "b"}]}`: "cheaper_models[0].to: must name a model, " +
			"not \"b*\"\ncheaper_models[1].max_input_tokens: must be 1 or more",
		`{"tolerance": 5}`:                  "tolerance: no such setting",
		`{"budget": {"daily_micros": "5"}}`: "budget.daily_micros: must be an integer that fits (int64), not a JSON string",
	} {
		if _, err := weirtest.Configure(configure, config); err == nil || err.Error() != wanted {
			t.Errorf("%s: %v", config, err)
		}
	}
}
