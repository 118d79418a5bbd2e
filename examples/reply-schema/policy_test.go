package main

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	weir "weir/sdk"
	"weir/sdk/weirtest"
)

const invoice = `{"type": "object", "required": ["total"], "additionalProperties": false, "properties": {
	"total": {"type": "number", "minimum": 0},
	"currency": {"enum": ["EUR", "USD"]},
	"lines": {"type": "array", "maxItems": 3, "items": {"$ref": "#/$defs/line"}}},
	"$defs": {"line": {"type": "object", "required": ["what"], "properties": {"what": {"type": "string", "minLength": 1, "pattern": "^[A-Z]"}}}}}`

func config(more string) string {
	return `{"schemas": {"invoice": ` + invoice + `, "mail": {"type": "string", "format": "email"}}` + more + `}`
}

var labelled = map[string]string{"reply_schema": "invoice"}

func denied(t *testing.T, err error, code, part string) {
	t.Helper()
	var denial *weir.Denial
	if !errors.As(err, &denial) || denial.Code != code || !strings.Contains(denial.Message, part) {
		t.Errorf("%v, not the denial %s with %q", err, code, part)
	}
}

func whole(content string) weir.Response {
	body, _ := json.Marshal(map[string]any{"choices": []any{map[string]any{"finish_reason": "stop", "message": map[string]any{"role": "assistant", "content": content}}}})
	return weir.Response{Status: 200, Body: body}
}

func TestWhatFitsPassesAndWhatDoesNotIsRefusedWithItsPlace(t *testing.T) {
	host := weirtest.New(t, configure, config(""))
	call := weirtest.Call{Labels: labelled}
	for content, wanted := range map[string][2]string{
		`{"total": 3.5, "currency": "EUR", "lines": [{"what": "Tea"}]}`: {},
		`{"total": -1}`:                        {"reply_not_valid", "at `/total`, minimum: got -1, want 0"},
		`{"currency": "EUR"}`:                  {"reply_not_valid", "at `/`, missing property 'total'"},
		`{"total": 1, "lines": [{"what":""}]}`: {"reply_not_valid", "at `/lines/0/what`"},
		`{"total": 1, "a/b": 2}`:               {"reply_not_valid", "additional properties 'a/b' not allowed"},
		`{"total": 1} and more`:                {"reply_not_json", "schema `invoice`"},
		"":                                     {"reply_not_json", "it is empty"},
		"```json\n{\"total\": 1}\n```":         {"reply_not_json", "invalid character"},
	} {
		response, err := host.Reply(call, whole(content))
		if response != nil {
			t.Errorf("%s was changed", content)
		}
		if wanted[0] == "" {
			if err != nil {
				t.Errorf("%s: %v", content, err)
			}
			continue
		}
		denied(t, err, wanted[0], wanted[1])
	}
}

func TestACallWithoutASchemaIsLeftAlone(t *testing.T) {
	host := weirtest.New(t, configure, config(""))
	if response, err := host.Reply(weirtest.Call{}, whole("no JSON")); response != nil || err != nil {
		t.Error(response, err)
	}
	if response, err := host.Reply(weirtest.Call{Labels: map[string]string{"reply_schema": "none"}}, whole("no JSON")); response != nil || err != nil {
		t.Error(response, err)
	}
	if response, err := host.Reply(weirtest.Call{Labels: labelled}, weir.Response{Status: 201, Body: []byte("x")}); response != nil || err != nil {
		t.Error(response, err)
	}
}

func TestRulesAndDefaultAndLabelSayWhichSchema(t *testing.T) {
	host := weirtest.New(t, configure, config(`, "default": "mail", "rules": [{"schema": "invoice", "tenants": ["ac*"], "models": ["gpt-*"]}, {"schema": "none", "keys": ["key_9"]}]`))
	for _, given := range []struct {
		call   weirtest.Call
		schema string
	}{
		{weirtest.Call{Model: "gpt-4o"}, "invoice"},
		{weirtest.Call{Model: "o1"}, "mail"},
		{weirtest.Call{Model: "gpt-4o", Tenant: "globex"}, "mail"},
		{weirtest.Call{Model: "o1", Key: "key_9"}, ""},
		{weirtest.Call{Model: "o1", Labels: labelled}, "invoice"},
	} {
		_, err := host.Reply(given.call, whole("1"))
		if given.schema == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		denied(t, err, "reply_not_valid", "`"+given.schema+"`")
	}
	denied(t, host.Authorize(weirtest.Call{Labels: map[string]string{"reply_schema": "contract"}}), "schema_unknown", "`contract`")
}

func TestAFenceIsTakenOffInEveryDialect(t *testing.T) {
	host := weirtest.New(t, configure, config(`, "strip_fences": true, "default": "invoice"`))
	fenced := "```json\\n{\\\"total\\\": 10000000000000000001}\\n```"
	for dialect, body := range map[string]string{
		"openai.chat":        `{"choices":[{"message":{"content":"` + fenced + `"}}],"n":1.50}`,
		"openai.completions": `{"choices":[{"text":"` + fenced + `"}],"n":1.50}`,
		"openai.responses":   `{"output":[{"type":"reasoning"},{"type":"message","content":[{"type":"output_text","text":"` + fenced + `"}]}],"n":1.50}`,
		"anthropic.messages": `{"content":[{"type":"thinking","thinking":"x"},{"type":"text","text":"` + fenced + `"},{"type":"text","text":""}],"n":1.50}`,
		"gemini.generate":    `{"candidates":[{"content":{"parts":[{"text":"x","thought":true},{"text":"` + fenced + `"}]}}],"n":1.50}`,
	} {
		response, err := host.Reply(weirtest.Call{Dialect: dialect}, weir.Response{Status: 200, Body: []byte(body)})
		if err != nil || response == nil {
			t.Errorf("%s: %v", dialect, err)
			continue
		}
		made := string(response.Body)
		if !strings.Contains(made, `"{\"total\": 10000000000000000001}"`) || !strings.Contains(made, `"n":1.50`) || strings.Contains(made, "`") {
			t.Errorf("%s: %s", dialect, made)
		}
	}
	_, err := host.Reply(weirtest.Call{Dialect: "gemini.generate"}, weir.Response{Status: 200, Body: []byte("{}")})
	denied(t, err, "reply_not_readable", "")
}

func TestAnAnswerThatWasCutSaysSo(t *testing.T) {
	host := weirtest.New(t, configure, config(`, "default": "invoice"`))
	body := `{"stop_reason":"max_tokens","content":[{"type":"text","text":"{\"total\": "}]}`
	_, err := host.Reply(weirtest.Call{Dialect: "anthropic.messages"}, weir.Response{Status: 200, Body: []byte(body)})
	denied(t, err, "reply_not_json", "it ended at its bound of tokens")
}

func TestEachOfSeveralAnswersIsChecked(t *testing.T) {
	host := weirtest.New(t, configure, config(`, "default": "invoice"`))
	body := `{"choices":[{"message":{"content":"{\"total\":1}"}},{"message":{"content":"{}"}}]}`
	_, err := host.Reply(weirtest.Call{}, weir.Response{Status: 200, Body: []byte(body)})
	denied(t, err, "reply_not_valid", "missing property")
}

func TestCallsOfTools(t *testing.T) {
	body := `{"choices":[{"message":{"content":"One moment.","tool_calls":[{"id":"c"}]}}]}`
	response := weir.Response{Status: 200, Body: []byte(body)}
	host := weirtest.New(t, configure, config(`, "default": "invoice"`))
	if _, err := host.Reply(weirtest.Call{}, response); err != nil {
		t.Error(err)
	}
	host = weirtest.New(t, configure, config(`, "default": "invoice", "tool_calls": "deny"`))
	_, err := host.Reply(weirtest.Call{}, response)
	denied(t, err, "reply_calls_tools", "")
	_, err = host.Events(weirtest.Call{}, weir.ToolCallPiece{})
	denied(t, err, "reply_calls_tools", "")
}

func TestAStreamIsHeldBackUntilItIsWhole(t *testing.T) {
	host := weirtest.New(t, configure, config(`, "default": "invoice", "strip_fences": true`))
	text := func(text string) weir.Event { return weir.Text{Text: text} }
	events, err := host.Events(weirtest.Call{}, weir.Reasoning{Text: "hm"}, text("```\n{\"tot"), text("al\": 1}\n```"), weir.Finish("stop"), weir.Used{})
	wanted := []weir.Event{weir.Reasoning{Text: "hm"}, text(`{"total": 1}`), weir.Finish("stop"), weir.Used{}}
	if err != nil || !slices.Equal(events, wanted) {
		t.Error(events, err)
	}
	events, err = host.Events(weirtest.Call{}, text(`{"total": "1"}`), weir.Finish("stop"))
	denied(t, err, "reply_not_valid", "at `/total`, got string, want number")
	if len(events) != 0 {
		t.Error("something of a refused reply went out: ", events)
	}
	if events, err = host.Events(weirtest.Call{}, text(`{"total": 1`)); err != nil || len(events) != 0 {
		t.Error("half of a reply went out: ", events, err)
	}
	tool := weir.ToolCallPiece{Arguments: "{}"}
	events, err = host.Events(weirtest.Call{}, text("One moment."), tool, weir.Finish("tool_calls"))
	if err != nil || !slices.Equal(events, []weir.Event{text("One moment."), tool, weir.Finish("tool_calls")}) {
		t.Error(events, err)
	}
	host = weirtest.New(t, configure, config(`, "default": "invoice", "max_bytes": 1024`))
	_, err = host.Events(weirtest.Call{}, text(strings.Repeat("1", 1000)), text(strings.Repeat("1", 1000)))
	denied(t, err, "reply_too_long", "")
}

func TestStreamsThatCannotBeChecked(t *testing.T) {
	streaming := weir.Summary{Streaming: true}
	host := weirtest.New(t, configure, config(`, "default": "invoice"`))
	if err := host.Authorize(weirtest.Call{Summary: streaming}); err != nil {
		t.Error(err)
	}
	denied(t, host.Authorize(weirtest.Call{Summary: streaming, Body: `{"n": 2}`}), "stream_not_supported", "several")
	gemini := weirtest.Call{Summary: streaming, Dialect: "gemini.generate"}
	denied(t, host.Authorize(gemini), "stream_not_supported", "alt=sse")
	gemini.Query = []weir.Pair{{Name: "alt", Value: "sse"}}
	if err := host.Authorize(gemini); err != nil {
		t.Error(err)
	}
	host = weirtest.New(t, configure, config(`, "default": "invoice", "streams": "deny"`))
	denied(t, host.Authorize(weirtest.Call{Summary: streaming}), "stream_not_supported", "as a whole")
}

func TestTheModelIsToldTheSchema(t *testing.T) {
	host := weirtest.New(t, configure, config(`, "instruct": true`))
	if err := host.Rewrite(weirtest.Call{Labels: map[string]string{"reply_schema": "mail"}}); err != nil || len(host.Seen.Edits) != 1 || !strings.HasSuffix(host.Seen.Edits[0], `{"type":"string","format":"email"}`) {
		t.Error(host.Seen.Edits, err)
	}
	if err := host.Rewrite(weirtest.Call{}); err != nil || len(host.Seen.Edits) != 0 {
		t.Error(host.Seen.Edits, err)
	}
}

func TestFormatsCanBeLeftToTheModel(t *testing.T) {
	_, err := weirtest.New(t, configure, config(`, "default": "mail"`)).Reply(weirtest.Call{}, whole(`"nobody"`))
	denied(t, err, "reply_not_valid", "email")
	if _, err := weirtest.New(t, configure, config(`, "default": "mail", "formats": false`)).Reply(weirtest.Call{}, whole(`"nobody"`)); err != nil {
		t.Error(err)
	}
}

func TestMistakesInTheSettings(t *testing.T) {
	for given, wanted := range map[string]string{
		`{}`:                              "schemas: must have at least one schema",
		`{"schemas": {"a": {"type": 5}}}`: "schemas.a: ",
		`{"schemas": {"a": "{"}}`:         "schemas.a: not JSON: ",
		`{"schemas": {"a": {"$ref": "https://example.com/x"}}}`: "schemas.a: https://example.com/x is not within the schema",
		`{"schemas": {"a": {"pattern": "("}}}`:                  "schemas.a: ",
		`{"schemas": {"none": {}}}`:                             "schemas.none: this name",
		config(`, "default": "x"`):                              "default: there is no schema `x`",
		config(`, "rules": [{"schema": "x", "keys": ["k"]}]`):   "rules[0].schema: there is no schema `x`",
		config(`, "rules": [{"schema": "mail"}]`):               "rules[0]: must name tenants",
		config(`, "streams": "drop"`):                           `streams: must be "hold" or "deny"`,
		config(`, "tool_calls": "x"`):                           `tool_calls: must be "pass" or "deny"`,
		config(`, "max_bytes": 1`):                              "max_bytes: must be from 1024",
		config(`, "status": 200`):                               "status: must be from 400 to 599",
		config(`, "colour": 1`):                                 "colour: no such setting",
	} {
		if _, err := weirtest.Configure(configure, given); err == nil || !strings.Contains(err.Error(), wanted) {
			t.Errorf("%s: %v", given, err)
		}
	}
}
