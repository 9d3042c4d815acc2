package main

import (
	"fmt"
	"log/slog"

	"github.com/authledger/authledger/api/delivery"
	"github.com/authledger/authledger/api/erase"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/spf13/cobra"
)

func newStoreCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "store", Short: "Prepare and check an event database for a ledger"}
	cmd.AddCommand(newStorePrepare(), newStoreCheck())
	return cmd
}

// groups are the groups of consumers that the nodes of a ledger have.
func groups() []eventstore.Group { return append(delivery.Groups(), erase.Group()) }

func newStorePrepare() *cobra.Command {
	f := &backendFlags{}
	var user string
	cmd := &cobra.Command{
		Use: "prepare --store URL", Short: "Make what only an administrator of the event database may make", Args: cobra.NoArgs,
		Long: `Makes the groups of consumers that hand each SMS, call and erasure to one node.
With --user it also lets that user, whom the nodes connect as, read $all and read
and write streams, and takes the right to delete streams and to set limits on
them away from everybody but $admins, for all streams of the server without an
access list of their own. Doing it again changes nothing; do it after an upgrade.`,
		Example: "  authledger store prepare --store 'esdb://admin:PASSWORD@db1:2113,db2:2113,db3:2113?tlsCaFile=ca.pem' --user ledger",
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := f.shared()
			if err != nil {
				return err
			}
			p := esdbstore.Preparation{URL: b.url, Prefix: b.prefix, Groups: groups(), User: user, Logger: slog.New(slog.DiscardHandler)}
			if err := esdbstore.Prepare(cmd.Context(), p); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "prepared  %d groups of consumers\n", len(p.Groups))
			if user != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "user      %s reads and writes, and deletes nothing\n", user)
			}
			return nil
		},
	}
	f.registerRead(cmd.Flags())
	cmd.Flags().StringVar(&user, "user", "", "the user of the event database that the nodes connect as")
	return cmd
}

func newStoreCheck() *cobra.Command {
	f := &backendFlags{}
	var data string
	cmd := &cobra.Command{
		Use: "check --store URL", Short: "Say whether the event database keeps the ledger's promises", Args: cobra.NoArgs,
		Long: `What a node checks when it starts and every hour: the server's version and clock,
what this user may delete, and whether a stream of the ledger was cut or deleted.
It writes one entry to the stream <prefix>.clock.`,
		Example: "  authledger store check --store 'esdb://ledger:PASSWORD@db1:2113?tlsCaFile=ca.pem' --data ./check",
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := f.shared()
			if err != nil {
				return err
			}
			log, err := b.openReader(cmd.Context(), data)
			if err != nil {
				return err
			}
			defer log.Close()
			found, err := log.(esdbstore.Stored).CheckServer(cmd.Context())
			if err != nil {
				return err
			}
			for _, x := range found {
				fmt.Fprintf(cmd.OutOrStdout(), "%-16s  %s\n", x.Code, x.Detail)
			}
			if len(found) > 0 {
				return &codedError{code: exitVerify, err: fmt.Errorf("%w: %d findings", errStoreChecks, len(found))}
			}
			fmt.Fprintln(cmd.OutOrStdout(), "the event database keeps the ledger's promises")
			return nil
		},
	}
	f.registerRead(cmd.Flags())
	cmd.Flags().StringVar(&data, "data", "./data", "directory for this command's index of the log")
	return cmd
}

// shared is the backend of a command that makes sense for an event database only.
func (f *backendFlags) shared() (backend, error) {
	b, err := f.backend()
	if err == nil && !b.shared() {
		err = usage("--store: give the connection string of the event database, such as esdb://user:password@host:2113")
	}
	return b, err
}
