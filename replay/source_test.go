package replay

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
)

// source is package domain as its authors wrote it: what the catalogue of
// events takes its words from.
type source struct {
	files   map[string]*ast.File // by name
	info    *types.Info
	pkg     *types.Package
	structs map[string]declared             // type declarations by name
	bodies  map[types.Object]*ast.BlockStmt // of functions and methods
	wire    map[string]string               // names of events by Go type
}

// declared is a type with its words.
type declared struct {
	file string
	doc  string
	expr ast.Expr
}

// empty stands for every package domain imports: what domain says of itself
// can be read without them.
type empty struct{}

func (empty) Import(path string) (*types.Package, error) {
	p := types.NewPackage(path, filepath.Base(path))
	p.MarkComplete()
	return p, nil
}

func readSource(t *testing.T) *source {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("..", "domain", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	s := &source{
		files: map[string]*ast.File{}, structs: map[string]declared{}, bodies: map[types.Object]*ast.BlockStmt{}, wire: map[string]string{},
		info: &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}},
	}
	set, list := token.NewFileSet(), []*ast.File{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		s.files[filepath.Base(name)], list = f, append(list, f)
	}
	config := types.Config{Importer: empty{}, Error: func(error) {}} // whatever uses another package stays unresolved
	s.pkg, _ = config.Check("domain", set, list, s.info)
	for name, f := range s.files {
		s.declarations(name, f)
	}
	for _, info := range codec.Types() {
		_, event := sample(t, info)
		s.wire[reflect.TypeOf(event).Name()] = info.Name
	}
	return s
}

func (s *source) declarations(name string, f *ast.File) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Body != nil {
				s.bodies[s.info.Defs[d.Name]] = d.Body
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if spec, ok := spec.(*ast.TypeSpec); ok {
					doc := spec.Doc.Text()
					if doc == "" {
						doc = d.Doc.Text()
					}
					s.structs[spec.Name.Name] = declared{file: name, doc: oneParagraph(doc), expr: spec.Type}
				}
			}
		}
	}
}

func oneParagraph(text string) string { return strings.Join(strings.Fields(text), " ") }

// streamNames are how streams are named, by the state they add up to.
func streamNames(t *testing.T) map[string]string {
	t.Helper()
	const key = "c9hpkgj4d5r7s2u0vm1n3b6e8k"
	out := map[string]string{}
	for form, stream := range map[string]string{
		"user-…": domain.UserStream("usr_" + key), "client-…": domain.ClientStream("clt_" + key), "installation-…": domain.InstallationStream("ins_" + key),
		"device-…": domain.DeviceStream("dev_" + key), domain.PolicyStream(): domain.PolicyStream(), "audit-…": domain.AuditStream("2026-03"),
		domain.KeyringStream(): domain.KeyringStream(), domain.ErasuresStream(): domain.ErasuresStream(),
	} {
		state := domain.NewState(stream)
		if state == nil {
			t.Fatalf("no state for %s", stream)
		}
		out[reflect.TypeOf(state).Elem().Name()] = form
	}
	return out
}

// streams says in which streams each event can stand: Decide hands a command to
// the rules of the state's type, and those events count that any function
// reached from there makes. Nobody keeps this table by hand.
func (s *source) streams(t *testing.T) map[string][]string {
	t.Helper()
	names := streamNames(t)
	out := map[string][]string{}
	decide, ok := s.bodies[s.pkg.Scope().Lookup("Decide")]
	if !ok {
		t.Fatal("domain has no Decide")
	}
	for state, body := range s.cases(decide) {
		form, ok := names[state]
		if !ok {
			t.Errorf("Decide knows %s, which has no stream", state)
			continue
		}
		delete(names, state)
		for event := range s.reached(body) {
			out[event] = append(out[event], form)
		}
	}
	for state, form := range names {
		t.Errorf("Decide does not know %s of %s", state, form)
	}
	for _, forms := range out {
		slices.Sort(forms)
	}
	return out
}

// cases are the branches of Decide's switch over the type of a state.
func (s *source) cases(decide *ast.BlockStmt) map[string][]ast.Stmt {
	out := map[string][]ast.Stmt{}
	for _, statement := range decide.List {
		if statement, ok := statement.(*ast.TypeSwitchStmt); ok {
			for _, c := range statement.Body.List {
				c := c.(*ast.CaseClause)
				for _, typ := range c.List {
					out[typ.(*ast.StarExpr).X.(*ast.Ident).Name] = c.Body
				}
			}
		}
	}
	return out
}

// reached is the wire names of the events made in statements or in any function
// of domain that they name, directly or not.
func (s *source) reached(statements []ast.Stmt) map[string]bool {
	events, seen := map[string]bool{}, map[types.Object]bool{}
	var visit func(ast.Node)
	visit = func(root ast.Node) {
		ast.Inspect(root, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				s.made(n.Type, events)
			case *ast.CallExpr: // a conversion makes an event too
				s.made(n.Fun, events)
			case *ast.Ident:
				o := s.info.Uses[n]
				if body := s.bodies[o]; o != nil && body != nil && !seen[o] {
					seen[o] = true
					visit(body)
				}
			}
			return true
		})
	}
	for _, statement := range statements {
		visit(statement)
	}
	return events
}

func (s *source) made(expr ast.Expr, events map[string]bool) {
	id, ok := expr.(*ast.Ident)
	if !ok {
		return
	}
	if typ, ok := s.info.Uses[id].(*types.TypeName); ok && typ.Pkg() == s.pkg {
		if wire, ok := s.wire[typ.Name()]; ok {
			events[wire] = true
		}
	}
}

// values are the constants of a named string type, in the order of the source
// of one file after the other.
func (s *source) values(typ string) []string {
	var out []string
	var names []string
	for name := range s.files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, d := range s.files[name].Decls {
			group, ok := d.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST {
				continue
			}
			for _, spec := range group.Specs {
				for _, id := range spec.(*ast.ValueSpec).Names {
					c, ok := s.info.Defs[id].(*types.Const)
					if !ok {
						continue
					}
					if named, ok := c.Type().(*types.Named); ok && named.Obj().Name() == typ {
						out = append(out, constant.StringVal(c.Val()))
					}
				}
			}
		}
	}
	return out
}
