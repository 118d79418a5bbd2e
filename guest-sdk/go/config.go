package weir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Configure reads a policy's configuration, JSON, into config, whose values so far are the defaults.
// Unknown settings are errors; each error is a sentence that names the setting.
func Configure(text string, config any) error {
	if strings.TrimSpace(text) == "" {
		text = "{}"
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(config)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Errorf("%s: must be %s, not a JSON %s", wrong.Field, kind(wrong.Type.Kind().String()), wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Errorf("the configuration: must be a JSON object, not a JSON %s", wrong.Value)
	case err != nil && strings.HasPrefix(err.Error(), "json: unknown field "):
		name := strings.Trim(strings.TrimPrefix(err.Error(), "json: unknown field "), `"`)
		return fmt.Errorf("%s: no such setting", name)
	case err != nil:
		return fmt.Errorf("not JSON: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("not JSON: there is more after its end")
	}
	return nil
}

func kind(of string) string {
	switch of {
	case "bool":
		return "true or false"
	case "string":
		return "text"
	case "slice", "array":
		return "a list"
	case "map", "struct":
		return "a table"
	case "float32", "float64":
		return "a number"
	}
	return "an integer that fits (" + of + ")"
}
