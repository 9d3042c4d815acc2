package api

import (
	"encoding/json"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
)

func TestJSONIsReadOneWayOnly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		`{}`:                            nil,
		` {"a":[1,"b",null,true,1e3]} `: nil,
		`{"a":"😀 é"}`:                   nil,
		`{"a":"\ud83d\ude00"}`:          nil,
		`{"a":{"a":1},"b":{"a":1}}`:     nil,
		``:                              errSyntax,
		`{`:                             errSyntax,
		`{"a"}`:                         errSyntax,
		`{"a":1,}`:                      errSyntax,
		`[1 2]`:                         errSyntax,
		`{"a":"\x"}`:                    errSyntax,
		`{"a":"\u12"}`:                  errSyntax,
		`tru`:                           errSyntax,
		`{"a":1}{}`:                     errTrailing,
		`{"a":1},`:                      errTrailing,
		`{"a":1,"a":2}`:                 errDuplicate,
		`{"a":1,"\u0061":2}`:            errDuplicate,
		`[{"b":{"a":1,"a":2}}]`:         errDuplicate,
		`{"a":"\u0000"}`:                errControl,
		`{"a\u0007":1}`:                 errControl,
		`{"a":"\u2028"}`:                errControl,
		`{"a":"\ud800"}`:                errSurrogate,
		`{"a":"\ud800\u0041"}`:          errSurrogate,
		`{"a":"\ude00\ud83d"}`:          errSurrogate,
		"\xef\xbb\xbf{}":                errBOM,
		"{\"a\":\"\xff\"}":              errUTF8,
		strings.Repeat("[", 16) + strings.Repeat("]", 16): nil,
		strings.Repeat("[", 17) + strings.Repeat("]", 17): errDepth,
		"[" + strings.Repeat("1,", 999) + "1]":            nil,
		"[" + strings.Repeat("1,", 1000) + "1]":           errArray,
	} {
		if got := checkJSON([]byte(text)); !errors.Is(got, want) {
			t.Errorf("checkJSON(%.40q) = %v, want %v", text, got, want)
		}
	}
}

// FuzzStrictJSON: what passes is JSON, and reading it and writing it again
// loses nothing, which it would if a member stood there twice or a text could
// not be represented.
func FuzzStrictJSON(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `{"a":"\ud83d\ude00"}`, `[{"a":[]}]`, `{"a":1,"a":2}`, `"\ud800"`, goodClient} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkJSON(b) != nil {
			return
		}
		if !json.Valid(b) {
			t.Fatalf("accepted what is not JSON: %q", b)
		}
		var v any
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatalf("accepted but not readable: %q: %v", b, err)
		}
		again, err := json.Marshal(v)
		if err != nil || checkJSON(again) != nil {
			t.Fatalf("%q became %q: %v", b, again, err)
		}
	})
}

// TestEveryReasonIsExplained reads the constants of the rule book.
func TestEveryReasonIsExplained(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "domain", "errors.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]bool{}
	for _, r := range reasons {
		if explained[string(r.code)] || len(r.meaning) < 10 {
			t.Errorf("%s is explained twice or not at all", r.code)
		}
		explained[string(r.code)] = true
	}
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(v.Names[0].Name, "Reason") {
			return true
		}
		if code := strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`); !explained[code] {
			t.Errorf("%s is not explained", code)
		}
		return true
	})
}

var updateGolden = flag.Bool("update", false, "write golden files")

// TestProblemDocuments freezes what clients parse: one file for each code.
func TestProblemDocuments(t *testing.T) {
	t.Parallel()
	for code, kind := range problemKinds {
		p := &problem{
			code: code, detail: "a detail", retryAfter: 2, lag: 3, cause: errors.New("cause " + marker),
			errors: []gen.ProblemItem{{Pointer: "/field", Code: "pattern", Detail: ruleText["pattern"]}},
		}
		got, err := json.MarshalIndent(document(p, kind, "0123456789abcdef"), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", "problems", code+".json")
		if *updateGolden {
			if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
			t.Errorf("%s: %s", code, diff)
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "problems", "*.json"))
	if err != nil || len(files) != len(problemKinds) {
		t.Errorf("%d golden files for %d codes: %v", len(files), len(problemKinds), err)
	}
}

func TestEveryErrorHasACode(t *testing.T) {
	t.Parallel()
	for _, s := range sentinels {
		if _, ok := problemKinds[s.code]; !ok {
			t.Errorf("%v leads to %s, which is in no table", s.err, s.code)
		}
	}
	for _, code := range statusCodes {
		if _, ok := problemKinds[code]; !ok {
			t.Errorf("%s is in no table", code)
		}
	}
	for _, r := range reasons {
		p := problemOf(&domain.Error{Code: r.code, Detail: "d"})
		if kind, ok := problemKinds[p.code]; !ok || kind.status < 400 || kind.status >= 500 {
			t.Errorf("error %s leads to %s", r.code, p.code)
		}
	}
	if p := problemOf(errors.New("anything")); p.code != "internal" {
		t.Errorf("unknown error: %s", p.code)
	}
}
