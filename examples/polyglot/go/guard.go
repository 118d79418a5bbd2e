// The policy of ../README.md in Go.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	weir "weir/sdk"
)

// Config is what stands under [policy.config].
type Config struct {
	OpenHour          int               `json:"open_hour"`
	CloseHour         int               `json:"close_hour"`
	ExemptPlan        string            `json:"exempt_plan"`
	DeniedModels      []string          `json:"denied_models"`
	RequestsPerMinute uint64            `json:"requests_per_minute"`
	Instruction       string            `json:"instruction"`
	Region            string            `json:"region"`
	Replace           map[string]string `json:"replace"`
}

// Defaults are the settings that are not zero where they are not set.
func (config *Config) Defaults() { config.CloseHour = 24 }

// Guard is the policy.
type Guard struct {
	Config
	words *strings.Replacer
}

func configure(config Config) (*Guard, error) {
	if config.OpenHour < 0 || config.OpenHour > 23 {
		return nil, errors.New("open_hour: must be from 0 to 23")
	}
	if config.CloseHour <= config.OpenHour || config.CloseHour > 24 {
		return nil, errors.New("close_hour: must be from open_hour + 1 to 24")
	}
	guard := &Guard{Config: config}
	if len(config.Replace) > 0 {
		var pairs []string
		for word, instead := range config.Replace {
			pairs = append(pairs, word, instead)
		}
		guard.words = strings.NewReplacer(pairs...)
	}
	return guard, nil
}

func init() { weir.Export(configure) }

func main() { weir.Main() }

func (guard *Guard) Authorize(call weir.Summary) error {
	for _, pattern := range guard.DeniedModels {
		if matches(pattern, call.Model) {
			return weir.Deny(403, "model_denied", "The model `%s` may not be used here.", call.Model)
		}
	}
	if guard.OpenHour == 0 && guard.CloseHour == 24 {
		return nil
	}
	if plan, has := weir.Label("plan"); has && guard.ExemptPlan != "" && plan == guard.ExemptPlan {
		return nil
	}
	now := weir.Now()
	if hour := now.Hour(); hour >= guard.OpenHour && hour < guard.CloseHour {
		return nil
	}
	opens := now.Truncate(24 * time.Hour).Add(time.Duration(guard.OpenHour) * time.Hour)
	if opens.Before(now) {
		opens = opens.Add(24 * time.Hour)
	}
	denial := weir.Deny(403, "closed", "Calls are allowed from %d to %d o'clock UTC.", guard.OpenHour, guard.CloseHour)
	denial.RetryAfter = opens.Sub(now)
	return denial
}

func (guard *Guard) Rewrite(weir.Summary) error {
	if guard.Instruction == "" {
		return nil
	}
	if err := errors.Join(weir.EditPrependSystem(guard.Instruction), weir.EditHeader("x-guard", "go")); err != nil {
		return weir.Deny(400, "not_changed", "The instruction could not be added: %v", err)
	}
	return nil
}

func (guard *Guard) Limits(weir.Summary) ([]weir.Rule, error) {
	if guard.RequestsPerMinute == 0 {
		return nil, nil
	}
	return []weir.Rule{{
		Key: fmt.Sprintf("key:%s", weir.Key()), Unit: weir.Requests, Window: weir.Sliding(time.Minute), Limit: guard.RequestsPerMinute,
	}}, nil
}

func (guard *Guard) Route(_ weir.Summary, candidates []weir.Candidate) ([]weir.Attempt, error) {
	there := slices.DeleteFunc(slices.Clone(candidates), func(one weir.Candidate) bool {
		region, _ := weir.ChannelLabel(one.Channel, "region")
		return guard.Region != "" && region != guard.Region
	})
	if len(there) == 0 {
		return nil, weir.Deny(503, "no_channel", "No channel of the region `%s` serves this model.", guard.Region)
	}
	// Channels that cannot be used now come last; within each group the highest priority first.
	slices.SortStableFunc(there, func(a, b weir.Candidate) int {
		if weir.Usable(a) != weir.Usable(b) {
			if weir.Usable(a) {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Priority, a.Priority)
	})
	attempts := make([]weir.Attempt, len(there))
	for at, one := range there {
		attempts[at].Channel = one.Channel
	}
	return attempts, nil
}

func (guard *Guard) Open(weir.Summary) weir.Stream {
	if guard.words == nil {
		return nil
	}
	return guard
}

// Push replaces words; nothing has to be remembered between events, so the policy is its own stream.
func (guard *Guard) Push(event weir.Event) ([]weir.Event, error) {
	text, is := event.(weir.Text)
	if !is {
		return weir.Keep()
	}
	changed := guard.words.Replace(text.Text)
	if changed == text.Text {
		return weir.Keep()
	}
	text.Text = changed
	return []weir.Event{text}, nil
}

// Close holds nothing back.
func (guard *Guard) Close() []weir.Event { return nil }

func matches(pattern, model string) bool {
	if prefix, open := strings.CutSuffix(pattern, "*"); open {
		return strings.HasPrefix(model, prefix)
	}
	return model == pattern
}
