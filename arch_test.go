package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/authledger/authledger"

// layer is one row of the import table: what a package may import beyond the
// standard library. Anything absent is forbidden; test files are exempt.
type layer struct {
	own   []string // packages of this module, by path below it
	third []string // prefixes of other modules
	std   []string // standard packages that are forbidden
}

var (
	uuidModule = "github.com/google/uuid"
	esdbModule = "github.com/EventStore/EventStore-Client-Go"
)

// layers is the import table of the design. Paths ending in "/..." cover the
// folder and everything below; the longest match counts.
var layers = map[string]layer{
	"domain": {std: []string{"context", "crypto/rand", "database/sql", "log/slog", "net/http", "os", "math/rand", "math/rand/v2"}},
	"domain/ocra": {
		std: []string{"context", "crypto/rand", "database/sql", "log/slog", "net/http", "os", "math/rand", "math/rand/v2"},
	},
	"eventstore": {third: []string{uuidModule}},
	"eventstore/merkle": {
		own:   []string{"eventstore"},
		third: []string{"golang.org/x/mod/sumdb", "github.com/transparency-dev/merkle", "github.com/transparency-dev/formats"},
	},
	"eventstore/merkle/merkletest":  {own: []string{"eventstore", "eventstore/merkle"}},
	"eventstore/memstore":           {own: []string{"eventstore"}, third: []string{uuidModule}},
	"eventstore/sqlitestore":        {own: []string{"eventstore"}, third: []string{uuidModule, "github.com/mattn/go-sqlite3"}},
	"eventstore/esdbstore":          {own: []string{"eventstore"}, third: []string{uuidModule, "github.com/mattn/go-sqlite3", esdbModule, "google.golang.org/grpc"}},
	"eventstore/esdbstore/esdbtest": {third: []string{uuidModule, esdbModule, "google.golang.org/grpc"}},
	"eventstore/esdbstore/sweep":    {third: []string{esdbModule, "google.golang.org/grpc"}},
	"eventstore/storetest":          {own: []string{"eventstore"}, third: []string{uuidModule, "github.com/google/go-cmp"}},
	"eventstore/move":               {own: []string{"eventstore", "eventstore/merkle"}},
	"eventstore/keyring": {
		own:   []string{"eventstore"},
		third: []string{uuidModule, "github.com/tink-crypto/tink-go", "github.com/mattn/go-sqlite3", "github.com/hashicorp/golang-lru"},
	},
	"eventstore/keyring/keyringtest": {own: []string{"eventstore", "eventstore/keyring"}, third: []string{uuidModule}},
	"eventstore/codec":               {own: []string{"domain", "eventstore", "eventstore/keyring"}, third: []string{uuidModule}},
	"eventstore/journal": {
		own:   []string{"domain", "domain/ocra", "eventstore", "eventstore/codec", "eventstore/keyring"},
		third: []string{uuidModule, "github.com/hashicorp/golang-lru"},
	},
	"eventstore/sealer": {
		own:   []string{"eventstore", "eventstore/bridge", "eventstore/keyring", "eventstore/merkle"},
		third: []string{"github.com/mattn/go-sqlite3", "github.com/ThreeDotsLabs/watermill"},
	},
	"eventstore/sealer/sealertest": {own: []string{"eventstore", "eventstore/merkle", "eventstore/sealer"}},
	"eventstore/bridge":            {own: []string{"eventstore"}, third: []string{uuidModule, "github.com/ThreeDotsLabs/watermill"}},
	"projections": {
		own:   []string{"domain", "eventstore", "eventstore/codec", "eventstore/bridge"},
		third: []string{uuidModule, "github.com/mattn/go-sqlite3", "github.com/ThreeDotsLabs/watermill"},
	},
	"replay": {
		own:   []string{"domain", "eventstore", "eventstore/codec", "eventstore/merkle", "projections"},
		third: []string{uuidModule},
	},
	"replay/bundle": {
		own:   []string{"eventstore", "eventstore/merkle"},
		third: []string{uuidModule, "golang.org/x/mod/sumdb/note"},
	},
	"api/...": {own: []string{"..."}, third: []string{"..."}},
	"":        {own: []string{"..."}, third: []string{"..."}},
}

// onlyIn names modules that must stay inside certain folders.
var onlyIn = map[string][]string{
	"github.com/labstack/echo": {"api", ""},
	esdbModule:                 {"eventstore/esdbstore"},
	"github.com/tink-crypto":   {"eventstore/keyring"},
	"google.golang.org/grpc":   {"eventstore/esdbstore"},
}

// testsOnly names packages that no file outside of tests may import, whatever
// its row says.
var testsOnly = []string{"eventstore/esdbstore/esdbtest", "eventstore/esdbstore/sweep"}

func TestImportTable(t *testing.T) {
	t.Parallel()
	for dir, files := range sources(t) {
		row, ok := rowFor(dir)
		if !ok {
			t.Errorf("folder %q has no row in the import table", dir)
			continue
		}
		for name, file := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, spec := range file.Imports {
				path := strings.Trim(spec.Path.Value, `"`)
				if why := forbidden(dir, path, row); why != "" {
					t.Errorf("%s imports %s: %s", filepath.Join(dir, name), path, why)
				}
			}
		}
	}
}

func rowFor(dir string) (layer, bool) {
	if row, ok := layers[dir]; ok {
		return row, true
	}
	if dir == "api" || strings.HasPrefix(dir, "api/") {
		return layers["api/..."], true
	}
	return layer{}, false
}

func forbidden(dir, path string, row layer) string {
	for prefix, folders := range onlyIn {
		if strings.HasPrefix(path, prefix) && !below(dir, folders) {
			return "this module stays inside " + strings.Join(folders, ", ")
		}
	}
	if own, ok := strings.CutPrefix(path, module+"/"); ok {
		if slices.Contains(testsOnly, own) {
			return "this package is for tests only"
		}
		if dir == "" || len(row.own) == 1 && row.own[0] == "..." || slices.Contains(row.own, own) {
			return ""
		}
		return "not allowed from here"
	}
	if !strings.Contains(strings.Split(path, "/")[0], ".") {
		if slices.Contains(row.std, path) {
			return "this part is pure"
		}
		return ""
	}
	for _, prefix := range row.third {
		if prefix == "..." || strings.HasPrefix(path, prefix) {
			return ""
		}
	}
	return "third-party module not allowed from here"
}

func below(dir string, folders []string) bool {
	for _, f := range folders {
		if dir == f || f != "" && strings.HasPrefix(dir, f+"/") {
			return true
		}
	}
	return false
}

// TestDomainHasNoClock: time is a value in the domain, never a source.
func TestDomainHasNoClock(t *testing.T) {
	t.Parallel()
	for dir, files := range sources(t) {
		if dir != "domain" && dir != "domain/ocra" && dir != "replay" && dir != "replay/bundle" {
			continue
		}
		for name, file := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && (sel.Sel.Name == "Now" || sel.Sel.Name == "Since" || sel.Sel.Name == "Until") {
						t.Errorf("%s reads the clock", filepath.Join(dir, name))
					}
				}
				return true
			})
		}
	}
}

func TestPackagesAreDocumented(t *testing.T) {
	t.Parallel()
	for dir, files := range sources(t) {
		documented, real := false, false
		for name, file := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			real = true
			documented = documented || file.Doc != nil && len(file.Doc.Text()) > 40
		}
		if real && !documented {
			t.Errorf("package in %q says nowhere what it is for", dir)
		}
	}
}

// TestTopLevelFolders: the five folders, and no other Go package beside them.
func TestTopLevelFolders(t *testing.T) {
	t.Parallel()
	allowed := []string{"", "domain", "eventstore", "projections", "api", "replay"}
	for dir := range sources(t) {
		if top := strings.Split(dir, "/")[0]; !slices.Contains(allowed, top) {
			t.Errorf("Go package below %q; the top-level folders are fixed", top)
		}
	}
}

// sources parses every Go file of the module by folder.
func sources(t *testing.T) map[string]map[string]*ast.File {
	t.Helper()
	out := map[string]map[string]*ast.File{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "testdata" || d.Name() == "data") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if dir == "." {
			dir = ""
		}
		if out[dir] == nil {
			out[dir] = map[string]*ast.File{}
		}
		out[dir][filepath.Base(path)] = file
		return nil
	})
	if err != nil {
		t.Fatalf("walk the sources: %v", err)
	}
	return out
}

// TestGeneratedServerIsFresh regenerates the server from the specification.
func TestGeneratedServerIsFresh(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, config := filepath.Join(dir, "gen.go"), filepath.Join(dir, "config.yaml")
	text, err := os.ReadFile("api/gen/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := bytes.Replace(text, []byte("output: gen.go"), []byte("output: "+out), 1)
	if err := os.WriteFile(config, elsewhere, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "tool", "oapi-codegen", "-config", config, "api/openapi.yaml")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("generate: %v\n%s", err, text)
	}
	want, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("api/gen/gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("api/gen/gen.go is not what api/openapi.yaml generates; run `make generate`")
	}
}
