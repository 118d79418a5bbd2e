// Cost-aware routing: the cheapest channel that is good enough for the key, a cheaper model for small prompts where the
// key allows it, and a daily budget after which only cheap channels are left.
package main

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	weir "weir/sdk"
)

// CostAware is the policy.
type CostAware struct {
	Config
	keyLevel, channelLevel, budgetLevel int
}

func init() { weir.Export(configure) }

func main() { weir.Main() }

// Rewrite asks for a cheaper model where little is asked, or where the key's budget is spent.
func (policy *CostAware) Rewrite(call weir.Summary) error {
	if len(policy.CheaperModels) == 0 || call.Operation != weir.Chat && call.Operation != weir.TextComplete {
		return nil
	}
	at := slices.IndexFunc(policy.CheaperModels, func(one CheaperModel) bool { return matches(one.Models, call.Model) })
	if at < 0 || policy.CheaperModels[at].To == call.Model {
		return nil
	}
	cheaper := policy.CheaperModels[at]
	if value, has := weir.Label(policy.CheaperModelLabel); !has || value != "yes" {
		return nil
	}
	why := "small"
	if call.InputTokens > cheaper.MaxInputTokens {
		if why = "budget"; !policy.isSpent() {
			return nil
		}
	}
	var tools []any
	if !cheaper.WithTools && weir.JSON("/tools", &tools) && len(tools) > 0 {
		return nil
	}
	// The call is as good with the model that was asked for.
	if err := weir.EditModel(cheaper.To); err != nil {
		weir.Log(weir.Warn, "%s was not changed to %s: %v", call.Model, cheaper.To, err)
		return nil
	}
	weir.Count("model_changed", 1, weir.Pair{Name: "why", Value: why}, weir.Pair{Name: "to", Value: cheaper.To})
	return nil
}

// offer is a candidate with what the call would cost there.
type offer struct {
	weir.Candidate
	micros float64
}

// Route orders the channels that are good enough by what the call is expected to cost.
func (policy *CostAware) Route(call weir.Summary, candidates []weir.Candidate) ([]weir.Attempt, error) {
	value, has := weir.Label(policy.QualityLabel)
	// A slip in a key's label must not make its answers worse than they were meant to be.
	highest := len(policy.Levels) - 1
	least, most := policy.level(value, has, policy.keyLevel, highest), highest
	spent := policy.isSpent()
	if spent {
		least, most = 0, policy.budgetLevel
	}
	var offers []offer
	cheapest := math.Inf(1)
	for _, one := range candidates {
		value, has := weir.ChannelLabel(one.Channel, policy.QualityLabel)
		// A channel of no known level is neither good enough for anything, nor cheap.
		if level := policy.level(value, has, policy.channelLevel, -1); level < least || level > most {
			continue
		}
		micros := policy.expected(call, one)
		offers = append(offers, offer{one, micros})
		if weir.Usable(one) {
			cheapest = min(cheapest, micros)
		}
	}
	if len(offers) == 0 {
		return nil, policy.nothing(call, spent, policy.Levels[least])
	}
	bound := cheapest * (1 + float64(policy.TolerancePercent)/100)
	slices.SortStableFunc(offers, func(a, b offer) int { return compare(a, b, bound) })
	attempts := make([]weir.Attempt, len(offers))
	for at, one := range offers {
		attempts[at].Channel = one.Channel
	}
	if first := offers[0].micros; !math.IsInf(first, 1) {
		weir.Observe("expected_micros", first)
	}
	return attempts, nil
}

// Finished adds what the call cost to what its key has spent today.
func (policy *CostAware) Finished(outcome weir.Outcome) {
	if policy.budget() == 0 || outcome.Channel == "" {
		return
	}
	micros := int64(outcome.Usage.CostMicros)
	if micros == 0 {
		// The gateway has no price for it; this policy may have.
		if input, output, known := policy.price(outcome.Channel, outcome.Call.Model); known {
			micros = int64(math.Ceil(cost(input, output, float64(outcome.Usage.InputTokens), float64(outcome.Usage.OutputTokens))))
		}
	}
	if micros == 0 {
		return
	}
	if _, err := weir.StoreAdd(account(), micros, 48*time.Hour); err != nil {
		weir.Log(weir.Error, "%d micros of %s were not counted: %v", micros, weir.Key(), err)
	}
}

// compare puts what cannot be used now last and what is about as cheap as can be first. Among equally cheap ones the
// operator's priority decides, then which fails less, then which has less to do for its weight; else the price.
func compare(a, b offer, bound float64) int {
	late := func(one offer) int {
		switch {
		case !weir.Usable(one.Candidate):
			return 2
		case one.micros > bound:
			return 1
		}
		return 0
	}
	if order := cmp.Compare(late(a), late(b)); order != 0 {
		return order
	}
	if late(a) > 0 {
		return cmp.Compare(a.micros, b.micros)
	}
	load := func(one offer) float64 { return float64(one.InFlight) / float64(max(one.Weight, 1)) }
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(failing(a), failing(b)), cmp.Compare(load(a), load(b)))
}

// failing is the share of calls that fail, in steps, so that one failure among many does not turn everything away.
func failing(one offer) int {
	if one.Samples < 10 {
		return 0
	}
	return int(one.ErrorRate * 10)
}

// expected is what the call is expected to cost there, infinity where no price is known.
func (policy *CostAware) expected(call weir.Summary, one weir.Candidate) float64 {
	input, output := float64(one.InputPrice), float64(one.OutputPrice)
	if input < 0 || output < 0 {
		var known bool
		if input, output, known = policy.price(weir.ChannelName(one.Channel), call.Model); !known {
			return math.Inf(1)
		}
	}
	tokens := policy.ExpectedOutputTokens
	if call.MaxOutputTokens > 0 {
		tokens = min(tokens, call.MaxOutputTokens)
	}
	switch call.Operation {
	case weir.Embedding, weir.Rerank, weir.Moderation, weir.CountingOnly:
		tokens = 0
	}
	return cost(input, output, float64(call.InputTokens), float64(tokens))
}

func cost(input, output, inputTokens, outputTokens float64) float64 {
	return (input*inputTokens + output*outputTokens) / 1e6
}

// price is that of the configuration: the first that fits the channel and the model.
func (policy *CostAware) price(channel, model string) (input, output float64, known bool) {
	for _, one := range policy.Prices {
		if matches(one.Channels, channel) && matches(one.Models, model) {
			return *one.Input, *one.Output, true
		}
	}
	return 0, 0, false
}

// budget is what the key may spend in a day, 0 for any amount.
func (policy *CostAware) budget() int64 {
	value, has := "", false
	if policy.Budget.Label != "" {
		value, has = weir.Label(policy.Budget.Label)
	}
	if !has {
		return policy.Budget.DailyMicros
	}
	micros, err := strconv.ParseInt(value, 10, 64)
	if err != nil || micros < 0 {
		weir.Log(weir.Warn, "the label %s of %s is no amount in micros: %q", policy.Budget.Label, weir.Key(), value)
		return policy.Budget.DailyMicros
	}
	return micros
}

// account is where the store keeps what the key has spent today, by UTC.
func account() string { return "spent:" + weir.Now().Format(time.DateOnly) + ":" + weir.Key() }

func (policy *CostAware) isSpent() bool {
	budget := policy.budget()
	if budget == 0 {
		return false
	}
	value, _ := weir.StoreGet(account())
	micros, _ := strconv.ParseInt(string(value), 10, 64)
	return micros >= budget
}

// nothing is the refusal where no channel is good, or cheap, enough.
func (policy *CostAware) nothing(call weir.Summary, spent bool, quality string) error {
	if !spent {
		return weir.Deny(403, "quality_not_served", "No channel of the quality %s serves the model `%s`; ask for another one, or the operator.", quality, call.Model)
	}
	now := weir.Now()
	denial := weir.Deny(429, "daily_budget_spent",
		"The key's budget of this day is spent, and no cheaper channel serves the model `%s`; ask for another one, or tomorrow (UTC).", call.Model)
	denial.RetryAfter = now.Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(now)
	return denial
}
