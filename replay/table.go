package replay

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/authledger/authledger/domain"
)

// WriteTable writes the result for people: the state, then the events that
// set each part of it. Times are UTC.
func WriteTable(w io.Writer, r Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := rows(t)
	row("User", r.UserID)
	row("At", r.AsOf.UTC().Format("2006-01-02T15:04:05.000000Z")+askedFor(r))
	if r.Last == nil {
		row("Applied", "no events")
	} else {
		row("Applied", plural(int64(r.Events), "event")+", the last "+fmt.Sprintf("@%d %s", r.Last.Sequence, r.Last.Type)+", recorded "+millis(r.Last.RecordedAt))
	}
	if r.State == nil {
		row("Status", "not registered yet")
	} else {
		writeState(row, *r.State)
	}
	writeParts(row, r.Parts)
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

func askedFor(r Result) string {
	if !strings.HasPrefix(r.Point, "@") {
		return ""
	}
	return " (when " + r.Point + " occurred)"
}

// rows writes one row of cells; a row without cells is blank and begins a new
// table. The tab writer keeps errors for its Flush.
func rows(t *tabwriter.Writer) func(cells ...string) {
	return func(cells ...string) {
		for i, c := range cells {
			cells[i] = printable(c)
			if c == "" {
				cells[i] = "-"
			}
		}
		_, _ = io.WriteString(t, strings.Join(cells, "\t")+"\n")
	}
}

func writeState(row func(...string), s domain.Snapshot) {
	status := "open"
	if s.Closed {
		status = "closed"
	}
	row("Status", status)
	row("Client", s.ClientID+" ("+string(s.Role)+")")
	row("Locale", s.Locale)
	row("Residence", s.Residence)
	locked := "no"
	if s.Locked {
		locked = "until " + millis(*s.LockedUntil)
	}
	row("Locked", locked)
	row("Failures", strconv.Itoa(s.FailureCount))
	row("Push approval", onOff(s.Seamless))
	row("Opted out", optedOut(s.OptOut))

	row()
	row("PHONES", "COUNTRY", "LINE", "STATUS", "VERIFIED")
	for _, p := range s.Phones {
		row(p.PhoneID, p.CC, string(p.Line), p.Status, perhaps(p.VerifiedAt))
	}
	row()
	row("AUTHENTICATORS", "KIND", "RANK", "RESTRICTED", "ANSWERS ON", "ENROLLED")
	for _, a := range s.Authenticators {
		on := a.InstallationID
		if on == "" {
			on = a.PhoneID
		}
		row(a.AuthenticatorID, string(a.Kind), strconv.Itoa(a.Rank), yesNo(a.Restricted), on, millis(a.EnrolledAt))
	}
	row()
	row("OPEN TRANSACTIONS", "PURPOSE", "PLATFORM", "CHALLENGE", "MODE", "EXPIRES")
	for _, t := range s.Transactions {
		row(t.TxnID, string(t.Purpose), string(t.Platform), t.ChallengeID, string(t.Mode), millis(t.ExpiresAt))
	}
}

func writeParts(row func(...string), parts []Part) {
	if len(parts) == 0 {
		return
	}
	row()
	row("SET BY", "SEQUENCE", "RECORDED", "EVENT ID", "PART")
	for _, p := range parts {
		for _, e := range p.Events {
			row(e.Type, fmt.Sprintf("@%d", e.Sequence), millis(e.RecordedAt), e.EventID, strings.TrimSpace(p.Name+" "+p.ID))
		}
	}
}

func optedOut(o *domain.OptOutSnapshot) string {
	if o == nil {
		return "no"
	}
	s := "since " + millis(o.GrantedAt) + " by rule " + o.RuleID
	if o.EndsAt != nil {
		s += ", until " + millis(*o.EndsAt)
	}
	return s + " (" + o.OptOutID + ")"
}

func perhaps(t *time.Time) string {
	if t == nil {
		return ""
	}
	return millis(*t)
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
