package codec

import (
	"testing"

	"github.com/authledger/authledger/domain"
)

// The derivation is part of the record: these ids stand in stored streams.
func TestDerivedIDsAreFrozen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, prefix, want string }{
		{UserIDOf("U-1"), domain.PrefixUser, "usr_"},
		{ClientIDOf("U-1"), domain.PrefixClient, "clt_"},
		{InstallationIDOf([]byte("U-1")), domain.PrefixInstallation, "ins_"},
		{DeviceIDOf("M", "U-1"), domain.PrefixDevice, "dev_"},
	} {
		if !domain.IsID(c.got, c.prefix) || c.got[:4] != c.want {
			t.Errorf("%s is not an id with prefix %s", c.got, c.prefix)
		}
	}
	if UserIDOf("U-1") == UserIDOf("U-2") || UserIDOf("U-1")[4:] == ClientIDOf("U-1")[4:] {
		t.Error("different names share a key")
	}
	if got, want := UserIDOf("U-1"), "usr_56jpucddrpd13e0jqkpqpjfg7s"; got != want {
		t.Errorf("UserIDOf(U-1) = %s, want %s as ever", got, want)
	}
	if got, want := DeviceIDOf("Simulated", "SIM-0000001"), "dev_5slqrbbg398399l2o30am22e74"; got != want {
		t.Errorf("DeviceIDOf(Simulated, SIM-0000001) = %s, want %s as ever", got, want)
	}
	if DeviceIDOf("AB", "C") == DeviceIDOf("A", "BC") {
		t.Error("where the manufacturer ends does not matter")
	}
}
