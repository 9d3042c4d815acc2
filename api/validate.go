package api

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/labstack/echo/v4"

	"github.com/authledger/authledger/api/gen"
)

// operation is one operation of the specification, ready to validate with.
type operation struct {
	route      *routers.Route
	query      map[string]bool // known query parameters; true when repeatable
	parameters string          // their names, for people
	names      []string        // of path parameters
}

var pathParameter = regexp.MustCompile(`\{([A-Za-z]+)\}`)

// operations indexes the specification by method and echo pattern.
func operations(doc *openapi3.T) map[string]*operation {
	out := map[string]*operation{}
	for path, item := range doc.Paths.Map() {
		pattern := pathParameter.ReplaceAllString(path, ":$1")
		for method, op := range item.Operations() {
			o := &operation{
				route: &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: op},
				query: map[string]bool{},
			}
			var known []string
			for _, p := range op.Parameters {
				switch p.Value.In {
				case openapi3.ParameterInQuery:
					o.query[p.Value.Name] = p.Value.Schema.Value.Type.Is(openapi3.TypeArray)
					known = append(known, p.Value.Name)
				case openapi3.ParameterInPath:
					o.names = append(o.names, p.Value.Name)
				}
			}
			sort.Strings(known)
			o.parameters = strings.Join(known, ", ")
			out[method+" "+pattern] = o
		}
	}
	return out
}

// specification loads the embedded document for validation.
func specification() (*openapi3.T, error) {
	doc, err := gen.GetSpec()
	if err != nil {
		return nil, fmt.Errorf("read the embedded specification: %w", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("validate the embedded specification: %w", err)
	}
	doc.Servers = nil
	return doc, nil
}

var validation = openapi3filter.Options{
	AuthenticationFunc:                openapi3filter.NoopAuthenticationFunc, // keys are checked before
	RejectWhenRequestBodyNotSpecified: true,
	KeepValidatedValue:                true, // handlers get what was validated, names exactly spelled
}

// validate checks the request against the specification.
func (s *Server) validate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		op, ok := s.operations[c.Request().Method+" "+c.Path()]
		if !ok {
			return next(c)
		}
		if err := s.known(c, op); err != nil {
			return err
		}
		params := make(map[string]string, len(op.names))
		for _, name := range op.names {
			params[name] = c.Param(name)
		}
		options := validation
		input := &openapi3filter.RequestValidationInput{Request: c.Request(), PathParams: params, Route: op.route, Options: &options}
		if err := openapi3filter.ValidateRequest(c.Request().Context(), input); err != nil {
			return validationProblem(err)
		}
		return next(c)
	}
}

// validationProblem says where and which rule, never what: the validator's own
// text quotes the rejected value.
func validationProblem(err error) *problem {
	pointer, rule := "", "format"
	var request *openapi3filter.RequestError
	if errors.As(err, &request) && request.Parameter != nil {
		pointer = request.Parameter.Name
	}
	if errors.Is(err, openapi3filter.ErrInvalidRequired) {
		rule = "required"
	}
	var schema *openapi3.SchemaError
	if errors.As(err, &schema) {
		rule = schema.SchemaField
		if path := schema.JSONPointer(); len(path) > 0 && (request == nil || request.Parameter == nil) {
			pointer = "/" + strings.Join(ours(schema, path), "/")
		}
	}
	detail, ok := ruleText[rule]
	if !ok {
		detail = "breaks the rule " + rule
	}
	return faultAt(pointer, rule, detail)
}

// ours leaves names out of a pointer that the caller invented, because they
// are content too.
func ours(e *openapi3.SchemaError, path []string) []string {
	if e.SchemaField == "properties" || e.SchemaField == "additionalProperties" {
		return path[:len(path)-1]
	}
	return path
}

// ruleText says in words what the rules of JSON Schema want.
var ruleText = map[string]string{
	"required":             "is missing",
	"type":                 "has the wrong type",
	"format":               "has the wrong form",
	"enum":                 "is none of the values of the reference",
	"pattern":              "has characters or a form that are not allowed here",
	"minLength":            "is too short",
	"maxLength":            "is too long",
	"minimum":              "is too small",
	"maximum":              "is too large",
	"minItems":             "has too few items",
	"maxItems":             "has too many items",
	"properties":           "has a member that is not known; names are case-sensitive",
	"additionalProperties": "has a member that is not known; names are case-sensitive",
}
