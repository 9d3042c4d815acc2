package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/authledger/authledger/api"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Config says how the product runs. Every flag can also be given in the
// environment as AUTHLEDGER_<FLAG> with underscores; the flag wins.
type Config struct {
	Data           string
	Listen         string
	Backend        backend
	Demo           bool
	DemoClock      time.Time
	WebhookURL     string
	WebhookSecret  string        // from a file; never from a flag or the environment
	ReceiptSecret  string        // from a file
	TransportKey   []byte        // opens manufacturers' seed files; from a file, nil without one
	WitnessPolicy  merkle.Policy // who must cosign checkpoints; zero: nobody
	TrustedProxies []netip.Prefix
	LogOrigin      string     // name of the log in its checkpoints; empty: see sealer.Options
	RebuildProof   bool       // begin the history of checkpoints anew when it is lost
	Limits         api.Limits // zero: the server's own
	Logger         *slog.Logger
	// Stamps is asked to stamp a checkpoint of each day; nil: nobody is.
	Stamps *stampAuthority
}

// usageError is a mistake on the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// serveFlags are the flags as given.
type serveFlags struct {
	backendFlags
	data, listen, demoClock                      string
	webhookURL, webhookSecretFile, receiptSecret string
	transportKeyFile, witnessPolicy              string
	trustedProxies                               []string
	demo                                         bool
	logLevel                                     string
	logOrigin                                    string
	rebuildProof                                 bool
	tsaURL, tsaCA                                string
}

func (f *serveFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.data, "data", "./data", "directory of the ledger, the keyring and the views")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8080", "address to serve HTTP on")
	f.backendFlags.registerServe(flags)
	flags.BoolVar(&f.demo, "demo", false, "demonstration: open console, message inbox, fresh API keys at each start")
	flags.StringVar(&f.demoClock, "demo-clock", "", "with --demo: start the clock at this RFC 3339 time")
	flags.StringVar(&f.webhookURL, "webhook-url", "", "deliver SMS, pushes and notices by signed HTTP POST to this address")
	flags.StringVar(&f.webhookSecretFile, "webhook-secret-file", "", "file with the Standard Webhooks secret that signs deliveries")
	flags.StringVar(&f.receiptSecret, "receipt-secret-file", "", "file with the Standard Webhooks secret that signs providers' receipts")
	flags.StringVar(&f.transportKeyFile, "transport-key-file", "",
		"file with the key (32, 48 or 64 hexadecimal digits) that opens manufacturers' seed files; with --demo one is made in the data directory")
	flags.StringVar(&f.witnessPolicy, "witness-policy", "",
		"file with a C2SP witness policy: which witnesses are asked to cosign checkpoints, and how many must")
	flags.StringSliceVar(&f.trustedProxies, "trusted-proxies", nil, "networks (CIDR) whose X-Forwarded-For is believed")
	flags.StringVar(&f.logOrigin, "log-origin", "", logOriginUsage)
	flags.BoolVar(&f.rebuildProof, "rebuild-proof", false,
		"begin a new history of checkpoints although the ledger has records; only when proof.db is lost for good")
	flags.StringVar(&f.tsaURL, "tsa-url", "", "have a checkpoint of each day time-stamped by the RFC 3161 authority at this address; with --tsa-ca")
	flags.StringVar(&f.tsaCA, "tsa-ca", "", "file with the root certificate (PEM) of that authority; other answers are not kept")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
}

const logOriginUsage = "name of the log, the first line of its checkpoints, such as ledger.broker.example/2fa; the first start fixes it (authledger/<id> if not given)"

func (f *serveFlags) config() (Config, error) {
	c := Config{Data: f.data, Listen: f.listen, Demo: f.demo, WebhookURL: f.webhookURL}
	c.LogOrigin, c.RebuildProof = f.logOrigin, f.rebuildProof
	if err := checkOrigin(f.logOrigin); err != nil {
		return c, err
	}
	var err error
	if c.Backend, err = f.backend(); err != nil {
		return c, err
	}
	if err := c.Backend.needKEK(); err != nil {
		return c, err
	}
	if f.demoClock != "" {
		if !f.demo {
			return c, usage("--demo-clock needs --demo: outside a demonstration the time is the machine's")
		}
		at, err := time.Parse(time.RFC3339, f.demoClock)
		if err != nil {
			return c, usage("--demo-clock: give an RFC 3339 time such as 2018-04-26T16:00:00Z")
		}
		c.DemoClock = at
	}
	if !f.demo && f.webhookURL == "" {
		return c, usage("nothing would deliver messages: give --webhook-url and --webhook-secret-file, or --demo")
	}
	if c.WebhookSecret, err = secretFile("--webhook-secret-file", f.webhookSecretFile, f.webhookURL != ""); err != nil {
		return c, err
	}
	if c.ReceiptSecret, err = secretFile("--receipt-secret-file", f.receiptSecret, false); err != nil {
		return c, err
	}
	if f.transportKeyFile != "" {
		if c.TransportKey, err = transportKey("--transport-key-file", f.transportKeyFile); err != nil {
			return c, err
		}
	}
	if f.witnessPolicy != "" {
		if c.WitnessPolicy, err = witnessPolicy(f.witnessPolicy); err != nil {
			return c, err
		}
	}
	for _, p := range f.trustedProxies {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			return c, usage("--trusted-proxies %q: give networks such as 10.0.0.0/8", p)
		}
		c.TrustedProxies = append(c.TrustedProxies, prefix)
	}
	if c.Stamps, err = readAuthority(f.tsaURL, f.tsaCA); err != nil {
		return c, err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return c, usage("--log-level %q: want debug, info, warn or error", f.logLevel)
	}
	c.Logger = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	return c, nil
}

// checkOrigin accepts a name of the log, and none.
func checkOrigin(origin string) error {
	if origin == "" {
		return nil
	}
	if err := merkle.CheckOrigin(origin); err != nil {
		return usage("--log-origin: %v", err)
	}
	return nil
}

func witnessPolicy(path string) (merkle.Policy, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return merkle.Policy{}, usage("--witness-policy: %v", err)
	}
	p, err := merkle.ParsePolicy(string(text))
	if err != nil {
		return merkle.Policy{}, usage("--witness-policy %s: %v", path, err)
	}
	if p.Empty() {
		return merkle.Policy{}, usage("--witness-policy %s: its quorum asks for nobody; leave the flag out instead", path)
	}
	return p, nil
}

func secretFile(flag, path string, required bool) (string, error) {
	if path == "" {
		if required {
			return "", usage("%s is required with --webhook-url", flag)
		}
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", flag, err)
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" {
		return "", usage("%s: %s is empty", flag, path)
	}
	return secret, nil
}

// fromEnvironment fills flags that were not given from AUTHLEDGER_<FLAG>.
func fromEnvironment(cmd *cobra.Command, _ []string) error {
	failed := checkStoreVariable(cmd)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := "AUTHLEDGER_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, set := os.LookupEnv(name)
		if f.Changed || !set || failed != nil {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			failed = usage("%s: %v", name, err)
		}
	})
	return failed
}
