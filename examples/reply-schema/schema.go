package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	weir "weir/sdk"
)

// Problems that are told of one reply; more would help nobody.
const problemsMax = 3

// Schema is one of the operator's schemas.
type Schema struct {
	Name string
	// Text is the schema, without spaces.
	Text     string
	compiled *jsonschema.Schema
}

var english = message.NewPrinter(language.English)

// Nothing is fetched: a schema must be whole.
type nowhere struct{}

func (nowhere) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is not within the schema, and no other is fetched", url)
}

// compile reads a schema, of draft 2020-12 unless its `$schema` says otherwise.
func compile(name string, raw json.RawMessage, formats bool) (*Schema, error) {
	text, err := document(raw)
	if err != nil {
		return nil, err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.UseLoader(nowhere{})
	if formats {
		compiler.AssertFormat()
	}
	const here = "schema:"
	if err := compiler.AddResource(here+name, value); err != nil {
		return nil, err
	}
	compiled, err := compiler.Compile(here + name)
	if err != nil {
		return nil, reason(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return nil, err
	}
	return &Schema{Name: name, Text: compact.String(), compiled: compiled}, nil
}

// reason is why a schema is none, without what the library puts around it.
func reason(err error) error {
	var invalid *jsonschema.SchemaValidationError
	var elsewhere *jsonschema.LoadURLError
	var wrong *jsonschema.ValidationError
	switch {
	case errors.As(err, &invalid) && errors.As(invalid.Err, &wrong):
		return errors.New(told(wrong))
	case errors.As(err, &elsewhere):
		return elsewhere.Err
	}
	return err
}

// Check says what is wrong with a value, and where; nothing where it fits.
func (schema *Schema) Check(value any) string {
	var wrong *jsonschema.ValidationError
	err := schema.compiled.Validate(value)
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &wrong):
		return err.Error()
	}
	return told(wrong)
}

func told(wrong *jsonschema.ValidationError) string {
	var problems []string
	collect(wrong, &problems)
	if len(problems) > problemsMax {
		problems = append(problems[:problemsMax], fmt.Sprintf("and %d more", len(problems)-problemsMax))
	}
	return strings.Join(problems, "; ")
}

// collect takes what is wrong at the ends of the tree: what stands above only says that something is.
func collect(wrong *jsonschema.ValidationError, into *[]string) {
	if len(wrong.Causes) > 0 {
		for _, cause := range wrong.Causes {
			collect(cause, into)
		}
		return
	}
	*into = append(*into, fmt.Sprintf("at `%s`, %s", pointer(wrong.InstanceLocation), wrong.ErrorKind.LocalizedString(english)))
}

// pointer is RFC 6901's; the whole is `/`, for an empty text would say nothing to a reader.
func pointer(steps []string) string {
	if len(steps) == 0 {
		return "/"
	}
	var made strings.Builder
	for _, step := range steps {
		made.WriteString("/" + strings.ReplaceAll(strings.ReplaceAll(step, "~", "~0"), "/", "~1"))
	}
	return made.String()
}

func (schema *Schema) count(result string) {
	weir.Count("replies", 1, weir.Pair{Name: "schema", Value: schema.Name}, weir.Pair{Name: "result", Value: result})
}

// parse reads exactly one JSON value, whose numbers keep their digits.
func parse(text string) (any, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("it is empty")
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return nil, fmt.Errorf("%w at byte %d", err, syntax.Offset)
	}
	return value, err
}

// withoutFence takes the lines of three or more backticks from around a text, which models like to put there.
func withoutFence(text string) string {
	trimmed := strings.TrimSpace(text)
	fence := trimmed[:len(trimmed)-len(strings.TrimLeft(trimmed, "`"))]
	if len(fence) < 3 {
		return text
	}
	_, inside, found := strings.Cut(trimmed, "\n")
	inside, closed := strings.CutSuffix(inside, fence)
	if !found || !closed {
		return text
	}
	return strings.TrimSpace(inside)
}
