package api

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"sort"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
	"github.com/yuin/goldmark"
)

// The reference page, the pages behind the types of problems, and the
// specification itself: all rendered once, from the files in this program.

//go:embed openapi.yaml
var specificationText []byte

//go:embed pages/*
var pageFiles embed.FS

type reference struct {
	docs     []byte
	style    []byte
	problems *template.Template
}

// docOperation is one operation as the page shows it.
type docOperation struct {
	ID, Method, Path, Summary, Description string
	Parameters                             []docField
	Request, Example                       string
	Answers                                []docAnswer
}

type docField struct {
	Name, In, Type, Description string
	Required                    bool
}

type docAnswer struct{ Status, Description, Schema string }

type docSchema struct {
	Name, Description, Type string
	Fields                  []docField
}

type docTag struct {
	Name, Description string
	Operations        []docOperation
}

func newReference(doc *openapi3.T) (reference, error) {
	pages, err := template.New("").Funcs(template.FuncMap{"markdown": markdown}).ParseFS(pageFiles, "pages/*.html")
	if err != nil {
		return reference{}, fmt.Errorf("parse pages: %w", err)
	}
	style, err := pageFiles.ReadFile("pages/style.css")
	if err != nil {
		return reference{}, fmt.Errorf("read style: %w", err)
	}
	var out bytes.Buffer
	err = pages.ExecuteTemplate(&out, "docs.html", map[string]any{
		"Title": doc.Info.Title, "Version": doc.Info.Version, "Description": doc.Info.Description,
		"Tags": docTags(doc), "Schemas": docSchemas(doc), "Codes": codes(),
	})
	if err != nil {
		return reference{}, fmt.Errorf("render the reference: %w", err)
	}
	return reference{docs: out.Bytes(), style: style, problems: pages.Lookup("problem.html")}, nil
}

// markdown renders a description of the specification, which is written in
// CommonMark as OpenAPI says. Raw HTML in it is left out.
func markdown(text string) (template.HTML, error) {
	var out bytes.Buffer
	if err := goldmark.Convert([]byte(text), &out); err != nil {
		return "", err
	}
	return template.HTML(out.String()), nil
}

func codes() []string {
	out := make([]string, 0, len(problemKinds))
	for code := range problemKinds {
		out = append(out, code)
	}
	sort.Strings(out)
	return out
}

func docTags(doc *openapi3.T) []docTag {
	byTag := map[string][]docOperation{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			byTag[op.Tags[0]] = append(byTag[op.Tags[0]], newDocOperation(path, method, op))
		}
	}
	var out []docTag
	for _, tag := range doc.Tags {
		list := byTag[tag.Name]
		sort.Slice(list, func(i, j int) bool {
			return list[i].Path+" "+list[i].Method < list[j].Path+" "+list[j].Method
		})
		out = append(out, docTag{Name: tag.Name, Description: tag.Description, Operations: list})
	}
	return out
}

func newDocOperation(path, method string, op *openapi3.Operation) docOperation {
	d := docOperation{ID: op.OperationID, Method: method, Path: path, Summary: op.Summary, Description: op.Description}
	for _, p := range op.Parameters {
		d.Parameters = append(d.Parameters, docField{
			Name: p.Value.Name, In: p.Value.In, Type: typeName(p.Value.Schema), Description: p.Value.Description, Required: p.Value.Required,
		})
	}
	if op.RequestBody != nil {
		if m := op.RequestBody.Value.Content.Get(echo.MIMEApplicationJSON); m != nil {
			d.Request, d.Example = typeName(m.Schema), indented(m.Example)
		}
	}
	for status, answer := range op.Responses.Map() {
		a := docAnswer{Status: status}
		if answer.Value.Description != nil {
			a.Description = *answer.Value.Description
		}
		for _, m := range answer.Value.Content {
			a.Schema = typeName(m.Schema)
		}
		d.Answers = append(d.Answers, a)
	}
	sort.Slice(d.Answers, func(i, j int) bool { return d.Answers[i].Status < d.Answers[j].Status })
	return d
}

func docSchemas(doc *openapi3.T) []docSchema {
	var out []docSchema
	for name, ref := range doc.Components.Schemas {
		s := docSchema{Name: name, Description: ref.Value.Description, Type: shape(ref.Value)}
		for field, f := range ref.Value.Properties {
			s.Fields = append(s.Fields, docField{
				Name: field, Type: typeName(f), Description: f.Value.Description, Required: slices.Contains(ref.Value.Required, field),
			})
		}
		sort.Slice(s.Fields, func(i, j int) bool { return s.Fields[i].Name < s.Fields[j].Name })
		out = append(out, s)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func (s *Server) serveSpecification(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/yaml; charset=utf-8", specificationText)
}

func (s *Server) serveReference(c echo.Context) error {
	return c.HTMLBlob(http.StatusOK, s.reference.docs)
}

func (s *Server) serveStyle(c echo.Context) error {
	return c.Blob(http.StatusOK, "text/css; charset=utf-8", s.reference.style)
}

// serveProblem is the page a problem document's type points to.
func (s *Server) serveProblem(c echo.Context) error {
	code := c.Param("code")
	kind, ok := problemKinds[code]
	if !ok {
		return fault("not_found")
	}
	var out bytes.Buffer
	err := s.reference.problems.Execute(&out, map[string]any{"Code": code, "Status": kind.status, "Title": kind.title, "Help": kind.help})
	if err != nil {
		return fmt.Errorf("render problem page: %w", err)
	}
	return c.HTMLBlob(http.StatusOK, out.Bytes())
}
