package timestamp_test

import (
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authledger/authledger/api/timestamp"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/merkle/merkletest"
)

// openssl is the program's path. A machine without it skips, loudly, unless
// AUTHLEDGER_REQUIRE_OPENSSL is 1.
func openssl(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err == nil {
		return path
	}
	if os.Getenv("AUTHLEDGER_REQUIRE_OPENSSL") == "1" {
		t.Fatal("no openssl found, and AUTHLEDGER_REQUIRE_OPENSSL=1")
	}
	t.Skip("=== NO openssl FOUND: TIME STAMPS ARE NOT CHECKED AGAINST ANOTHER PROGRAM; install it (Debian: sudo apt-get install openssl) ===")
	return ""
}

// desk is a folder in which openssl works.
type desk struct {
	t       *testing.T
	dir     string
	program string
}

// sslConfig makes a root, an authority below it, and says how that stamps.
const sslConfig = `
[req]
distinguished_name = name
prompt = no
[name]
CN = test
[root]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
[stamps]
basicConstraints = CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = local
[local]
serial = serial
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256
signer_digest = sha256
accuracy = secs:1
`

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, dir: t.TempDir(), program: openssl(t)}
	d.write("ssl.cnf", sslConfig)
	d.write("serial", "01\n")
	d.must("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
		"-days", "3650", "-subj", "/CN=openssl root", "-config", "ssl.cnf", "-extensions", "root")
	d.must("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=openssl authority", "-config", "ssl.cnf")
	d.must("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "2", "-out", "tsa.pem",
		"-days", "365", "-extfile", "ssl.cnf", "-extensions", "stamps")
	return d
}

func (d *desk) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) read(name string) []byte {
	d.t.Helper()
	b, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

func (d *desk) run(args ...string) (string, error) {
	cmd := exec.Command(d.program, args...)
	cmd.Dir = d.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (d *desk) must(args ...string) {
	d.t.Helper()
	if out, err := d.run(args...); err != nil {
		d.t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
}

// ServeHTTP is openssl ts -reply behind HTTP, for one request at a time.
func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query, err := io.ReadAll(r.Body)
	if err == nil {
		err = os.WriteFile(filepath.Join(d.dir, "query.tsq"), query, 0o600)
	}
	if err == nil {
		out, failed := d.run("ts", "-reply", "-config", "ssl.cnf", "-section", "local", "-queryfile", "query.tsq",
			"-signer", "tsa.pem", "-inkey", "tsa.key", "-out", "reply.tsr")
		if failed != nil {
			err = errors.New(out)
		}
	}
	var reply []byte
	if err == nil {
		reply, err = os.ReadFile(filepath.Join(d.dir, "reply.tsr"))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	_, _ = w.Write(reply) // the client sees a short answer
}

// OpenSSL stamps, we check; we keep, OpenSSL checks.
func TestOpenSSLAgrees(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	s := httptest.NewServer(d)
	t.Cleanup(s.Close)
	roots, err := timestamp.ReadRoots(d.read("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c := &timestamp.Client{URL: s.URL, Roots: roots, HTTP: &http.Client{Transport: transport}}
	token, at, err := c.Stamp(t.Context(), signed)
	if err != nil {
		t.Fatal(err)
	}
	if checked, err := timestamp.Check(token, signed, roots); err != nil || !checked.Equal(at) {
		t.Errorf("checked %s, %v; want %s", checked, err, at)
	}
	d.write("checkpoint.txt", string(signed))
	d.write("kept.tsr", string(token))
	verify := []string{"ts", "-verify", "-data", "checkpoint.txt", "-in", "kept.tsr", "-CAfile", "ca.pem"}
	d.must(verify...)

	d.write("checkpoint.txt", string(signed)+"x")
	if out, err := d.run(verify...); err == nil {
		t.Errorf("openssl accepts another text: %s", out)
	}
	wantRefused(t, "another text", token, append(signed[:len(signed):len(signed)], 'x'), roots)
	for i := range token {
		token[i] ^= 1
		if _, err := timestamp.Check(token, signed, roots); err == nil {
			t.Errorf("byte %d of %d is changed and not noticed", i, len(token))
		}
		token[i] ^= 1
	}
}

// What the simulated authority of the other tests signs is a time stamp for
// OpenSSL, too.
func TestOpenSSLVerifiesTheTestAuthority(t *testing.T) {
	t.Parallel()
	d := &desk{t: t, dir: t.TempDir(), program: openssl(t)}
	a := authority(t)
	d.write("kept.tsr", string(stamp(t, a)))
	d.write("checkpoint.txt", string(signed))
	d.must("ts", "-verify", "-data", "checkpoint.txt", "-in", "kept.tsr", "-CAfile", a.RootFile())
}

// The commands of docs/timestamps.md, on a checkpoint that a witness cosigned.
func TestCheckByHandAsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/timestamps.md")
	if err != nil {
		t.Fatal(err)
	}
	_, commands, found := strings.Cut(string(text), "```sh\n")
	commands, _, closed := strings.Cut(commands, "```")
	if !found || !closed {
		t.Fatal("docs/timestamps.md shows no commands")
	}
	c := merkle.Checkpoint{Origin: origin, Root: merkle.EmptyRoot()}
	log, err := c.Sign(noon, merkletest.Signer(1))
	if err != nil {
		t.Fatal(err)
	}
	line, err := merkle.Cosign(log, "witness.example", merkletest.Signer(2), noon)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, dir: t.TempDir(), program: openssl(t)}
	a := authority(t)
	token, _, err := client(t, a).Stamp(t.Context(), log)
	if err == nil {
		err = os.Mkdir(filepath.Join(d.dir, "timestamps"), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.write("timestamps/1.tsr", string(token))
	d.write("checkpoint.txt", string(merkle.AddLines(log, line)))
	d.write("tsa-root.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.CA.Raw})))
	cmd := exec.Command("sh", "-e", "-c", commands)
	cmd.Dir = d.dir
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Verification: OK") || !strings.Contains(string(out), "Mar  4 12:00:00 2026 GMT") {
		t.Errorf("the commands say %v\n%s", err, out)
	}
}
