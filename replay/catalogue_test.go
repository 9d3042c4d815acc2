package replay

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
)

// catalogue is docs/events.md under construction.
type catalogue struct {
	t       *testing.T
	source  *source
	streams map[string][]string
	used    map[string]bool // structures and vocabularies that fields speak of
	out     strings.Builder
}

// TestEventCatalogue keeps docs/events.md what the code says.
func TestEventCatalogue(t *testing.T) {
	t.Parallel()
	c := &catalogue{t: t, source: readSource(t), used: map[string]bool{}}
	c.streams = c.source.streams(t)
	path := filepath.Join("..", "docs", "events.md")
	got := c.write()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with: make generate", err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("docs/events.md is not what the code says (-file +code); run `make generate`\n%s", diff)
	}
}

// chapters are those of the rule book's section 6, by the files of package
// domain that tell them.
var chapters = []struct {
	title string
	files string
}{
	{"Client facts", "client.go user.go"},
	{"Phone numbers, SMS, voice, push", "phone.go sms.go voice.go push.go"},
	{"Installations and enrolment", "installation.go enrollment.go"},
	{"Authenticator life cycle and physical devices", "lifecycle.go physical.go device.go sharing.go"},
	{"Authentication transactions", "authentication.go challenge.go response.go lock.go"},
	{"Migration, unification, recovery, temporary access", "migration.go recovery.go unification.go temporary.go codecard.go"},
	{"Opt-out, policy, notification, audit, keys", "optout.go regime.go policybook.go notice.go keys.go"},
	{"Personal data: erasure, legal holds, looks, remarks", "erasure.go hold.go reveal.go certificate.go"},
}

// elsewhere are the events whose chapter is another than that of their file.
var elsewhere = map[string]string{
	"PushTokenRegistered": "push.go", "SeamlessEnabled": "push.go", "SeamlessDisabled": "push.go", "IdentityVerifiedByAgent": "temporary.go",
	"IdentityVerificationFailed": "temporary.go",
}

const preface = `# Events

Every kind of event the ledger can hold. This page is generated from the code by
` + "`make generate`" + ` and a test keeps it fresh; do not edit it.

An event is a record of one stream. Its data is a JSON object with the fields below.
A format never changes once it was released: a version may grow optional fields, and
anything else is a new version with a step that brings the old one up to date.

Types of fields: *text*; *id* with its prefix; *time*, RFC 3339 in UTC with
microseconds at most; *date*, ISO 8601, from midnight in the zone the field's rule
says; *country*, ISO 3166-1 alpha-2; *integer*, *boolean*; the name of a
[structure](#structures) or [vocabulary](#vocabularies). Marks: *optional* fields are
absent when they do not apply; *personal* ones hold ciphertext under the key of the
stream's subject, bound to the event and the field, unreadable after erasure.

## Around every event

The record of an event holds, beside its data, an event id (` + "`evt_…`" + `), stream, revision
(per stream, from 0), sequence (of the whole log, from 1), type, version, the time it
was recorded, and metadata:

`

func (c *catalogue) write() string {
	c.out.WriteString(preface)
	c.table(reflect.TypeFor[codec.Metadata](), c.metadataFields(), nil, nil)
	for i, chapter := range chapters {
		fmt.Fprintf(&c.out, "\n## %d. %s\n", i+1, chapter.title)
		for _, info := range codec.Types() {
			_, event := sample(c.t, info)
			d := c.source.structs[reflect.TypeOf(event).Name()]
			if file, ok := elsewhere[info.Name]; ok {
				d.file = file
			}
			if slices.Contains(strings.Fields(chapter.files), d.file) {
				c.event(info, event, d)
			}
		}
	}
	c.everything()
	c.structures()
	c.vocabularies()
	return c.out.String()
}

// everything checks that no event fell through the chapters.
func (c *catalogue) everything() {
	for _, info := range codec.Types() {
		if !strings.Contains(c.out.String(), "\n### "+info.Name+"\n") {
			c.t.Errorf("%s belongs to no chapter", info.Name)
		}
		if len(c.streams[info.Name]) == 0 {
			c.t.Errorf("no rule makes %s", info.Name)
		}
	}
	for name := range c.streams {
		if !slices.ContainsFunc(codec.Types(), func(i codec.TypeInfo) bool { return i.Name == name }) {
			c.t.Errorf("%s is made and cannot be stored", name)
		}
	}
}

func (c *catalogue) event(info codec.TypeInfo, event domain.Event, d declared) {
	r, _ := sample(c.t, info)
	fmt.Fprintf(&c.out, "\n### %s\n\nVersion %d, in `%s`. %s\n\n", info.Name, info.Version, strings.Join(c.streams[info.Name], "` and `"), d.doc)
	if d.doc == "" {
		c.t.Errorf("%s has no doc comment", info.Name)
	}
	var data map[string]any
	if err := json.Unmarshal(r.Data, &data); err != nil {
		c.t.Fatal(err)
	}
	if len(data) == 0 {
		c.out.WriteString("No fields.\n")
		return
	}
	c.table(reflect.TypeOf(event), c.fields(d.expr), data, info.PersonalFields)
}

// fields are the words beside the fields of a struct, by Go name; those of an
// embedded one included.
func (c *catalogue) fields(expr ast.Expr) map[string]string {
	out := map[string]string{}
	s, ok := expr.(*ast.StructType)
	if !ok {
		c.t.Fatalf("%T is no structure", expr)
	}
	for _, f := range s.Fields.List {
		if len(f.Names) == 0 {
			for name, text := range c.fields(c.source.structs[f.Type.(*ast.Ident).Name].expr) {
				out[name] = text
			}
		}
		for _, name := range f.Names {
			out[name.Name] = oneParagraph(f.Doc.Text() + " " + f.Comment.Text())
		}
	}
	return out
}

// metadataFields are the words beside those of the metadata, which package
// codec declares.
func (c *catalogue) metadataFields() map[string]string {
	return map[string]string{
		"Prev": "leaf hash of the stream's previous record, hexadecimal; the first member", "CommandID": "UUID; the same id again gives the first outcome",
		"Digest": "of the command, without personal data and secrets", "Ordinal": "of this event among those of the command, from 0",
		"Count": "events of the command", "OccurredAt": "when it was decided", "PolicyVersion": "the policy it was decided by",
		"Source": "where the command came from; its address is personal",
	}
}

// table lists fields. data is an example to tell formats by; nil is enough
// where none is needed.
func (c *catalogue) table(typ reflect.Type, words map[string]string, data map[string]any, personal []string) {
	c.out.WriteString("| field | type | |\n|---|---|---|\n")
	for name := range words {
		if _, ok := typ.FieldByName(name); !ok {
			c.t.Errorf("%s has no field %s", typ.Name(), name)
		}
	}
	for _, f := range reflect.VisibleFields(typ) {
		name, options, tagged := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !tagged && name == "" {
			continue
		}
		var notes []string
		if strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero") {
			notes = append(notes, "optional")
		}
		if f.Type == reflect.TypeFor[domain.Personal]() != slices.Contains(personal, name) {
			c.t.Errorf("%s.%s: the domain and the codec disagree whether it is personal", typ.Name(), name)
		}
		if slices.Contains(personal, name) {
			notes = append(notes, "personal")
		}
		if u := unitOf(name); u != "" {
			notes = append(notes, u)
		}
		if w := words[f.Name]; w != "" {
			notes = append(notes, strings.ReplaceAll(w, "|", "\\|"))
		}
		fmt.Fprintf(&c.out, "| `%s` | %s | %s |\n", name, c.typeOf(f.Type, name, data[name]), strings.Join(notes, "; "))
	}
}

// unitOf is what the name of a number counts.
func unitOf(name string) string {
	switch {
	case strings.HasSuffix(name, "_ms"):
		return "milliseconds"
	case strings.HasSuffix(name, "_s"):
		return "seconds"
	}
	return ""
}

func (c *catalogue) typeOf(typ reflect.Type, name string, example any) string {
	switch {
	case typ == reflect.TypeFor[time.Time](), typ == reflect.TypeFor[*time.Time]():
		return "time"
	case typ == reflect.TypeFor[domain.Personal]():
		return "text"
	case typ.Kind() == reflect.Slice:
		element := any(nil)
		if list, ok := example.([]any); ok && len(list) > 0 {
			element = list[0]
		}
		return "list of " + c.typeOf(typ.Elem(), name, element)
	case typ.Kind() == reflect.Bool:
		return "boolean"
	case typ.Kind() == reflect.String && typ.PkgPath() == "":
		return format(name, example)
	case typ.Kind() == reflect.String, typ.Kind() == reflect.Struct:
		c.used[typ.Name()] = true
		return fmt.Sprintf("[%s](#%s)", typ.Name(), strings.ToLower(typ.Name()))
	case typ.Kind() == reflect.Array: // a UUID
		return "text"
	}
	return "integer"
}

var (
	isDate    = regexp.MustCompile(`^\d{4}-\d\d-\d\d$`)
	isCountry = regexp.MustCompile(`^[A-Z]{2}$`)
)

// format of a text, by an example.
func format(name string, example any) string {
	text, _ := example.(string)
	if ref, ok := domain.ParseRef(text); ok {
		if strings.HasPrefix(name, "subject") {
			return "id" // of any of several kinds
		}
		return "id `" + ref.Prefix + "_…`"
	}
	if _, err := codec.ParseEventID(text); err == nil {
		return "id `evt_…`"
	}
	switch {
	case isDate.MatchString(text):
		return "date"
	case isCountry.MatchString(text) && name != "locale":
		return "country"
	}
	return "text"
}

// structures follow those that fields speak of, and what those speak of.
func (c *catalogue) structures() {
	page, sections := c.out.String(), map[string]string{}
	for more := true; more; {
		more = false
		for name := range c.used {
			d, ok := c.source.structs[name]
			if _, isStruct := d.expr.(*ast.StructType); !ok || !isStruct || sections[name] != "" {
				continue
			}
			c.out.Reset()
			fmt.Fprintf(&c.out, "\n### %s\n\n%s\n\n", name, d.doc)
			typ, data, personal := structureOf(c.t, name)
			c.table(typ, c.fields(d.expr), data, personal)
			sections[name], more = c.out.String(), true
		}
	}
	c.out.Reset()
	c.out.WriteString(page + "\n## Structures\n")
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		c.out.WriteString(sections[name])
	}
}

// structureOf is a structure's Go type and an example of it.
func structureOf(t *testing.T, name string) (reflect.Type, map[string]any, []string) {
	t.Helper()
	for _, v := range []any{
		domain.Actor{Kind: domain.ActorAgent, Ref: "agent-7"}, domain.Source{}, domain.Retention{}, domain.Money{}, domain.EquityCheck{}, domain.Effect{Until: "2027-01-01"},
		domain.Option{AuthenticatorID: "aut_c9hpkgj4d5r7s2u0vm1n3b6e8k_6"}, domain.Decision{},
		domain.DecisionFacts{Residence: "DE", CarryingCC: "IE", Domicile: "DE", HolderResidences: []string{"DE"}, AccessibleCarryingCCs: []string{"IE"}},
	} {
		if typ := reflect.TypeOf(v); typ.Name() == name {
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			var data map[string]any
			if err := json.Unmarshal(b, &data); err != nil {
				t.Fatal(err)
			}
			var personal []string
			if name == "Source" {
				personal = []string{"ip"}
			}
			return typ, data, personal
		}
	}
	t.Fatalf("give an example of %s", name)
	return nil, nil, nil
}

func (c *catalogue) vocabularies() {
	c.out.WriteString("\n## Vocabularies\n\nThe strings are the wire form everywhere.\n")
	var names []string
	for name := range c.used {
		if _, ok := c.source.structs[name].expr.(*ast.Ident); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		values := c.source.values(name)
		if len(values) == 0 {
			c.t.Errorf("%s has no values", name)
		}
		fmt.Fprintf(&c.out, "\n### %s\n\n%s\n\n`%s`\n", name, c.source.structs[name].doc, strings.Join(values, "` `"))
	}
}
