// Holds replies to a JSON schema: of the customer's, by a label of its key, or of the operator's, by rules.
//
// settings.go says which call has which schema, schema.go checks a text, answers.go finds the text in a
// whole reply. Never does: mend a reply. What does not fit is refused, with the place that is wrong.
package main

import (
	"strings"

	weir "weir/sdk"
)

// Policy is the settings as the hooks want them.
type Policy struct {
	Config
	schemas map[string]*Schema
}

func init() { weir.Export(configure) }

func main() { weir.Main() }

// Authorize refuses, before it costs anything, what could not be checked.
func (policy *Policy) Authorize(call weir.Summary) error {
	schema, err := policy.schemaOf(call)
	if err != nil || schema == nil || !call.Streaming {
		return err
	}
	if policy.Streams == "deny" {
		return weir.Deny(400, "stream_not_supported", "Replies to this key are checked as a whole; ask without `stream`.")
	}
	if strings.HasPrefix(weir.Dialect(), "gemini.") && !asksForEvents() {
		return weir.Deny(400, "stream_not_supported", "Replies to this key are checked; ask for this stream with `alt=sse`.")
	}
	for _, pointer := range []string{"/n", "/generationConfig/candidateCount", "/generation_config/candidate_count"} {
		var count float64
		if weir.JSON(pointer, &count) && count > 1 {
			return weir.Deny(400, "stream_not_supported", "Replies to this key are checked; ask for several answers without `stream`.")
		}
	}
	return nil
}

func asksForEvents() bool {
	for _, parameter := range weir.Query() {
		if parameter.Name == "alt" && parameter.Value == "sse" {
			return true
		}
	}
	return false
}

// Rewrite tells the model what its answer has to look like.
func (policy *Policy) Rewrite(call weir.Summary) error {
	if !policy.Instruct {
		return nil
	}
	schema, err := policy.schemaOf(call)
	if err != nil || schema == nil {
		return err
	}
	instruction := "Answer with one JSON value and nothing else. It must fit this JSON schema:\n" + schema.Text
	if err := weir.EditPrependSystem(instruction); err != nil {
		return weir.Deny(400, "not_instructed", "The schema could not be put ahead of this prompt: %v", err)
	}
	return nil
}

// Reply checks every answer of a whole reply.
func (policy *Policy) Reply(call weir.Summary, response weir.Response) (*weir.Response, error) {
	schema, err := policy.schemaOf(call)
	if err != nil || schema == nil || response.Status != 200 {
		return nil, err
	}
	body, answers, err := answersIn(weir.Dialect(), response.Body)
	if err != nil || len(answers) == 0 {
		schema.count("unreadable")
		return nil, weir.Deny(policy.Status, "reply_not_readable", "The model's reply has no answer that could be checked; try again.")
	}
	changed := false
	for _, answer := range answers {
		if answer.callsTools {
			if err := policy.toolCalls(schema); err != nil {
				return nil, err
			}
			continue
		}
		bare, err := policy.check(schema, answer.text, answer.finish)
		if err != nil {
			return nil, err
		}
		if bare != answer.text {
			answer.set(bare)
			changed = true
		}
	}
	if !changed {
		return nil, nil
	}
	made, err := encode(body)
	if err != nil {
		return nil, err
	}
	response.Body = made
	return &response, nil
}

// Open holds the text of a stream back until it is whole.
func (policy *Policy) Open(call weir.Summary) weir.Stream {
	schema, err := policy.schemaOf(call)
	if err != nil || schema == nil {
		return nil // Authorize has refused where there is an error.
	}
	return &held{policy: policy, schema: schema}
}

// held is the text of one stream.
type held struct {
	policy *Policy
	schema *Schema
	text   strings.Builder
	choice uint32
	// over: checked, or a call of a tool that is not checked.
	over bool
}

func (stream *held) Push(event weir.Event) ([]weir.Event, error) {
	if stream.over {
		return weir.Keep()
	}
	switch event := event.(type) {
	case weir.Text:
		if stream.text.Len()+len(event.Text) > stream.policy.MaxBytes {
			return nil, weir.Deny(stream.policy.Status, "reply_too_long", "The model's reply is longer than the %d bytes that are checked here; ask for less.", stream.policy.MaxBytes)
		}
		stream.choice = event.Choice
		stream.text.WriteString(event.Text)
		return nil, nil
	case weir.ToolCallPiece:
		if err := stream.policy.toolCalls(stream.schema); err != nil {
			return nil, err
		}
		// What was said before a tool is called is no answer.
		return stream.release(stream.text.String(), event)
	case weir.Finish:
		bare, err := stream.policy.check(stream.schema, stream.text.String(), string(event))
		if err != nil {
			return nil, err
		}
		return stream.release(bare, event)
	}
	return weir.Keep()
}

// release sends the text ahead of the event with which it is clear that it may go.
func (stream *held) release(text string, ahead weir.Event) ([]weir.Event, error) {
	stream.over = true
	if text == "" {
		return weir.Keep()
	}
	return []weir.Event{weir.Text{Choice: stream.choice, Text: text}, ahead}, nil
}

// Close gives nothing back: what is still held was never whole.
func (stream *held) Close() []weir.Event {
	if !stream.over && stream.text.Len() > 0 {
		stream.schema.count("broken_off")
	}
	return nil
}

// toolCalls says what becomes of a reply that calls tools in the place of an answer.
func (policy *Policy) toolCalls(schema *Schema) error {
	schema.count("tool_call")
	if policy.ToolCalls == "pass" {
		return nil
	}
	return weir.Deny(policy.Status, "reply_calls_tools", "The model called a tool where an answer that fits the schema `%s` was wanted.", schema.Name)
}

// check says why a text does not fit, and else what of it the caller gets.
func (policy *Policy) check(schema *Schema, text, finish string) (string, error) {
	bare := text
	if policy.StripFences {
		bare = withoutFence(text)
	}
	value, err := parse(bare)
	if err != nil {
		schema.count("not_json")
		hint := ""
		if finish == "length" {
			hint = "; it ended at its bound of tokens"
		}
		return "", weir.Deny(policy.Status, "reply_not_json", "The model's reply is not the JSON that the schema `%s` asks for (%v%s); try again.", schema.Name, err, hint)
	}
	if wrong := schema.Check(value); wrong != "" {
		schema.count("wrong")
		return "", weir.Deny(policy.Status, "reply_not_valid", "The model's reply does not fit the schema `%s`: %s; try again.", schema.Name, wrong)
	}
	schema.count("fits")
	return bare, nil
}
