package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	weir "weir/sdk"
)

// Config is what stands under [policy.config].
type Config struct {
	// Levels of quality, from the lowest to the highest.
	Levels []string `json:"levels"`
	// QualityLabel is the label of keys that says what they need at least, and of channels that says what they are.
	QualityLabel string `json:"quality_label"`
	// KeyQuality and ChannelQuality are those of keys and channels without the label.
	KeyQuality     string `json:"key_quality"`
	ChannelQuality string `json:"channel_quality"`
	// ExpectedOutputTokens are those of an answer, where the call does not allow less.
	ExpectedOutputTokens uint32 `json:"expected_output_tokens"`
	// TolerancePercent is how much dearer than the cheapest a channel may be and count as equally cheap.
	TolerancePercent uint32 `json:"tolerance_percent"`
	// Prices count where the gateway knows none.
	Prices []Price `json:"prices"`
	// CheaperModelLabel is the label of keys whose calls may go to another model: "yes".
	CheaperModelLabel string `json:"cheaper_model_label"`
	// CheaperModels are those, and when.
	CheaperModels []CheaperModel `json:"cheaper_models"`
	Budget        Budget         `json:"budget"`
}

// Price is what a channel takes for a model, in millionths of the currency unit for a million tokens.
type Price struct {
	Channels []string `json:"channels"`
	Models   []string `json:"models"`
	Input    *float64 `json:"input_micros_per_million"`
	Output   *float64 `json:"output_micros_per_million"`
}

// CheaperModel stands in for others where little is asked.
type CheaperModel struct {
	Models         []string `json:"models"`
	To             string   `json:"to"`
	MaxInputTokens uint32   `json:"max_input_tokens"`
	// WithTools says whether it may have calls that offer tools.
	WithTools bool `json:"with_tools"`
}

// Budget is what a key may spend in a day of UTC before only cheap channels are left to it.
type Budget struct {
	// DailyMicros is 0 for no budget.
	DailyMicros int64 `json:"daily_micros"`
	// Label is the label of keys whose budget is another, in the same unit.
	Label string `json:"label"`
	// Level is the highest that is left once it is spent; the lowest of all where it is empty.
	Level string `json:"level"`
}

// Defaults are the settings that are not zero where they are not set.
func (config *Config) Defaults() {
	*config = Config{
		Levels:               []string{"basic", "standard", "premium"},
		QualityLabel:         "quality",
		ExpectedOutputTokens: 500,
		TolerancePercent:     5,
		CheaperModelLabel:    "cheaper-model",
		Budget:               Budget{Label: "daily-budget-micros"},
	}
}

func configure(config Config) (*CostAware, error) {
	var wrong []error
	say := func(format string, arguments ...any) { wrong = append(wrong, fmt.Errorf(format, arguments...)) }
	if len(config.Levels) == 0 {
		return nil, errors.New("levels: is empty; there must be one at least")
	}
	for at, name := range config.Levels {
		if name == "" || slices.Contains(config.Levels[:at], name) {
			say("levels[%d]: %q is empty or there twice", at, name)
		}
	}
	policy := &CostAware{Config: config}
	level := func(setting, name string) int {
		found := slices.Index(config.Levels, name)
		if name != "" && found < 0 {
			say("%s: must be one of %s, not %q", setting, strings.Join(config.Levels, ", "), name)
		}
		return max(found, 0)
	}
	policy.keyLevel = level("key_quality", config.KeyQuality)
	policy.channelLevel = level("channel_quality", config.ChannelQuality)
	policy.budgetLevel = level("budget.level", config.Budget.Level)
	if config.Budget.DailyMicros < 0 {
		say("budget.daily_micros: must be 0 or more, not %d", config.Budget.DailyMicros)
	}
	for at, price := range config.Prices {
		switch {
		case len(price.Channels) == 0:
			say("prices[%d].channels: must name a channel at least", at)
		case price.Input == nil || price.Output == nil:
			say("prices[%d]: must have input_micros_per_million and output_micros_per_million", at)
		case *price.Input < 0 || *price.Output < 0:
			say("prices[%d]: a price must be 0 or more", at)
		}
	}
	for at, cheaper := range config.CheaperModels {
		switch {
		case cheaper.To == "" || strings.Contains(cheaper.To, "*"):
			say("cheaper_models[%d].to: must name a model, not %q", at, cheaper.To)
		case len(cheaper.Models) == 0:
			say("cheaper_models[%d].models: must name a model at least", at)
		case cheaper.MaxInputTokens == 0:
			say("cheaper_models[%d].max_input_tokens: must be 1 or more", at)
		}
	}
	return policy, errors.Join(wrong...)
}

// matches tells whether a name is one of the patterns, in which a `*` at the end stands for anything; no pattern
// at all is any name.
func matches(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return name == pattern || open && strings.HasPrefix(name, prefix)
	})
}

// level is that of a label's value: `without` where there is no label, `unknown` where its value is no level.
func (policy *CostAware) level(value string, has bool, without, unknown int) int {
	if !has {
		return without
	}
	if found := slices.Index(policy.Levels, value); found >= 0 {
		return found
	}
	weir.Log(weir.Warn, "the label %s has the value %q, which is no level: %s", policy.QualityLabel, value, strings.Join(policy.Levels, ", "))
	return unknown
}
