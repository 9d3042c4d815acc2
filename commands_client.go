package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/spf13/cobra"
)

func newClientCommand() *cobra.Command {
	var data string
	cmd := &cobra.Command{Use: "client", Short: "Create, list and revoke API keys"}
	cmd.PersistentFlags().StringVar(&data, "data", "./data", "directory of the ledger")
	f := &backendFlags{}
	f.registerRead(cmd.PersistentFlags())
	open := func(cmd *cobra.Command) (*clients, error) { return openClients(cmd.Context(), f, data) }
	cmd.AddCommand(newClientCreate(open), newClientList(open), newClientRevoke(open))
	return cmd
}

type openAccess func(*cobra.Command) (*clients, error)

// clients are the API clients of a ledger, with what must be closed.
type clients struct {
	*access.Store
	sides *esdbstore.Sides // nil for SQLite
}

func openClients(ctx context.Context, f *backendFlags, data string) (*clients, error) {
	b, err := f.backend()
	if err != nil {
		return nil, err
	}
	o := access.Options{Dir: data, Clock: time.Now}
	c := &clients{}
	if b.shared() {
		if c.sides, err = esdbstore.OpenSides(esdbstore.Options{URL: b.url, Prefix: b.prefix}); err != nil {
			return nil, err
		}
		o.Side = c.sides
	} else if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("make %s: %w", data, err)
	}
	if c.Store, err = access.Open(ctx, o); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close releases the store and the connection.
func (c *clients) Close() error {
	var errs []error
	if c.Store != nil {
		errs = append(errs, c.Store.Close())
	}
	if c.sides != nil {
		errs = append(errs, c.sides.Close())
	}
	return errors.Join(errs...)
}

func newClientCreate(open openAccess) *cobra.Command {
	var role, name string
	var validFor time.Duration
	cmd := &cobra.Command{
		Use: "create --role ROLE --name NAME", Short: "Create an API key and print it once", Args: cobra.NoArgs,
		Example: "  authledger client create --data ./data --role frontend --name login-page",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !access.Role(role).Valid() {
				return usage("--role %q: want one of %s", role, roleNames())
			}
			if name == "" {
				return usage("--name: say what the key is for, such as login-page")
			}
			s, err := open(cmd)
			if err != nil {
				return err
			}
			defer s.Close()
			var expires time.Time
			if validFor > 0 {
				expires = time.Now().Add(validFor)
			}
			c, key, err := s.Create(cmd.Context(), name, access.Role(role), expires)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s may call the API as %s. The key is shown only now.\n", c.ID, role)
			fmt.Fprintln(cmd.OutOrStdout(), string(key))
			return nil
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "what the key may do: "+roleNames())
	cmd.Flags().StringVar(&name, "name", "", "what the key is for")
	cmd.Flags().DurationVar(&validFor, "valid-for", 0, "life of the key, such as 2160h; 0 is until revoked")
	return cmd
}

func newClientList(open openAccess) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List API keys, without the keys themselves", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := open(cmd)
			if err != nil {
				return err
			}
			defer s.Close()
			list, err := s.List(cmd.Context())
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 2, 8, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tROLE\tNAME\tCREATED\tEXPIRES\tREVOKED")
			for _, c := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.ID, c.Role, c.Name, day(c.CreatedAt), day(c.ExpiresAt), day(c.RevokedAt))
			}
			return w.Flush()
		},
	}
}

func newClientRevoke(open openAccess) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Revoke an API key", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := open(cmd)
			if err != nil {
				return err
			}
			defer s.Close()
			return s.Revoke(cmd.Context(), args[0])
		},
	}
}

func roleNames() string {
	var names []string
	for _, r := range access.Roles() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}
