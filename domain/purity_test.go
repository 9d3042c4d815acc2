package domain

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// forbidden is what would make a decision depend on more than its arguments.
var forbidden = map[string]string{
	"context":      "nothing here waits",
	"crypto/rand":  "no randomness",
	"math/rand":    "no randomness",
	"math/rand/v2": "no randomness",
	"database/sql": "no I/O",
	"log":          "nothing to tell but events",
	"log/slog":     "nothing to tell but events",
	"net":          "no I/O",
	"net/http":     "no I/O",
	"os":           "no I/O",
	"sync":         "no goroutines",
	"unsafe":       "no need",
}

// clockReaders are the functions of package time that ask the machine.
var clockReaders = map[string]bool{
	"Now": true, "Since": true, "Until": true, "Sleep": true, "After": true, "AfterFunc": true,
	"Tick": true, "NewTimer": true, "NewTicker": true, "Local": true,
}

func TestDomainIsPure(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatalf("parse %s: %v", name, err)
		}
		read++
		for _, finding := range impurities(file) {
			t.Errorf("%s: %s", name, finding)
		}
	}
	if read < 15 {
		t.Errorf("read %d files; the package looks different", read)
	}
}

// TestPurityIsNoticed makes sure that the check above can fail.
func TestPurityIsNoticed(t *testing.T) {
	t.Parallel()
	const impure = `package p
import ("os"; "time"; "github.com/google/uuid")
var counter int
func init() {}
func f() { go f(); _ = time.Now(); _ = os.Args; _ = uuid.New() }`
	file, err := parser.ParseFile(token.NewFileSet(), "impure.go", impure, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := impurities(file); len(got) != 6 {
		t.Errorf("found %d impurities, want 6: %q", len(got), got)
	}
}

func impurities(file *ast.File) []string {
	var out []string
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		if why, ok := forbidden[path]; ok {
			out = append(out, "imports "+path+": "+why)
		}
		if strings.Contains(strings.Split(path, "/")[0], ".") {
			out = append(out, "imports "+path+": the standard library is enough")
		}
	}
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Name.Name == "init" && f.Recv == nil {
			out = append(out, "has an init function")
		}
	}
	for _, decl := range file.Decls {
		if g, ok := decl.(*ast.GenDecl); ok && g.Tok == token.VAR {
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				if v.Values == nil && !isEmbedFS(v) {
					out = append(out, "declares variable "+v.Names[0].Name+" to be set later")
				}
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			out = append(out, "starts a goroutine")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && clockReaders[n.Sel.Name] {
				out = append(out, "reads the clock by time."+n.Sel.Name)
			}
		}
		return true
	})
	return out
}

// isEmbedFS allows the files compiled into the program; they cannot change.
func isEmbedFS(v *ast.ValueSpec) bool {
	sel, ok := v.Type.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "FS"
}
