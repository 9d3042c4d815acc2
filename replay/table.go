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
	return table(w, func(row func(...string)) {
		row("User", r.UserID)
		writePoint(row, r.AsOf, r.Point, r.KnownAt)
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
	})
}

// writePoint says which moment is looked at, and by when it was known.
func writePoint(row func(...string), at time.Time, point, known string) {
	moment := at.UTC().Format("2006-01-02T15:04:05.000000Z")
	if strings.HasPrefix(point, "@") {
		moment += " (when " + point + " occurred)"
	}
	row("At", moment)
	switch known {
	case "":
	case "newest":
		row("Known", "everything recorded")
	default:
		row("Known", "what was recorded by "+known)
	}
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
	writePrivacy(row, s)

	row()
	row("PHONES", "COUNTRY", "LINE", "STATUS", "VERIFIED")
	for _, p := range s.Phones {
		row(p.PhoneID, p.CC, string(p.Line), p.Status, perhaps(p.VerifiedAt))
	}
	row()
	row("AUTHENTICATORS", "KIND", "RANK", "STATUS", "RESTRICTED", "ANSWERS ON", "ENROLLED", "EXPIRES")
	for _, a := range s.Authenticators {
		row(a.AuthenticatorID, string(a.Kind), strconv.Itoa(a.Rank), statusOf(a), yesNo(a.Restricted), answersOn(a), millis(a.EnrolledAt), expires(a))
	}
	row()
	row("OPEN PROCESSES", "PROCESS", "STEP", "PROOF", "ON", "EXPIRES")
	for _, p := range s.Processes {
		until := ""
		if !p.ExpiresAt.IsZero() {
			until = millis(p.ExpiresAt)
		}
		row(p.ID, p.Process, p.Step, p.Proof, p.InstallationID+p.DeviceID, until)
	}
	row()
	row("OPEN TRANSACTIONS", "PURPOSE", "PLATFORM", "CHALLENGE", "MODE", "EXPIRES")
	for _, t := range s.Transactions {
		row(t.TxnID, string(t.Purpose), string(t.Platform), t.ChallengeID, string(t.Mode), millis(t.ExpiresAt))
	}
}

// writePrivacy says what became of the personal data; nothing, of most users.
func writePrivacy(row func(...string), s domain.Snapshot) {
	switch {
	case s.Erased:
		row("Personal data", "destroyed")
	case s.RestrictedUntil != nil:
		row("Personal data", "locked away until "+millis(*s.RestrictedUntil))
	case s.Restricted:
		row("Personal data", "locked away while a legal hold is in force")
	}
	for _, h := range s.Holds {
		asked := ""
		if h.RequestedBy != "" {
			asked = ", release requested by " + h.RequestedBy
		}
		row("Legal hold", h.HoldID+" for "+h.CaseRef+" since "+millis(h.PlacedAt)+asked)
	}
}

// statusOf says whether an authenticator answers, and why not.
func statusOf(a domain.AuthenticatorSnapshot) string {
	s := a.Status
	if a.Suspended != "" {
		s += ": " + a.Suspended
		if a.SuspendedAt != nil {
			s += " since " + millis(*a.SuspendedAt)
		}
	}
	return s
}

// answersOn is the app, unit or phone an authenticator lives on.
func answersOn(a domain.AuthenticatorSnapshot) string {
	on := a.InstallationID + a.DeviceID + a.PhoneID // never more than one of them
	if a.Shared {
		on += " (shared)"
	}
	return on
}

func expires(a domain.AuthenticatorSnapshot) string {
	s := perhaps(a.ExpiresAt)
	if a.FullUntil != nil {
		s += " (full scope until " + millis(*a.FullUntil) + ")"
	}
	return s
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
