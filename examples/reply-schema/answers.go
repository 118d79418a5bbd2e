package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// answer is one of the answers in a whole reply.
type answer struct {
	text string
	// finish is why it ended, `length` in every dialect where it was cut.
	finish     string
	callsTools bool
	// set puts another text in its place.
	set func(text string)
}

// answersIn reads a reply of a dialect. The body is what the answers' set changes.
func answersIn(dialect string, raw []byte) (any, []answer, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var body any
	if err := decoder.Decode(&body); err != nil {
		return nil, nil, err
	}
	switch dialect {
	case "openai.chat":
		return body, chat(body), nil
	case "openai.completions":
		return body, completions(body), nil
	case "openai.responses":
		return body, responses(body), nil
	case "anthropic.messages":
		return body, anthropic(body), nil
	case "gemini.generate":
		return body, gemini(body), nil
	}
	return nil, nil, fmt.Errorf("no answers are known in %s", dialect)
}

// encode writes a body that was changed.
func encode(body any) ([]byte, error) {
	var made bytes.Buffer
	encoder := json.NewEncoder(&made)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(body)
	return bytes.TrimSpace(made.Bytes()), err
}

// at is the value behind names of members; nil where there is none.
func at(value any, names ...string) any {
	for _, name := range names {
		members, _ := value.(map[string]any)
		value = members[name]
	}
	return value
}

func text(value any, names ...string) string {
	found, _ := at(value, names...).(string)
	return found
}

func list(value any, names ...string) []any {
	found, _ := at(value, names...).([]any)
	return found
}

// parts collects the texts that several members hold, which are one answer.
type parts struct {
	texts   []string
	holders []map[string]any
}

func (found *parts) add(holder any) {
	members, is := holder.(map[string]any)
	piece, isText := members["text"].(string)
	if is && isText {
		found.texts = append(found.texts, piece)
		found.holders = append(found.holders, members)
	}
}

func (found *parts) answer(finish string, callsTools bool) answer {
	set := func(text string) {
		for _, holder := range found.holders {
			holder["text"] = text
			text = "" // all of it stands in the first
		}
	}
	return answer{strings.Join(found.texts, ""), finish, callsTools, set}
}

func chat(body any) (answers []answer) {
	for _, choice := range list(body, "choices") {
		message, _ := at(choice, "message").(map[string]any)
		calls := len(list(message, "tool_calls")) > 0 || message["function_call"] != nil
		set := func(text string) { message["content"] = text }
		answers = append(answers, answer{text(message, "content"), text(choice, "finish_reason"), calls, set})
	}
	return answers
}

func completions(body any) (answers []answer) {
	for _, choice := range list(body, "choices") {
		var found parts
		found.add(choice)
		answers = append(answers, found.answer(text(choice, "finish_reason"), false))
	}
	return answers
}

func responses(body any) []answer {
	var found parts
	calls := false
	for _, item := range list(body, "output") {
		switch kind := text(item, "type"); kind {
		case "message":
			for _, part := range list(item, "content") {
				if text(part, "type") == "output_text" {
					found.add(part)
				}
			}
		case "function_call", "custom_tool_call":
			calls = true
		}
	}
	finish := ""
	if text(body, "incomplete_details", "reason") == "max_output_tokens" {
		finish = "length"
	}
	return []answer{found.answer(finish, calls)}
}

func anthropic(body any) []answer {
	var found parts
	calls := false
	for _, block := range list(body, "content") {
		switch text(block, "type") {
		case "text":
			found.add(block)
		case "tool_use":
			calls = true
		}
	}
	finish := ""
	if text(body, "stop_reason") == "max_tokens" {
		finish = "length"
	}
	return []answer{found.answer(finish, calls)}
}

func gemini(body any) (answers []answer) {
	for _, candidate := range list(body, "candidates") {
		var found parts
		calls := false
		for _, part := range list(candidate, "content", "parts") {
			calls = calls || at(part, "functionCall") != nil
			if thought, _ := at(part, "thought").(bool); !thought {
				found.add(part)
			}
		}
		finish := ""
		if text(candidate, "finishReason") == "MAX_TOKENS" {
			finish = "length"
		}
		answers = append(answers, found.answer(finish, calls))
	}
	return answers
}
