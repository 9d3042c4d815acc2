package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/projections"
	"github.com/authledger/authledger/replay"
)

// day is the events of one day in UTC, newest first.
type day struct {
	Date  time.Time
	Items []row
}

// row is one event as shown.
type row struct {
	Item
	Line
	Decision *decision
	Fields   []field
	Reveal   string // address of the form that opens the sealed fields; empty without any
}

// field is one member of an event's data.
type field struct{ Name, Value string }

// decision is how the rules decided, in the order a reader asks.
type decision struct {
	domain.Decision
	Rule  *domain.Rule // the decisive one, when the policy at hand has it
	Facts []field
}

func (w *console) days(userID string, items []Item) []day {
	var out []day
	for _, i := range items {
		date := i.OccurredAt.UTC().Truncate(24 * time.Hour)
		if n := len(out); n == 0 || !out[n-1].Date.Equal(date) {
			out = append(out, day{Date: date})
		}
		r := row{Item: i, Line: lineOf(i), Fields: fields(i.Data, i.Personal)}
		if len(i.Personal) > 0 {
			r.Reveal = revealPath(userID, i.ID)
		}
		if slices.Contains(i.Personal, codec.FieldIP) {
			r.Fields = append(r.Fields, field{codec.FieldIP, sealedText})
		}
		if d, ok := decided(i.Event); ok {
			r.Decision = w.explain(d)
		}
		out[len(out)-1].Items = append(out[len(out)-1].Items, r)
	}
	return out
}

// decided is the rules' decision an event carries.
func decided(e domain.Event) (domain.Decision, bool) {
	switch e := e.(type) {
	case domain.OptOutGranted:
		return e.Decision, true
	case domain.OptOutDenied:
		return e.Decision, true
	case domain.OptOutRevoked:
		return e.Decision, true
	case domain.SecondFactorWaived:
		return e.Decision, true
	}
	return domain.Decision{}, false
}

func (w *console) explain(d domain.Decision) *decision {
	out := &decision{Decision: d}
	rules := w.c.Policy().Rules
	for i := range rules {
		if r := &rules[i]; r.ID == d.DecisiveRuleID && r.Version == d.RuleVersion {
			out.Rule = r
		}
	}
	f := d.Facts
	out.Facts = []field{
		{"Residence", orUnknown(f.Residence)}, {"Kind of client", orUnknown(replay.Name(f.ClientKind))},
		{"Carrying entity's country", orUnknown(f.CarryingCC)}, {"Domicile", orNone(f.Domicile)},
		{"Holders' residences", orNone(strings.Join(f.HolderResidences, ", "))},
		{"Countries of other accessible accounts", orNone(strings.Join(f.AccessibleCarryingCCs, ", "))},
	}
	return out
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// sealedText stands for personal data, which is not opened here.
const sealedText = "(sealed)"

// fields lists the members of an event's data in their stored order, nested
// ones with dotted names, decisions left out because they have a place of
// their own.
func fields(data json.RawMessage, personal []string) []field {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	var out []field
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err != nil || d.Decode(&value) != nil {
			return out
		}
		n := fmt.Sprint(name)
		switch {
		case n == "decision":
		case slices.Contains(personal, n):
			out = append(out, field{n, sealedText})
		case value[0] == '{':
			for _, f := range fields(value, nil) {
				out = append(out, field{n + "." + f.Name, f.Value})
			}
		default:
			out = append(out, field{n, plainValue(value)})
		}
	}
	return out
}

// plainValue is a JSON value without the quotes of a string.
func plainValue(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil && v[0] == '"' {
		return s
	}
	return string(v)
}

// functions are what templates may call.
func (w *console) functions() template.FuncMap {
	return template.FuncMap{
		"asset":   func(name string) string { return "/console/assets/" + name + "?v=" + w.assets[name].version },
		"time":    func(t time.Time) string { return t.UTC().Format("15:04:05.000") },
		"date":    func(t time.Time) string { return t.UTC().Format("Monday, 2 January 2006") },
		"stamp":   clock,
		"iso":     func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"short":   short,
		"words":   func(v any) string { return replay.Name(fmt.Sprint(v)) },
		"count":   count,
		"count64": func(n int64, noun string) string { return count(int(n), noun) },
		"reveal":  revealPath,
		"status":  func(s projections.ErasureStatus) erasureTone { return erasureTones[s] },
		"join":    func(list []string) string { return strings.Join(list, ", ") },
	}
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// short is the last part of an id of something in a user's stream.
func short(id string) string {
	if i := strings.LastIndexByte(id, '_'); i > 0 {
		return "#" + id[i+1:]
	}
	return id
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
