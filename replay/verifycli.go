package replay

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/google/uuid"
)

// RunVerifyLog verifies a log and prints the report to stdout. Failures are
// ErrUntrue, after the report. Other errors are those of VerifyLog; with the
// context's comes the state to go on from.
func RunVerifyLog(ctx context.Context, c LogCheck, f Format, stdout io.Writer) (*State, error) {
	r, state, err := VerifyLog(ctx, c)
	if err != nil {
		return state, fmt.Errorf("verify log: %w", err)
	}
	if err := write(stdout, f, r, WriteLogReport); err != nil {
		return nil, err
	}
	if r.Failed > 0 {
		return nil, fmt.Errorf("verify log: %w: %s, first by %s: %s", ErrUntrue, plural(int64(r.Failed), "failure"), r.Failures[0].Mechanism, r.Failures[0].summary())
	}
	return nil, nil
}

// RunVerifyEvent proves the event with an id and prints the proof to stdout.
// Errors are those of VerifyEvent, and ErrUsage for what is no id.
func RunVerifyEvent(ctx context.Context, reader eventstore.Reader, h merkle.History, own *merkle.Keys, id string, f Format, stdout io.Writer) error {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return fmt.Errorf("%w: event id %q: want a UUID", ErrUsage, id)
	}
	r, err := VerifyEvent(ctx, reader, h, own, parsed)
	if err != nil {
		return fmt.Errorf("verify event %s: %w", parsed, err)
	}
	return write(stdout, f, r, WriteEventReport)
}

func (f Failure) summary() string {
	if f.Stream == "" && f.Sequence > 0 {
		return fmt.Sprintf("@%d: %s", f.Sequence, f.Problem)
	}
	if f.Stream != "" {
		return fmt.Sprintf("@%d %s %s (%s, revision %d): %s", f.Sequence, f.Type, f.ID, f.Stream, *f.Revision, f.Problem)
	}
	if f.Checkpoint > 0 {
		return fmt.Sprintf("checkpoint %d: %s", f.Checkpoint, f.Problem)
	}
	return f.Problem
}

// WriteLogReport writes a report as text for people.
func WriteLogReport(w io.Writer, r LogReport) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) // Flush tells of errors
	}
	verdict := "complete and untouched"
	if r.Failed > 0 {
		verdict = "NOT as it was written: " + plural(int64(r.Failed), "failure")
	}
	line("verdict", "%s", verdict)
	line("records", "%d in %s", r.Records, plural(int64(r.Streams), "stream"))
	if r.ResumedAt > 0 {
		line("resumed", "at @%d; what came before was verified by the interrupted run", r.ResumedAt)
	}
	line("root", "%s", r.RootHex)
	line("checkpoints", "%d, the newest of size %d signed at %s", r.Checkpoints, r.Sealed, precise(r.SignedAt))
	pinned := "taken from the log itself; --keys pins your own copy"
	if r.KeysPinned {
		pinned = "checked against your own copy"
	}
	line("keys", "%s, %s", plural(int64(r.Epochs), "epoch"), pinned)
	line("held by you", "%s", plural(int64(r.Held), "checkpoint"))
	line("witnessed", "%s with a quorum, to size %d", plural(int64(r.Cosigned), "checkpoint"), r.CosignedTo)
	newest := ""
	if r.Stamps > 0 {
		newest = fmt.Sprintf("; the newest by %s at %s, to size %d", r.StampedBy, precise(r.StampedAt), r.StampedTo)
	}
	line("time stamps", "%d verified, %d not checked%s", r.Stamps, r.Unchecked, newest)
	line("acknowledged", "@%d", r.Anchored)
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	var b strings.Builder
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "FAILURE  %-15s  %s\n", f.Mechanism, f.summary())
	}
	if left := int64(r.Failed) - int64(len(r.Failures)); left > 0 {
		fmt.Fprintf(&b, "and %s more\n", plural(left, "failure"))
	}
	for _, finding := range r.Findings {
		fmt.Fprintf(&b, "note     %s\n", finding)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// WriteEventReport writes a proof as text that can be followed by hand.
func WriteEventReport(w io.Writer, r EventReport) error {
	var b strings.Builder
	fmt.Fprintf(&b, "event       %s\n", r.ID)
	fmt.Fprintf(&b, "what        %s in %s, revision %d, recorded %s as @%d\n", r.Type, r.Stream, r.Revision, precise(r.RecordedAt), r.Sequence)
	fmt.Fprintf(&b, "data        SHA-256 %s\n", r.DataHash)
	fmt.Fprintf(&b, "metadata    SHA-256 %s\n", r.MetadataHash)
	fmt.Fprintf(&b, "leaf %-6d %s\n", r.Index, r.Leaf)
	for i, s := range r.Steps {
		fmt.Fprintf(&b, "level %-5d with %s on the %-5s gives %s\n", i+1, s.With, s.Side, s.Gives)
	}
	fmt.Fprintf(&b, "root        %s of %d records\n", r.Root, r.Size)
	own := "the log's word for it"
	if r.KeysPinned {
		own = "your own copy"
	}
	fmt.Fprintf(&b, "signed      %s by key epoch %d (%s), checkpoint %d\n", precise(r.SignedAt), r.Epoch, own, r.Checkpoint)
	b.WriteString("verdict     the event is in the log, unchanged\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write proof: %w", err)
	}
	return nil
}
