package replay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"time"
)

// Format of an answer.
type Format string

// Formats. Table is the zero value. All are UTF-8 without colours; columns and
// members keep their order from one release to the next.
const (
	Table     Format = ""
	JSON      Format = "json"
	JSONLines Format = "jsonl"
)

// ParseFormat reads table, json or jsonl; anything else is ErrUsage.
func ParseFormat(text string) (Format, error) {
	switch text {
	case "table":
		return Table, nil
	case string(JSON), string(JSONLines):
		return Format(text), nil
	}
	return "", fmt.Errorf("%w: output %q: want table, json or jsonl", ErrUsage, text)
}

// WriteJSON writes the result as one indented object and a line feed.
func WriteJSON(w io.Writer, r Result) error { return encode(w, r, "  ") }

// write answers with one object in a format.
func write[T any](w io.Writer, f Format, v T, asTable func(io.Writer, T) error) error {
	switch f {
	case JSON:
		return encode(w, v, "  ")
	case JSONLines:
		return encode(w, v, "")
	}
	return asTable(w, v)
}

func encode(w io.Writer, v any, indent string) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// WriteTimeline writes entries as they come and returns how many. When the
// entries end with an error, what came before it is written and a JSON array
// is left open, so that nobody takes a part for the whole.
func WriteTimeline(w io.Writer, f Format, entries iter.Seq2[Entry, error]) (int, error) {
	out := bufio.NewWriter(w)
	n, err := writeEntries(out, f, entries)
	if flushed := out.Flush(); err == nil && flushed != nil {
		err = fmt.Errorf("write timeline: %w", flushed)
	}
	return n, err
}

func writeEntries(out *bufio.Writer, f Format, entries iter.Seq2[Entry, error]) (int, error) {
	n := 0
	if _, err := out.WriteString(f.head()); err != nil {
		return n, fmt.Errorf("write timeline: %w", err)
	}
	for e, err := range entries {
		if err != nil {
			return n, err
		}
		text, err := f.line(e, n == 0)
		if err == nil {
			_, err = out.Write(text)
		}
		if err != nil {
			return n, fmt.Errorf("write timeline: @%d: %w", e.Sequence, err)
		}
		n++
	}
	if f == JSON {
		if _, err := out.WriteString("\n]\n"); err != nil {
			return n, fmt.Errorf("write timeline: %w", err)
		}
	}
	return n, nil
}

// columns have fixed widths but for the last: a timeline is printed as it is
// read, before the widest cell is known.
const columns = "%-24s  %9s  %-28s  %-28s  %s\n"

func (f Format) head() string {
	switch f {
	case JSON:
		return "["
	case JSONLines:
		return ""
	}
	return fmt.Sprintf(columns, "RECORDED", "SEQUENCE", "EVENT", "ACTOR", "WHAT HAPPENED")
}

func (f Format) line(e Entry, first bool) ([]byte, error) {
	if f == Table {
		return fmt.Appendf(nil, columns, millis(e.RecordedAt), fmt.Sprintf("@%d", e.Sequence), e.Type, actor(e), e.Summary), nil
	}
	var b bytes.Buffer
	if f == JSON && !first {
		b.WriteByte(',')
	}
	if f == JSON {
		b.WriteByte('\n')
	}
	if err := encode(&b, e, ""); err != nil {
		return nil, err
	}
	if f == JSON {
		b.Truncate(b.Len() - 1) // the line feed; a comma or the end follows
	}
	return b.Bytes(), nil
}

func actor(e Entry) string { return printable(string(e.Actor.Kind) + "/" + e.Actor.Ref) }

// millis is a moment in UTC to the millisecond, as RFC 3339.
func millis(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
