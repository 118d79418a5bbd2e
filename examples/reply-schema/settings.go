package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	weir "weir/sdk"
)

// Config is what stands under [policy.config]; README.md says what each setting means.
type Config struct {
	Schemas     map[string]json.RawMessage `json:"schemas"`
	Label       string                     `json:"label"`
	Rules       []Rule                     `json:"rules"`
	Default     string                     `json:"default"`
	StripFences bool                       `json:"strip_fences"`
	Streams     string                     `json:"streams"`
	ToolCalls   string                     `json:"tool_calls"`
	MaxBytes    int                        `json:"max_bytes"`
	Formats     bool                       `json:"formats"`
	Instruct    bool                       `json:"instruct"`
	Status      int                        `json:"status"`
}

// Rule gives calls a schema. Each list that is there must hold the call; a * stands for anything.
type Rule struct {
	Schema  string   `json:"schema"`
	Tenants []string `json:"tenants"`
	Keys    []string `json:"keys"`
	Models  []string `json:"models"`
}

// None is the name that stands for no schema.
const none = "none"

// Defaults are the settings that are not zero where they are not set.
func (config *Config) Defaults() {
	config.Label = "reply_schema"
	config.Default = none
	config.Streams = "hold"
	config.ToolCalls = "pass"
	config.MaxBytes = 1 << 20
	config.Formats = true
	config.Status = 502
}

func configure(config Config) (*Policy, error) {
	policy := &Policy{Config: config, schemas: map[string]*Schema{}}
	var wrong []error
	complain := func(format string, arguments ...any) { wrong = append(wrong, fmt.Errorf(format, arguments...)) }
	if len(config.Schemas) == 0 {
		complain("schemas: must have at least one schema")
	}
	for _, name := range slices.Sorted(maps.Keys(config.Schemas)) {
		if name == none {
			complain("schemas.%s: this name stands for no schema", name)
			continue
		}
		schema, err := compile(name, config.Schemas[name], config.Formats)
		if err != nil {
			complain("schemas.%s: %w", name, err)
			continue
		}
		policy.schemas[name] = schema
	}
	exists := func(setting, name string) {
		if _, has := config.Schemas[name]; !has && name != none {
			complain("%s: there is no schema `%s`", setting, name)
		}
	}
	exists("default", config.Default)
	for at, rule := range config.Rules {
		exists(fmt.Sprintf("rules[%d].schema", at), rule.Schema)
		if len(rule.Tenants)+len(rule.Keys)+len(rule.Models) == 0 {
			complain("rules[%d]: must name tenants, keys or models; for all calls there is `default`", at)
		}
	}
	oneOf := func(setting, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			complain("%s: must be \"%s\"", setting, strings.Join(allowed, `" or "`))
		}
	}
	oneOf("streams", config.Streams, "hold", "deny")
	oneOf("tool_calls", config.ToolCalls, "pass", "deny")
	if config.MaxBytes < 1024 || config.MaxBytes > 8<<20 {
		complain("max_bytes: must be from 1024 to 8388608")
	}
	if config.Status < 400 || config.Status > 599 {
		complain("status: must be from 400 to 599")
	}
	return policy, errors.Join(wrong...)
}

// schemaOf is the schema of the running call; nil where its reply is nobody's business.
func (policy *Policy) schemaOf(call weir.Summary) (*Schema, error) {
	if call.Operation != weir.Chat && call.Operation != weir.TextComplete {
		return nil, nil
	}
	name := policy.Default
	if labelled, has := weir.Label(policy.Label); has && policy.Label != "" {
		name = labelled
	} else if at := slices.IndexFunc(policy.Rules, func(rule Rule) bool { return rule.holds(call) }); at >= 0 {
		name = policy.Rules[at].Schema
	}
	if name == none {
		return nil, nil
	}
	if schema := policy.schemas[name]; schema != nil {
		return schema, nil
	}
	// Only a label can name what is not there. Without its check the reply must not go out.
	return nil, weir.Deny(500, "schema_unknown", "Replies to this key are to fit the schema `%s`, which this gateway does not have; tell its operator.", name)
}

func (rule Rule) holds(call weir.Summary) bool {
	return among(rule.Models, func() string { return call.Model }) && among(rule.Tenants, weir.Tenant) && among(rule.Keys, weir.Key)
}

func among(patterns []string, value func() string) bool {
	if len(patterns) == 0 {
		return true
	}
	text := value()
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, text) })
}

// matches compares with a pattern in which a * stands for any text.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(text) < len(first)+len(last) || !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return true
}

// document is a schema as it stands in the settings: a table, or JSON in a text.
func document(raw json.RawMessage) ([]byte, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(raw), []byte(`"`)) {
		return raw, nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, err
	}
	return []byte(text), nil
}
