package main

import (
	"bufio"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/oasdiff/yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// What deploy/ and the runbook tell an operator to run cannot be run here. These
// tests hold what it says against the program.

// composeFile is the part of deploy/compose.yaml that is checked.
type composeFile struct {
	Services map[string]composeService `json:"services"`
	Volumes  map[string]any            `json:"volumes"`
	Networks map[string]struct {
		IPAM struct {
			Config []struct {
				Subnet string `json:"subnet"`
			} `json:"config"`
		} `json:"ipam"`
	} `json:"networks"`
}

type composeService struct {
	Image       string            `json:"image"`
	Command     []string          `json:"command"`
	Environment map[string]string `json:"environment"`
	Volumes     []string          `json:"volumes"`
	Profiles    []string          `json:"profiles"`
	Hostname    string            `json:"hostname"`
	DependsOn   any               `json:"depends_on"`
	Networks    any               `json:"networks"`
	Build       struct {
		Context    string `json:"context"`
		Dockerfile string `json:"dockerfile"`
	} `json:"build"`
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	var c composeFile
	readYAML(t, "deploy/compose.yaml", &c)
	return c
}

func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	if _, err := yaml.Unmarshal([]byte(readFile(t, name)), into, yaml.DecodeOpts{}); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestComposeHasACluster(t *testing.T) {
	c := readCompose(t)
	want := []string{"certs", "db1", "db2", "db3", "lb", "node1", "node2", "node3", "prepare", "users"}
	if got := slices.Sorted(maps.Keys(c.Services)); !slices.Equal(got, want) {
		t.Fatalf("services %v, want %v", got, want)
	}
	for i := 1; i <= 3; i++ {
		db, node := c.Services[fmt.Sprintf("db%d", i)], c.Services[fmt.Sprintf("node%d", i)]
		checkDatabase(t, i, db)
		if node.Hostname != fmt.Sprintf("node%d", i) {
			t.Errorf("node%d has hostname %q: certificates of erasure name the node by it", i, node.Hostname)
		}
		if !strings.HasPrefix(readFile(t, filepath.Join("deploy", node.Build.Context, node.Build.Dockerfile)), "# ") {
			t.Errorf("node%d is built from an empty file", i)
		}
		if !slices.Contains(c.Services["lb"].DependsOn.([]any), any(fmt.Sprintf("node%d", i))) {
			t.Errorf("the load balancer does not wait for node%d", i)
		}
	}
	for name, s := range c.Services {
		if s.Image == "" || strings.HasSuffix(s.Image, ":latest") {
			t.Errorf("%s: image %q is not pinned", name, s.Image)
		}
	}
}

// checkDatabase looks at one database node: its peers, its names, its files.
func checkDatabase(t *testing.T, i int, db composeService) {
	t.Helper()
	name := fmt.Sprintf("db%d", i)
	var seeds []string
	for other := 1; other <= 3; other++ {
		if other != i {
			seeds = append(seeds, fmt.Sprintf("db%d:2113", other))
		}
	}
	want := map[string]string{
		"KURRENTDB_CLUSTER_SIZE": "3", "KURRENTDB_GOSSIP_SEED": strings.Join(seeds, ","),
		"KURRENTDB_NODE_HOST_ADVERTISE_AS": name, "KURRENTDB_REPLICATION_HOST_ADVERTISE_AS": name,
	}
	for key, value := range want {
		if db.Environment[key] != value {
			t.Errorf("%s: %s is %q, want %q", name, key, db.Environment[key], value)
		}
	}
	for _, key := range []string{"KURRENTDB_CERTIFICATE_FILE", "KURRENTDB_CERTIFICATE_PRIVATE_KEY_FILE", "KURRENTDB_TRUSTED_ROOT_CERTIFICATES_PATH"} {
		if source := mounted(db, db.Environment[key]); source == "" {
			t.Errorf("%s: nothing is mounted at %s, %q", name, key, db.Environment[key])
		}
	}
	if source := mounted(db, "/certs/node/node.key"); source != "./certs/"+name+"/node.key" {
		t.Errorf("%s has the key %s", name, source)
	}
}

// mounted says which path of the host a path in a container is; empty when
// nothing is mounted there.
func mounted(s composeService, inside string) string {
	for _, v := range s.Volumes {
		source, rest, _ := strings.Cut(v, ":")
		target, _, _ := strings.Cut(rest, ":")
		if inside == target || strings.HasPrefix(inside, target+"/") {
			return source + strings.TrimPrefix(inside, target)
		}
	}
	return ""
}

// TestComposeRunsTheProgram checks commands, flags given in the environment and
// the files they name.
func TestComposeRunsTheProgram(t *testing.T) {
	c := readCompose(t)
	own := 0
	for name, s := range c.Services {
		if s.Image != "authledger" {
			continue
		}
		own++
		command := s.Command
		if len(command) == 0 {
			command = imageCommand(t)
		}
		cmd := checkCommand(t, "compose "+name, command)
		for key, value := range s.Environment {
			checkEnvironment(t, "compose "+name, cmd, key)
			if strings.HasSuffix(key, "_FILE") && !strings.HasPrefix(mounted(s, value), "./secrets/node/") {
				t.Errorf("%s: %s names %s, which is none of the secrets", name, key, value)
			}
			if strings.HasPrefix(value, "esdb://") {
				checkStoreURL(t, name, s, value)
			}
		}
		if name != "prepare" && mounted(s, s.Environment["AUTHLEDGER_DATA"]) != name {
			t.Errorf("%s shares its data directory, %q", name, mounted(s, s.Environment["AUTHLEDGER_DATA"]))
		}
		if _, ok := c.Volumes[name]; name != "prepare" && !ok {
			t.Errorf("%s has no volume", name)
		}
	}
	if own != 4 {
		t.Errorf("%d services run the program, want three nodes and prepare", own)
	}
}

// imageCommand is what a container of the image runs.
func imageCommand(t *testing.T) []string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^CMD (\[.*\])$`).FindStringSubmatch(readFile(t, "deploy/Dockerfile"))
	var args []string
	if len(found) != 2 || json.Unmarshal([]byte(found[1]), &args) != nil {
		t.Fatal("deploy/Dockerfile has no CMD that is a list")
	}
	return args
}

// checkStoreURL opens a connection string as the program does, without
// connecting, with a certificate in the place of the one that is named.
func checkStoreURL(t *testing.T, name string, s composeService, url string) {
	t.Helper()
	_, file, ok := strings.Cut(url, "tlsCaFile=")
	if !ok || !strings.HasPrefix(mounted(s, file), "./certs/trusted/") {
		t.Errorf("%s: %s does not trust the authority of the service certs", name, esdbstore.Redacted(url))
		return
	}
	url = strings.Replace(url, file, certificate(t), 1)
	url = regexp.MustCompile(`\$\{[A-Z_]+:\?\}`).ReplaceAllString(url, "secret")
	sides, err := esdbstore.OpenSides(esdbstore.Options{URL: url})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if err := sides.Close(); err != nil {
		t.Error(err)
	}
}

// TestComposeAsksForEverything checks that what compose.yaml takes from .env is
// in env.example, and the other way round.
func TestComposeAsksForEverything(t *testing.T) {
	var asked, offered []string
	for _, m := range regexp.MustCompile(`\$\{([A-Z_]+):\?\}`).FindAllStringSubmatch(readFile(t, "deploy/compose.yaml"), -1) {
		asked = append(asked, m[1])
	}
	for _, m := range regexp.MustCompile(`(?m)^([A-Z_]+)=`).FindAllStringSubmatch(readFile(t, "deploy/env.example"), -1) {
		offered = append(offered, m[1])
	}
	slices.Sort(asked)
	slices.Sort(offered)
	if asked = slices.Compact(asked); len(asked) == 0 || !slices.Equal(asked, offered) {
		t.Errorf("compose.yaml asks for %v, env.example offers %v", asked, offered)
	}
}

// TestLoadBalancer checks that haproxy.cfg knows all nodes, asks them the right
// thing, and is the proxy they trust.
func TestLoadBalancer(t *testing.T) {
	c, config := readCompose(t), readFile(t, "deploy/haproxy.cfg")
	for _, name := range []string{"node1", "node2", "node3"} {
		node := c.Services[name]
		_, port, _ := strings.Cut(node.Environment["AUTHLEDGER_LISTEN"], ":")
		for _, line := range []string{
			fmt.Sprintf("server %s %[1]s:%s\n", name, port),
			fmt.Sprintf("server %s %[1]s:%s track api/%[1]s cookie %[1]s\n", name, port),
		} {
			if strings.Count(config, line) != 1 {
				t.Errorf("haproxy.cfg does not have once: %s", line)
			}
		}
		lb, _ := c.Services["lb"].Networks.(map[string]any)["ledger"].(map[string]any)
		if trusted := fmt.Sprint(lb["ipv4_address"], "/32"); node.Environment["AUTHLEDGER_TRUSTED_PROXIES"] != trusted {
			t.Errorf("%s trusts %s, the load balancer is %s", name, node.Environment["AUTHLEDGER_TRUSTED_PROXIES"], trusted)
		}
	}
	uri := regexp.MustCompile(`http-check send meth GET uri (\S+)`).FindStringSubmatch(config)
	if len(uri) != 2 || !strings.Contains(readFile(t, "api/openapi.yaml"), "\n  "+uri[1]+":\n") {
		t.Errorf("the health check asks for %v, which the interface does not have", uri)
	}
	for _, m := range regexp.MustCompile(` crt (\S+)`).FindAllStringSubmatch(config, -1) {
		if mounted(c.Services["lb"], m[1]) == "" {
			t.Errorf("the load balancer's certificate %s is not mounted", m[1])
		}
	}
}

// unitKeys are the settings of systemd that the units may use, by section. None
// is newer than version 251, which brought %d.
var unitKeys = map[string]string{
	"Unit": "Description Documentation Wants After StartLimitIntervalSec",
	"Service": `Type ExecStart ExecStartPre Environment EnvironmentFile LoadCredential Restart RestartSec RestartPreventExitStatus
		TimeoutStopSec LimitNOFILE LimitCORE DynamicUser User StateDirectory StateDirectoryMode RuntimeDirectory RuntimeDirectoryMode UMask
		NoNewPrivileges CapabilityBoundingSet ProtectSystem ProtectHome PrivateTmp PrivateDevices ProtectClock ProtectHostname
		ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ProtectControlGroups ProtectProc ProcSubset
		RestrictAddressFamilies RestrictNamespaces RestrictRealtime RestrictSUIDSGID LockPersonality MemoryDenyWriteExecute
		SystemCallArchitectures SystemCallFilter SystemCallErrorNumber MemorySwapMax`,
	"Install": "WantedBy",
}

// setting is one line of a unit.
type setting struct{ section, key, value string }

func readUnit(t *testing.T, name string) []setting {
	t.Helper()
	var list []setting
	section := ""
	lines := bufio.NewScanner(strings.NewReader(readFile(t, name)))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		default:
			key, value, found := strings.Cut(line, "=")
			if !found || !slices.Contains(strings.Fields(unitKeys[section]), key) {
				t.Errorf("%s: [%s] %s is no setting that is known", name, section, line)
			}
			list = append(list, setting{section, key, value})
		}
	}
	return list
}

func TestSystemdUnits(t *testing.T) {
	for name, needs := range map[string][]string{
		"deploy/systemd/authledger.service":             {"AUTHLEDGER_DATA", "AUTHLEDGER_WEBHOOK_SECRET_FILE"},
		"deploy/systemd/authledger.service.d/esdb.conf": {"AUTHLEDGER_DATA", "AUTHLEDGER_KEK_FILE"},
	} {
		var given []string
		made := map[string]bool{} // files that the unit puts in place
		serve, _, err := newRootCommand().Find([]string{"serve"})
		if err != nil {
			t.Fatal(err)
		}
		unit := readUnit(t, name)
		for _, s := range unit {
			switch s.key {
			case "ExecStart":
				serve = checkCommand(t, name, strings.Fields(s.value)[1:])
			case "ExecStartPre":
				fields := strings.Fields(s.value)
				made[fields[len(fields)-1]] = made[fields[len(fields)-2]]
			case "LoadCredential":
				id, _, _ := strings.Cut(s.value, ":")
				made["%d/"+id] = true
			}
		}
		for _, s := range unit {
			if s.key != "Environment" {
				continue
			}
			key, value, _ := strings.Cut(s.value, "=")
			given = append(given, key)
			checkEnvironment(t, name, serve, key)
			if strings.HasSuffix(key, "_FILE") && !made[value] {
				t.Errorf("%s: nothing puts %s in place for %s", name, value, key)
			}
		}
		for _, key := range needs {
			if !slices.Contains(given, key) {
				t.Errorf("%s does not give %s", name, key)
			}
		}
	}
}

// TestEveryNamedVariableIsAFlag looks through all words of deploy/ and the
// runbook.
func TestEveryNamedVariableIsAFlag(t *testing.T) {
	known := map[string]bool{"AUTHLEDGER_NODE": true} // the load balancer's cookie
	walk(newRootCommand(), func(cmd *cobra.Command) {
		for _, f := range flagsOf(cmd) {
			known[variable(f)] = true
		}
	})
	for _, name := range deployed(t) {
		for _, v := range regexp.MustCompile(`AUTHLEDGER_[A-Z_]*[A-Z]`).FindAllString(readFile(t, name), -1) {
			if !known[v] {
				t.Errorf("%s: %s is no flag", name, v)
			}
		}
	}
}

// deployed lists the files of deploy/, and the runbook.
func deployed(t *testing.T) []string {
	t.Helper()
	list := []string{"docs/runbook.md"}
	err := filepath.WalkDir("deploy", func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && (name == "deploy/secrets" || name == "deploy/certs") {
			return fs.SkipDir
		}
		if err == nil && !e.IsDir() && e.Name() != ".env" {
			list = append(list, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestDocsCommands checks every command line of the program that the runbook
// and the page about moving show.
func TestDocsCommands(t *testing.T) {
	for name, least := range map[string]int{"docs/runbook.md": 6, "docs/moving.md": 3} {
		lines := commandLines(readFile(t, name))
		if len(lines) < least {
			t.Errorf("%s shows %d commands, want at least %d: were they found?", name, len(lines), least)
		}
		for _, line := range lines {
			cmd := checkCommand(t, name, line)
			// The runbook gives the store in the environment, which a command without
			// that flag would refuse, if it has a data directory.
			if name == "docs/runbook.md" && slices.Contains(flagsOf(cmd), "data") && !slices.Contains(flagsOf(cmd), "store") {
				t.Errorf("%s: authledger %s does not know AUTHLEDGER_STORE", name, strings.Join(line, " "))
			}
		}
	}
}

// commandLines are the arguments of the program where it is run in a block of a
// page: one that is fenced, or indented. Lines that end in a backslash go on.
func commandLines(page string) [][]string {
	var lines [][]string
	fenced, part := false, ""
	for _, line := range strings.Split(page, "\n") {
		text := strings.TrimSpace(line)
		if strings.HasPrefix(text, "```") {
			fenced = !fenced
			continue
		}
		if !fenced && !strings.HasPrefix(line, "    ") {
			continue
		}
		if part += text; strings.HasSuffix(part, `\`) {
			part = strings.TrimSuffix(part, `\`)
			continue
		}
		if args := commandOf(part); args != nil {
			lines = append(lines, args)
		}
		part = ""
	}
	return lines
}

// commandOf finds the program in a line and returns its arguments, up to a pipe
// or a remark.
func commandOf(line string) []string {
	words := strings.Fields(line)
	at := slices.Index(words, "authledger")
	if at < 0 || at+1 == len(words) || at > 0 && !strings.HasPrefix(line, "systemd-run ") {
		return nil
	}
	args := words[at+1:]
	if end := slices.IndexFunc(args, func(w string) bool { return w == "|" || w == "#" || w == ">" }); end >= 0 {
		args = args[:end]
	}
	return args
}

// checkCommand finds the command that a line runs, and every flag it gives.
func checkCommand(t *testing.T, where string, args []string) *cobra.Command {
	t.Helper()
	root := newRootCommand()
	cmd, rest, err := root.Find(args)
	if err != nil || cmd == root || cmd.HasSubCommands() {
		t.Errorf("%s: authledger %s: there is no such command", where, strings.Join(args, " "))
		return cmd
	}
	flags := flagsOf(cmd)
	for _, word := range rest {
		name, found := strings.CutPrefix(word, "--")
		if name, _, _ = strings.Cut(name, "="); found && !slices.Contains(flags, name) {
			t.Errorf("%s: authledger %s: %s has no flag --%s", where, strings.Join(args, " "), cmd.CommandPath(), name)
		}
	}
	return cmd
}

// checkEnvironment checks that a variable is a flag of the command.
func checkEnvironment(t *testing.T, where string, cmd *cobra.Command, key string) {
	t.Helper()
	if !slices.ContainsFunc(flagsOf(cmd), func(f string) bool { return variable(f) == key }) {
		t.Errorf("%s: %s is no flag of %s", where, key, cmd.CommandPath())
	}
}

// flagsOf names the flags of a command, inherited ones as well.
func flagsOf(cmd *cobra.Command) []string {
	names := []string{"help"}
	for _, set := range []*pflag.FlagSet{cmd.Flags(), cmd.InheritedFlags()} {
		set.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	}
	return names
}

// variable is a flag's name in the environment; see fromEnvironment.
func variable(flag string) string {
	return "AUTHLEDGER_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// walk visits a command and all below it.
func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, c := range cmd.Commands() {
		walk(c, visit)
	}
}

// certificate is the path of a PEM file with a certificate.
func certificate(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestAlarmsExist checks that every metric of the alarms is one that the program
// has, and that the runbook says what to do.
func TestAlarmsExist(t *testing.T) {
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	readYAML(t, "deploy/prometheus-rules.yaml", &file)
	sources, runbook, rules := programText(t), readFile(t, "docs/runbook.md"), 0
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			rules++
			if r.Expr == "" || r.Annotations["summary"] == "" {
				t.Errorf("%s has no expression or no summary", r.Alert)
			}
			for _, metric := range regexp.MustCompile(`authledger_[a-z_]+`).FindAllString(r.Expr, -1) {
				short := strings.TrimPrefix(metric, "authledger_") // as api/witness names its own
				if !strings.Contains(sources, `"`+metric+`"`) && !strings.Contains(sources, `of("`+short+`"`) {
					t.Errorf("%s watches %s, which the program does not have", r.Alert, metric)
				}
			}
			if !strings.Contains(runbook, "`"+r.Alert+"`") {
				t.Errorf("the runbook does not say what to do about %s", r.Alert)
			}
		}
	}
	if rules == 0 {
		t.Error("there are no alarms")
	}
}

// programText is the text of all Go files that are no tests.
func programText(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestRunbookKnowsEveryFinding checks the table of findings.
func TestRunbookKnowsEveryFinding(t *testing.T) {
	runbook := readFile(t, "docs/runbook.md")
	codes := regexp.MustCompile(`(?m)^\t[A-Z]\w+ = "([a-z_]+)"$`).FindAllStringSubmatch(readFile(t, "eventstore/esdbstore/checks.go"), -1)
	if len(codes) < 5 {
		t.Fatalf("found %d codes of findings in the source", len(codes))
	}
	for _, c := range codes {
		if strings.Count(runbook, "\n| `"+c[1]+"` |") != 1 {
			t.Errorf("the runbook does not say once what to do about %s", c[1])
		}
	}
}
