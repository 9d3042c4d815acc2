package api

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// typeName names a schema for the reference page: its component, or its shape.
func typeName(ref *openapi3.SchemaRef) string {
	if ref == nil {
		return ""
	}
	if name, ok := strings.CutPrefix(ref.Ref, "#/components/schemas/"); ok {
		return name
	}
	return shape(ref.Value)
}

// shape describes a schema in a line: type, values, limits.
func shape(s *openapi3.Schema) string {
	parts := []string{strings.Join(s.Type.Slice(), " or ")}
	if s.Type.Is(openapi3.TypeArray) {
		parts[0] = "list of " + typeName(s.Items)
	}
	if len(s.Enum) > 0 {
		parts = append(parts, strings.Trim(strings.ReplaceAll(fmt.Sprint(s.Enum), " ", " | "), "[]"))
	}
	if s.Format != "" {
		parts = append(parts, s.Format)
	}
	if s.Pattern != "" {
		parts = append(parts, s.Pattern)
	}
	if s.MaxLength != nil {
		parts = append(parts, fmt.Sprintf("at most %d characters", *s.MaxLength))
	}
	if s.Min != nil {
		parts = append(parts, fmt.Sprintf("from %v", *s.Min))
	}
	if s.Max != nil {
		parts = append(parts, fmt.Sprintf("to %v", *s.Max))
	}
	return strings.Join(parts, ", ")
}

// indented is an example as text.
func indented(example any) string {
	if example == nil {
		return ""
	}
	text, err := json.MarshalIndent(example, "", "  ")
	if err != nil {
		return ""
	}
	return string(text)
}
