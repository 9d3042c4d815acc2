package web

import (
	"strings"

	"github.com/authledger/authledger/projections"
	"github.com/authledger/authledger/replay"
)

// Line is an event in words: what package replay says of it, the reason code
// set apart where it stands, and the tone of its outcome.
type Line struct {
	Tone                Tone
	Text, Reason, After string // After follows the reason; both may be empty
}

func lineOf(i Item) Line {
	l := Line{Tone: toneOf(i.Outcome), Text: replay.Summary(i.Event)}
	if i.Reason == "" {
		return l
	}
	if before, after, ok := strings.Cut(l.Text, ": "+i.Reason); ok {
		l.Text, l.Reason, l.After = before+":", i.Reason, after
	}
	return l
}

// Tone is how a line is marked: by a sign for eyes that do not tell colours
// apart, and by a word for ears.
type Tone struct{ Class, Sign, Word string }

// toneOf is zero for an outcome this package forgot.
func toneOf(o projections.Outcome) Tone {
	switch o {
	case projections.OutcomeInfo:
		return Tone{"plain", "·", "Step"}
	case projections.OutcomeSuccess:
		return Tone{"good", "✓", "Success"}
	case projections.OutcomeRefusal:
		return Tone{"refused", "⊘", "Refused"}
	case projections.OutcomeFailure:
		return Tone{"bad", "!", "Attention"}
	}
	return Tone{}
}
