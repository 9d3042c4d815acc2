package delivery

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// longestCode is as long as a code can be: the policy allows up to nine digits
// (code.sms.len); an activation code has eight characters (D-13).
const longestCode = "888888888"

var (
	link        = regexp.MustCompile(`(?i)://|www\.|[\p{L}\p{N}]\.\p{L}{2,}`)
	placeholder = regexp.MustCompile(`\{[^}]*\}`)
)

// known are the placeholders that Render fills in.
var known = []string{"{app}", "{code}", "{digits}", "{time}"}

// lint refuses texts that break the rules for messages: no link (D-59), the
// application named, every language with the same texts and placeholders; and
// for what carries a code, the rules of lintCode.
func (t *Texts) lint() error {
	var faults []error
	for _, l := range tongues {
		catalogue := t.catalogues[l.name]
		for _, id := range t.ids() {
			pattern, ok := catalogue[id]
			if !ok {
				faults = append(faults, fmt.Errorf("text %s of %s is missing", id, l.name))
				continue
			}
			for _, why := range append(t.lintText(l, id, pattern), t.lintCode(l, id, pattern)...) {
				faults = append(faults, fmt.Errorf("text %s of %s %s", id, l.name, why))
			}
		}
	}
	for name := range t.catalogues {
		if !slices.ContainsFunc(tongues, func(l tongue) bool { return l.name == name }) {
			faults = append(faults, fmt.Errorf("texts of %s are of a language that is never chosen", name))
		}
	}
	return errors.Join(faults...)
}

// ids lists the templates of all languages together.
func (t *Texts) ids() []string {
	seen := map[string]bool{}
	var out []string
	for _, catalogue := range t.catalogues {
		for id := range catalogue {
			if !seen[id] {
				seen[id] = true
				out = append(out, id)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (t *Texts) lintText(l tongue, id, pattern string) (faults []string) {
	if link.MatchString(t.fill(l, pattern, longestCode, time.Date(2006, 11, 22, 15, 4, 0, 0, time.UTC))) {
		faults = append(faults, "looks as if it had a link")
	}
	if !strings.Contains(pattern, "{app}") {
		faults = append(faults, "does not name the application")
	}
	used := placeholders(pattern)
	for _, p := range used {
		if !slices.Contains(known, p) {
			faults = append(faults, "has an unknown placeholder")
		}
	}
	if !slices.Equal(used, placeholders(t.catalogues[tongues[0].name][id])) {
		faults = append(faults, "has other placeholders than the same text in English")
	}
	return faults
}

// lintCode checks a text that carries a code: it says that the code is for
// nobody else; a voice says the digits twice; in writing the code comes first,
// and once, so that phones find it; and a text message is one segment whatever
// the code.
func (t *Texts) lintCode(l tongue, id, pattern string) (faults []string) {
	written, spoken := strings.Count(pattern, "{code}"), strings.Count(pattern, "{digits}")
	if written+spoken == 0 {
		return nil
	}
	if !slices.ContainsFunc(l.never, func(marker string) bool { return strings.Contains(strings.ToLower(pattern), marker) }) {
		faults = append(faults, "does not say that the code must not be shared")
	}
	if spoken > 0 {
		if spoken != 2 || written > 0 {
			faults = append(faults, "does not say the digits exactly twice, and nothing but them")
		}
		return faults
	}
	if written > 1 || !strings.HasPrefix(pattern, "{code}") {
		faults = append(faults, "does not begin with the code, or has it again")
	}
	if n, _ := segments(t.fill(l, pattern, longestCode, time.Time{})); n != 1 && id != codeEmailTemplate {
		faults = append(faults, "does not fit into one text message")
	}
	return faults
}

// placeholders lists those of a text in order, each once.
func placeholders(pattern string) []string {
	found := placeholder.FindAllString(pattern, -1)
	slices.Sort(found)
	return slices.Compact(found)
}
