package domain

import (
	"strings"
	"testing"
)

func TestIdsNameTheirStream(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		aliceID: "user-" + ownKey, "phn_" + ownKey + "_7": "user-" + ownKey, "chl_" + ownKey + "_9223372036854775807": "user-" + ownKey,
	} {
		if got := UserStream(id); got != want {
			t.Errorf("stream of %s is %s, want %s", id, got, want)
		}
		if got := UserOf(id); got != aliceID {
			t.Errorf("user of %s is %s, want %s", id, got, aliceID)
		}
	}
	for _, id := range []string{clientID, iphoneID, "", "usr", "usr_x"} {
		if got := UserOf(id); got != "" {
			t.Errorf("user of %q is %q, want none", id, got)
		}
	}
	if got := ClientStream(clientID); got != "client-"+ownKey {
		t.Errorf("stream of a client is %s", got)
	}
	if got := InstallationStream("garbage"); got != "installation-invalid" {
		t.Errorf("stream of garbage is %s", got)
	}
}

func TestMalformedIdsAreRefused(t *testing.T) {
	t.Parallel()
	for _, id := range []string{
		"", "_", "usr", "usr_", "usr_" + ownKey + "_1", "phn_" + ownKey, "phn_" + ownKey + "_", "phn_" + ownKey + "_0", "phn_" + ownKey + "_01",
		"phn_" + ownKey + "_+1", "phn_" + ownKey + "_-1", "phn_" + ownKey + "_9223372036854775808", "phn_" + ownKey + "_1_2", "abc_" + ownKey + "_1",
		"usr_" + ownKey[1:], "usr_" + ownKey + "0", "usr_" + strings.ToUpper(ownKey), "usr_" + strings.Repeat("w", 26), "usr_" + strings.Repeat("ä", 13),
		" usr_" + ownKey, "usr_" + ownKey + "\n", "phn_" + ownKey + "_1 ", "phn_" + ownKey + "_١",
	} {
		if ref, ok := ParseRef(id); ok {
			t.Errorf("%q was taken for %+v", id, ref)
		}
	}
}

// FuzzParseRef: what is accepted is exactly what writing it again gives, and
// always names a stream.
func FuzzParseRef(f *testing.F) {
	for _, seed := range []string{aliceID, clientID, iphoneID, "chl_" + ownKey + "_12", "phn_" + ownKey + "_0", "usr__", "psh_" + otherKey + "_1_1", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		ref, ok := ParseRef(id)
		if !ok {
			if ref != (Ref{}) || UserOf(id) != "" {
				t.Fatalf("%q was refused and yet gave %+v, %q", id, ref, UserOf(id))
			}
			return
		}
		again := ref.Prefix + "_" + ref.Key
		if ref.N > 0 {
			again = (&User{ID: UserID(ref.Key)}).ref(ref.Prefix, ref.N)
		}
		if again != id {
			t.Fatalf("%q reads as %+v and is written %q", id, ref, again)
		}
		if !IsID(id, ref.Prefix) || NewState(UserStream(id)) == nil {
			t.Fatalf("%q was accepted and does not name a stream", id)
		}
	})
}
