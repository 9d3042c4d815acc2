package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/authledger/authledger/api/timestamp"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
)

// stampAuthority is who stamps checkpoints, and whom to believe for it.
type stampAuthority struct {
	url   string
	roots *x509.CertPool
}

// readAuthority reads what --tsa-url and --tsa-ca say; nil when neither is given.
func readAuthority(url, ca string) (*stampAuthority, error) {
	if url == "" && ca == "" {
		return nil, nil
	}
	if url == "" || ca == "" {
		return nil, usage("--tsa-url and --tsa-ca belong together: whose time stamps, and by which root they are checked")
	}
	if err := timestamp.CheckURL(url); err != nil {
		return nil, usage("--tsa-url: %v", err)
	}
	roots, err := readStampRoots(ca)
	if err != nil {
		return nil, err
	}
	return &stampAuthority{url: url, roots: roots}, nil
}

func readStampRoots(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usage("--tsa-ca: %v", err)
	}
	roots, err := timestamp.ReadRoots(text)
	if err != nil {
		return nil, usage("--tsa-ca %s: %v", path, err)
	}
	return roots, nil
}

// openStamps prepares to have checkpoints time-stamped.
func (a *App) openStamps(c Config, registry *prometheus.Registry) error {
	if c.Stamps == nil {
		return nil
	}
	a.stamps = timestamp.NewStamper(timestamp.StamperConfig{
		Log: a.stores.sealer, Client: &timestamp.Client{URL: c.Stamps.url, Roots: c.Stamps.roots},
		Clock: a.stores.journal.Now, Logger: c.Logger,
	})
	if err := registry.Register(a.stamps); err != nil {
		return fmt.Errorf("register the metrics of time stamps: %w", err)
	}
	return nil
}

// stampCheck is the --tsa-ca of the commands that verify.
type stampCheck struct{ ca string }

func (s *stampCheck) register(flags *pflag.FlagSet) {
	flags.StringVar(&s.ca, "tsa-ca", "", "file with the root certificate (PEM) of the time stamp authority; without it time stamps are not checked")
}

// check verifies a token over a checkpoint as the log signed it; nil when
// nobody is trusted.
func (s *stampCheck) check() (func(token, signed []byte) (time.Time, error), error) {
	if s.ca == "" {
		return nil, nil
	}
	roots, err := readStampRoots(s.ca)
	if err != nil {
		return nil, err
	}
	return func(token, signed []byte) (time.Time, error) { return timestamp.Check(token, signed, roots) }, nil
}

// logCheck is check as replay.LogCheck asks for it.
func (s *stampCheck) logCheck() (func(signed []byte, stamp merkle.Stamp) (time.Time, error), error) {
	check, err := s.check()
	if check == nil || err != nil {
		return nil, err
	}
	return func(signed []byte, stamp merkle.Stamp) (time.Time, error) { return check(stamp.Token, signed) }, nil
}
