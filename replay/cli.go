package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// Args is what every command takes. Reader and Codec are required.
type Args struct {
	Reader eventstore.Reader
	Codec  *codec.Codec // without keys: codec.New(nil)
	User   string       // usr_ id, an id that carries it, or the broker's reference; not for rules
	Format Format
	Now    time.Time // durations count back from it
}

// StateArgs is what the commands take that look at one point: state-at, rules
// and decision.
type StateArgs struct {
	Args
	Policy  *domain.Policy // built into the program
	At      string         // see ParsePoint; "" for the newest state
	KnownAt string         // likewise; "newest" for all that is known, "" for what was known at the point
}

// TimelineArgs is what the command timeline takes.
type TimelineArgs struct {
	Args
	From, To string   // see ParsePoint; both belong to the window; "" for no limit
	Types    []string // names of events; none for all
}

// RunStateAt prints the state of a user at a point to stdout. Its errors say
// what to do, and errors.Is and errors.As tell a command line's exit code:
// ErrUsage, ErrNotFound, and *BrokenChainError, codec.ErrUnknownType or
// codec.ErrMalformed for a log that cannot be trusted.
func RunStateAt(ctx context.Context, a StateArgs, stdout, stderr io.Writer) error {
	p, userID, err := a.questions(stderr)
	if err != nil {
		return err
	}
	r, err := StateAt(ctx, a.Reader, a.Codec, a.Policy, userID, p)
	if err != nil {
		return fmt.Errorf("state at %s: %w", p, a.explain(err, userID))
	}
	return write(stdout, a.Format, r, WriteTable)
}

// RunRules prints the rules in force at a point to stdout. Errors are those of
// RunStateAt.
func RunRules(ctx context.Context, a StateArgs, stdout io.Writer) error {
	p, err := a.both()
	if err != nil {
		return err
	}
	r, err := RulesAt(ctx, a.Reader, a.Codec, a.Policy, p)
	if err != nil {
		return fmt.Errorf("rules at %s: %w", p, a.explain(err, ""))
	}
	return write(stdout, a.Format, r, WriteRules)
}

// RunDecision prints what the rules say of a user at a point to stdout. Errors
// are those of RunStateAt.
func RunDecision(ctx context.Context, a StateArgs, stdout, stderr io.Writer) error {
	p, userID, err := a.questions(stderr)
	if err != nil {
		return err
	}
	v, err := DecisionAt(ctx, a.Reader, a.Codec, a.Policy, userID, p)
	if err != nil {
		return fmt.Errorf("decision at %s: %w", p, a.explain(err, userID))
	}
	return write(stdout, a.Format, v, WriteVerdict)
}

// RunCheckDecisions repeats every decision of the log and prints the result to
// stdout. A difference is ErrDiffers, after the result; other errors are those
// of RunStateAt. base is what is built into the program.
func RunCheckDecisions(ctx context.Context, a Args, base *domain.Policy, stdout io.Writer) error {
	c, err := CheckDecisions(ctx, a.Reader, a.Codec, base)
	if err != nil {
		return fmt.Errorf("check decisions: %w", a.explain(err, ""))
	}
	if err := write(stdout, a.Format, c, WriteCheck); err != nil {
		return err
	}
	if c.First != nil {
		return fmt.Errorf("check decisions: %w in %s, first at @%d: %s", ErrDiffers, plural(c.Differ, "event"), c.First.Sequence, c.First.Problems[0])
	}
	return nil
}

// RunTimeline prints what happened to a user to stdout, as it is read. Errors
// are those of RunStateAt; what was printed before one is true but not all.
func RunTimeline(ctx context.Context, a TimelineArgs, stdout, stderr io.Writer) error {
	from, err := a.point(a.From, Point{})
	if err != nil {
		return fmt.Errorf("from: %w", err)
	}
	to, err := a.point(a.To, Point{})
	if err != nil {
		return fmt.Errorf("to: %w", err)
	}
	userID, err := a.user(stderr)
	if err != nil {
		return err
	}
	entries := Timeline(ctx, a.Reader, a.Codec, userID, Filter{From: from, To: to, Types: a.Types})
	n, err := WriteTimeline(stdout, a.Format, entries)
	if err != nil {
		return fmt.Errorf("timeline after %s: %w", plural(int64(n), "event"), a.explain(err, userID))
	}
	_, _ = fmt.Fprintf(stderr, "%s of %s\n", plural(int64(n), "event"), userID) // a message; the data is out
	return nil
}

func (a Args) point(text string, otherwise Point) (Point, error) {
	if text == "" {
		return otherwise, nil
	}
	return ParsePoint(text, a.Now)
}

// both is the point on both axes.
func (a StateArgs) both() (Point, error) {
	p, err := a.point(a.At, Newest(a.Now))
	if err != nil {
		return Point{}, err
	}
	if a.KnownAt == Newest(a.Now).String() {
		return p.KnownBy(Newest(a.Now)), nil
	}
	known, err := a.point(a.KnownAt, Point{})
	if err != nil {
		return Point{}, fmt.Errorf("known at: %w", err)
	}
	return p.KnownBy(known), nil
}

func (a StateArgs) questions(stderr io.Writer) (Point, string, error) {
	p, err := a.both()
	if err != nil {
		return Point{}, "", err
	}
	userID, err := a.user(stderr)
	return p, userID, err
}

// user resolves what was typed and says on stderr what it was taken for.
func (a Args) user(stderr io.Writer) (string, error) {
	id, err := ResolveUser(a.User)
	if err == nil && id != a.User {
		_, _ = fmt.Fprintf(stderr, "user %s\n", id)
	}
	return id, err
}

// ResolveUser is the user's id for what people have at hand: the id itself, the
// id of anything in the user's stream, or the broker's own reference. Errors
// wrap ErrUsage.
func ResolveUser(text string) (string, error) {
	if id := domain.UserOf(text); id != "" {
		return id, nil
	}
	if _, ok := domain.ParseRef(text); ok {
		return "", fmt.Errorf("%w: %s is the id of a client or an installation; give a user's", ErrUsage, text)
	}
	switch {
	case text == "":
		return "", fmt.Errorf("%w: name a user by usr_ id or by the broker's reference", ErrUsage)
	case strings.HasPrefix(text, domain.PrefixUser+"_"):
		return "", fmt.Errorf("%w: user id %q: want usr_ and 26 characters", ErrUsage, text)
	}
	return codec.UserIDOf(text), nil
}

// explain adds what to do about an error, where the error does not say.
func (a Args) explain(err error, userID string) error {
	var broken *BrokenChainError
	switch {
	case errors.As(err, &broken), errors.Is(err, codec.ErrMalformed):
		return fmt.Errorf("%w; the log was changed after it was written: keep this copy as it is and compare it with a backup", err)
	case errors.Is(err, codec.ErrUnknownType):
		return fmt.Errorf("%w; the log was written by a newer authledger: use that version to read it", err)
	case errors.Is(err, errNoUser) && userID != a.User:
		return fmt.Errorf("%w; the id was derived from what you gave: check that it is the exact reference, or give the usr_ id", err)
	}
	return err
}
