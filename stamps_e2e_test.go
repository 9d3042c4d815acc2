package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/api/timestamp/timestamptest"
	"github.com/authledger/authledger/eventstore/sealer"
)

// stampedAlready reports whether the log says so; the product goes on.
func stampedAlready(t *testing.T, data string) bool {
	t.Helper()
	r, err := sealer.OpenReader(data)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for p, err := range r.From(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Stamps) > 0 {
			return true
		}
	}
	return false
}

// The product has its log stamped by an authority it can reach, a verification
// names the stamp, and no other authority passes for that one.
func TestEndToEndCheckpointIsTimeStamped(t *testing.T) {
	t.Parallel()
	authority := timestamptest.New(t)
	url, ca := authority.Serve(), authority.RootFile()
	data := filepath.Join(t.TempDir(), "data")
	p := start(t, data, "--tsa-url", url, "--tsa-ca", ca)
	p.post("frontend", "/v1/clients", gen.RegisterClientRequest{
		Reference: "C-1", Kind: "individual", CarryingEntity: "IB-HK", CarryingCountry: "HK",
	}, nil)
	p.until("a checkpoint is time-stamped", func() bool { return stampedAlready(t, data) })
	p.stop()

	out, err := p.run("verify", "log", "--data", data, "--tsa-ca", ca, "--progress", "none")
	if want := "1 verified, 0 not checked; the newest by " + url + " at "; err != nil || !strings.Contains(out, want) {
		t.Errorf("verification: %v\n%swant %q", err, out, want)
	}
	out, err = p.run("verify", "log", "--data", data, "--tsa-ca", timestamptest.New(t).RootFile(), "--progress", "none")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitVerify || !strings.Contains(out, "time stamp of "+url) {
		t.Errorf("with the root of another authority: %v\n%swant exit code %d and that the time stamp fails", err, out, exitVerify)
	}
	if asked := authority.Asked(); asked != 1 {
		t.Errorf("the authority was asked %d times in a day, want once", asked)
	}
}

func TestStampFlags(t *testing.T) {
	t.Parallel()
	ca := timestamptest.New(t).RootFile()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const url = "https://tsa.example/tsr"
	for name, f := range map[string]serveFlags{
		"no root":                {tsaURL: url},
		"no address":             {tsaCA: ca},
		"a root that is missing": {tsaURL: url, tsaCA: ca + ".not"},
		"a root that is none":    {tsaURL: url, tsaCA: empty},
		"a password":             {tsaURL: "https://user:word@tsa.example", tsaCA: ca},
	} {
		f.store, f.demo, f.logLevel = "sqlite", true, "info"
		_, err := f.config()
		if exitCode(err) != exitUsage || strings.Contains(err.Error(), "word@") {
			t.Errorf("%s: got %v, want a mistake of usage", name, err)
		}
	}
	f := serveFlags{backendFlags: backendFlags{store: "sqlite"}, demo: true, logLevel: "info", tsaURL: url, tsaCA: ca}
	if c, err := f.config(); err != nil || c.Stamps == nil || c.Stamps.url != url {
		t.Errorf("got %+v, %v", c.Stamps, err)
	}
}
