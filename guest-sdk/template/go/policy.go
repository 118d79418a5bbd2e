// The policy weir-template; README.md says what it does.
package main

import (
	// weir:if route
	"cmp"
	"slices"
	// weir:end
	// weir:if audit
	"strconv"
	// weir:end
	// weir:if access events
	"strings"
	// weir:end
	// weir:if limit
	"time"
	// weir:end

	weir "weir/sdk"
)

// Config is what may stand under [policy.config]. Errors name the setting.
type Config struct {
	// weir:if access
	// DeniedModels nobody may use; a `*` at the end stands for anything.
	DeniedModels []string `json:"denied_models"`
	// weir:end
	// weir:if rewrite
	// Instruction is put ahead of every prompt.
	Instruction string `json:"instruction"`
	// weir:end
	// weir:if limit
	// RequestsPerMinute of each key; 0 for no limit.
	RequestsPerMinute uint64 `json:"requests_per_minute"`
	// weir:end
	// weir:if answer
	// Notice is the answer to every call, while it is set.
	Notice string `json:"notice"`
	// weir:end
	// weir:if route
	// Region is the label that channels must have.
	Region string `json:"region"`
	// weir:end
	// weir:if reply
	// Stamp is what the header `x-stamp` of every reply says.
	Stamp string `json:"stamp"`
	// weir:end
	// weir:if events
	// Replace has words of streamed answers, and what stands in their place.
	Replace map[string]string `json:"replace"`
	// weir:end
}

// WeirTemplate is the policy: its methods are its hooks.
type WeirTemplate struct{ Config }

func configure(config Config) (*WeirTemplate, error) { return &WeirTemplate{config}, nil }

func init() { weir.Export(configure) }

func main() { weir.Main() }

// weir:if access
// Authorize denies models.
func (policy *WeirTemplate) Authorize(call weir.Summary) error {
	for _, pattern := range policy.DeniedModels {
		prefix, open := strings.CutSuffix(pattern, "*")
		if call.Model == pattern || open && strings.HasPrefix(call.Model, prefix) {
			return weir.Deny(403, "model_denied", "The model `%s` may not be used here.", call.Model)
		}
	}
	return nil
}

// weir:end
// weir:if rewrite
// Rewrite puts the instruction ahead of the prompt.
func (policy *WeirTemplate) Rewrite(weir.Summary) error {
	if policy.Instruction == "" {
		return nil
	}
	if err := weir.EditPrependSystem(policy.Instruction); err != nil {
		return weir.Deny(400, "not_changed", "The instruction could not be added: %v", err)
	}
	return nil
}

// weir:end
// weir:if limit
// Limits has a bucket for each key.
func (policy *WeirTemplate) Limits(weir.Summary) ([]weir.Rule, error) {
	if policy.RequestsPerMinute == 0 {
		return nil, nil
	}
	return []weir.Rule{{
		Key: "key:" + weir.Key(), Unit: weir.Requests, Window: weir.Sliding(time.Minute), Limit: policy.RequestsPerMinute,
	}}, nil
}

// weir:end
// weir:if answer
// Answer says the notice.
func (policy *WeirTemplate) Answer(weir.Summary) (*weir.Response, error) {
	if policy.Notice == "" {
		return nil, nil
	}
	headers := []weir.Pair{{Name: "content-type", Value: "text/plain"}}
	return &weir.Response{Status: 503, Headers: headers, Body: []byte(policy.Notice)}, nil
}

// weir:end
// weir:if route
// Route leaves out channels of other regions.
func (policy *WeirTemplate) Route(_ weir.Summary, candidates []weir.Candidate) ([]weir.Attempt, error) {
	there := slices.DeleteFunc(slices.Clone(candidates), func(one weir.Candidate) bool {
		region, _ := weir.ChannelLabel(one.Channel, "region")
		return policy.Region != "" && region != policy.Region
	})
	if len(there) == 0 {
		return nil, weir.Deny(503, "no_channel", "No channel of the region `%s` serves this model.", policy.Region)
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

// weir:end
// weir:if reply
// Reply stamps replies.
func (policy *WeirTemplate) Reply(_ weir.Summary, response weir.Response) (*weir.Response, error) {
	if policy.Stamp == "" {
		return nil, nil
	}
	response.Headers = append(response.Headers, weir.Pair{Name: "x-stamp", Value: policy.Stamp})
	return &response, nil
}

// weir:end
// weir:if events
// Open looks into every stream, where there is something to replace.
func (policy *WeirTemplate) Open(weir.Summary) weir.Stream {
	if len(policy.Replace) == 0 {
		return nil
	}
	return policy
}

// Push replaces words; nothing has to be remembered between events, so the policy is its own stream.
func (policy *WeirTemplate) Push(event weir.Event) ([]weir.Event, error) {
	text, is := event.(weir.Text)
	if !is {
		return weir.Keep()
	}
	changed := text.Text
	for word, instead := range policy.Replace {
		changed = strings.ReplaceAll(changed, word, instead)
	}
	if changed == text.Text {
		return weir.Keep()
	}
	text.Text = changed
	return []weir.Event{text}, nil
}

// Close holds nothing back.
func (policy *WeirTemplate) Close() []weir.Event { return nil }

// weir:end
// weir:if audit
// Finished counts calls.
func (policy *WeirTemplate) Finished(outcome weir.Outcome) {
	weir.Count("calls_finished", 1, weir.Pair{Name: "status", Value: strconv.Itoa(outcome.Status)})
}

// weir:end
