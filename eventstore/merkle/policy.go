package merkle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/note"
)

// Policy says which witnesses must have cosigned (C2SP tlog-policy): lines
//
//	witness <name> <cosigner key> <url>
//	group <name> all|any|<n> <names…>
//	quorum <name>|none
//
// The zero Policy asks for nobody.
type Policy struct {
	text  string
	group witness.Group
}

// ParsePolicy reads a policy file.
func ParsePolicy(text string) (Policy, error) {
	g, err := witness.ParsePolicy([]byte(text))
	if err != nil {
		return Policy{}, fmt.Errorf("witness policy: %w", err)
	}
	return Policy{text: text, group: g}, nil
}

// Text is the policy as it was read; empty for the zero Policy.
func (p Policy) Text() string { return p.text }

// Empty reports that the policy asks for nobody.
func (p Policy) Empty() bool { return p.group.N == 0 }

// Satisfied reports whether a signed checkpoint has the cosignatures asked for.
func (p Policy) Satisfied(signed []byte) bool { return p.group.Satisfied(signed) }

// Witness is one of those the quorum may need.
type Witness struct {
	URL string // of add-checkpoint
	Key note.Verifier
}

// Witnesses of the policy, in the order of their URLs.
func (p Policy) Witnesses() []Witness {
	endpoints := p.group.Endpoints()
	var out []Witness
	for _, url := range slices.Sorted(maps.Keys(endpoints)) {
		out = append(out, Witness{URL: url, Key: endpoints[url]})
	}
	return out
}

// Cosigned is when each of the policy's witnesses cosigned, by its name.
func (p Policy) Cosigned(signed []byte) (map[string]time.Time, error) {
	var keys []note.Verifier
	for _, w := range p.Witnesses() {
		keys = append(keys, w.Key)
	}
	return CosignedAt(signed, keys...)
}

// AddLines appends the lines of witnesses to a signed checkpoint, leaving out
// those it has.
func AddLines(signed []byte, lines ...string) []byte {
	out := string(signed)
	for _, line := range lines {
		if !strings.Contains(out, "\n"+line) {
			out += line
		}
	}
	return []byte(out)
}

// AsLogSigned is a signed checkpoint as the log itself signed it: without the
// lines of others, which may come later. Time stamps are over these bytes.
func AsLogSigned(signed []byte, origin string) []byte {
	text, lines, _ := strings.Cut(string(signed), "\n\n")
	out := text + "\n\n"
	for line := range strings.Lines(lines) {
		if strings.HasPrefix(line, "— "+origin+" ") {
			out += line
		}
	}
	return []byte(out)
}
