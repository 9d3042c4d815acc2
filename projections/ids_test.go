package projections

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/authledger/authledger/domain"
)

func TestPackedIDsComeBackTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.OneOf(
			rapid.String(),
			rapid.StringMatching(`(usr|clt|ins|phn|sms|chl|txn|ntf|cal|mig|uni|rec|req|shr|dlv|dev|ers|hld|rvl|foo)_[0-9a-v]{26}(_[0-9]{1,21})?`),
			rapid.StringMatching(`[a-z]{3}_[0-9a-w]{24,27}(_?[0-9a]{1,3})?`),
		).Draw(t, "id")
		// A text whose first byte is a code cannot be an id: stream names and
		// ids are visible text.
		if id != "" && id[0] < ' ' {
			t.Skip("not visible text")
		}
		if got := unpackID(packID(id)); got != id {
			t.Fatalf("%q came back as %q", id, got)
		}
	})
}

func TestIDsOfTheDomainArePacked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id       string
		length   int
		timeline bool
	}{
		{user(7), 17, true},
		{client(7), 17, true},
		{installation(7), 17, true},
		{"phn_" + key(7) + "_1", 18, true},
		{"txn_" + key(7) + "_300", 19, true},
		{"chl_" + key(7) + "_2", 18, false},
		{"aut_" + key(7) + "_2", 18, false},
		{"cal_" + key(7) + "_2", 18, false},
		{"dlv_" + key(7) + "_2", 18, false},
		{unit(7), 17, true},
		{"enr_" + key(7) + "_2", 18, true},
		{"mig_" + key(7) + "_2", 18, true},
		{"uni_" + key(7) + "_2", 18, true},
		{"rec_" + key(7) + "_2", 18, true},
		{"req_" + key(7) + "_2", 18, true},
		{"shr_" + key(7) + "_200", 19, true},
		{"policy-rules", 12, false},
		{"audit-2026-03", 13, false},
		{"usr_" + strings.Repeat("v", 26), 30, false}, // stray low bits: kept as text
	} {
		packed := packID(c.id)
		if len(packed) != c.length || hasTimeline(packed) != c.timeline {
			t.Errorf("%s: %d bytes, timeline %t; want %d, %t", c.id, len(packed), hasTimeline(packed), c.length, c.timeline)
		}
	}
}

func TestStreamNamesComeBackTheSame(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{
		domain.UserStream(user(1)), domain.ClientStream(client(1)), domain.InstallationStream(installation(1)),
		domain.DeviceStream(unit(1)), domain.PolicyStream(), "audit-2026-03", "user-bogus", "device-bogus",
	} {
		if got := streamName(streamOwner(stream)); got != stream {
			t.Errorf("%s came back as %s", stream, got)
		}
	}
}
