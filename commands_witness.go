package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/authledger/authledger/api/witness"
	"github.com/spf13/cobra"
)

// witnessFlags say how a witness runs.
type witnessFlags struct {
	listen, data, key string
	logs              []string
}

func newWitnessCommand() *cobra.Command {
	f := &witnessFlags{}
	cmd := &cobra.Command{
		Annotations: map[string]string{otherStores: "the memory of a witness"},
		Use:         "witness --key FILE --log FILE", Short: "Cosign the checkpoints of a log that somebody else runs", Args: cobra.NoArgs,
		Long: `Remembers the newest checkpoint of each log and cosigns only those that extend it
(C2SP tlog-witness). Run it on another host, with another key, by people who do
not run the log. docs/witness.md says how. A --log file is read again when it
changes, which is how a witness learns of a log's next signing key.`,
		Example: "  authledger keys generate --kind witness --name audit.broker.example --out witness.key\n" +
			"  authledger witness --listen 0.0.0.0:8090 --data /var/lib/witness --key witness.key --log ledger-keys.json",
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8090", "address to serve HTTP on")
	cmd.Flags().StringVar(&f.data, "data", "./witness", "directory of the witness's memory; never put back an older copy of it")
	cmd.Flags().StringVar(&f.key, "key", "", "file with the witness's signing key")
	cmd.Flags().StringSliceVar(&f.logs, "log", nil, "file with a log's public keys, as GET /v1/log/keys answers; repeatable")
	return cmd
}

func (f *witnessFlags) run(ctx context.Context, out io.Writer) (err error) {
	if f.key == "" || len(f.logs) == 0 {
		return usage("--key and --log are required: the witness's own key, and the public keys of the log it watches")
	}
	c := witness.Config{Dir: f.data, Clock: time.Now, Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil))}
	if c.Key, err = witness.ReadKey(f.key); err != nil {
		return err
	}
	for _, path := range f.logs {
		log, err := witness.OpenLogFile(path)
		if err != nil {
			return err
		}
		c.Logs = append(c.Logs, log)
	}
	key, err := c.Key.CosignerKey()
	if err != nil {
		return err
	}
	s, err := witness.New(ctx, c)
	if err != nil {
		return err
	}
	listen, err := net.Listen("tcp", f.listen)
	if err != nil {
		return errors.Join(fmt.Errorf("listen on %s: %w", f.listen, err), s.Close())
	}
	fmt.Fprintf(out, "witness %s answers at http://%s\n\nLine for the log's policy file:\n\n  witness %s %s http://%s\n\n(with the address under which the log reaches this witness)\nStop with Ctrl-C.\n",
		c.Key.Name, listen.Addr(), c.Key.Name, key, listen.Addr())
	return errors.Join(s.Serve(ctx, listen), s.Close())
}
