package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	cosigned "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/authledger/authledger/api"
	"github.com/authledger/authledger/api/client"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/sqlitestore"
)

// keysFlags say which ledger's keys are meant: one in a directory that no
// server uses, or one behind a server.
type keysFlags struct {
	backendFlags
	data, server, keyFile string
}

func newKeysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "List, make and rotate keys; nothing here prints a private one",
		Long: `Works on the data directory while no server runs, or through a server with an API
key of role operator, from --key-file or the environment variable
AUTHLEDGER_OPERATOR_KEY. docs/keys.md says which keys there are.`,
	}
	cmd.AddCommand(newKeysList(), newKeysGenerate(), newKeysPrepare(), newKeysRotate(), newKeysExport())
	return cmd
}

func (f *keysFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.data, "data", "./data", "directory of the ledger, while no server runs")
	f.backendFlags.register(cmd.Flags())
	cmd.Flags().StringVar(&f.server, "server", "", "address of a running authledger, such as http://127.0.0.1:8080, instead of --data")
	cmd.Flags().StringVar(&f.keyFile, "key-file", "", "file with an API key of role operator, with --server")
}

// client calls the server that was named.
func (f *keysFlags) client() (*client.Client, error) {
	key, err := operatorKey(f.keyFile)
	if err != nil {
		return nil, err
	}
	return client.New(f.server, key), nil
}

// offline opens the directory, works with it and closes it. It never makes a
// new one: keys that are looked for in the wrong place must not be created.
func (f *keysFlags) offline(ctx context.Context, work func(*stores) error) (err error) {
	b, err := f.backend()
	if err != nil {
		return err
	}
	if b.missing(f.data) {
		return fmt.Errorf("%s has no keys.db; name the directory of a ledger with --data: %w", f.data, eventstore.ErrNotFound)
	}
	s, err := openAt(ctx, f.data, b, time.Now, slog.New(slog.DiscardHandler), sealing{})
	if err != nil {
		return f.explainLock(err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return work(s)
}

// explainLock says what to do when a server has the directory.
func (f *keysFlags) explainLock(err error) error {
	var log *sqlitestore.StartError
	var keys *keyring.StartError
	if errors.As(err, &log) && log.Reason == sqlitestore.ReasonDataDirInUse || errors.As(err, &keys) && keys.Reason == keyring.KeysLocked {
		return fmt.Errorf("a running authledger uses %s: ask it with --server URL, or stop it first: %w: %w", f.data, eventstore.ErrUnavailable, err)
	}
	return err
}

func newKeysList() *cobra.Command {
	f := &keysFlags{}
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the keys, their ages and what they are good for", Args: cobra.NoArgs,
		Example: "  authledger keys list --data /var/lib/authledger\n" +
			"  authledger keys list --server http://127.0.0.1:8080 --key-file operator.key",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := f.list(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			return printKeys(cmd.OutOrStdout(), list)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (f *keysFlags) list(ctx context.Context) (list gen.KeyList, err error) {
	if f.server == "" {
		err = f.offline(ctx, func(s *stores) error {
			keys, err := s.keys.Keys(ctx)
			list = api.KeyList(keys)
			return err
		})
		return list, err
	}
	c, err := f.client()
	if err == nil {
		_, err = c.Get(ctx, "/v1/keys", nil, &list)
	}
	return list, err
}

func printKeys(out io.Writer, list gen.KeyList) error {
	w := tabwriter.NewWriter(out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(w, "KIND\tID\tSTATE\tCOUNT\tSINCE\tENDED")
	for _, k := range list.Items {
		id := k.Id
		if id == "" {
			id = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", k.Kind, id, k.State, k.Count, day(k.Since), day(k.Ended))
	}
	return w.Flush()
}

// rotatingKinds are the words of the command line for what rotates.
var rotatingKinds = map[string]keyring.RotationKind{
	"kek": keyring.KindKeyEncryption, "codes": keyring.KindCodeEpoch, "signing": keyring.KindSigning,
}

func newKeysRotate() *cobra.Command {
	f := &keysFlags{}
	var kind string
	cmd := &cobra.Command{
		Use: "rotate --kind KIND", Short: "Put a new key in the place of the one in use, and record it", Args: cobra.NoArgs,
		Long: `kek      the key that wraps all others: every key is wrapped anew, then the old one
         is destroyed. Back up kek.json and keys.db together afterwards: backups of
         keys.db from before cannot be opened with the new kek.json.
codes    the key of the codes of the day: codes from now on have another one, codes
         that were sent stay good.
signing  the key that signs checkpoints: the next epoch's key signs once the ledger
         has recorded it. Tell the witnesses its public key: keys export-public.

Several nodes each have a copy of the key-encryption key: add the next one to all
of them first, with keys prepare, or a node without it answers 503 meanwhile.

A rotation that was cut off is finished by rotating again.`,
		Example: "  authledger keys rotate --kind kek --data /var/lib/authledger\n" +
			"  authledger keys rotate --kind signing --server http://127.0.0.1:8080 --key-file operator.key",
		RunE: func(cmd *cobra.Command, _ []string) error {
			of, ok := rotatingKinds[kind]
			if !ok {
				return usage("--kind %q: want kek, codes or signing", kind)
			}
			r, err := f.rotate(cmd.Context(), of)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s key %s is in use", r.Kind, r.KeyId)
			if r.PreviousKeyId != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), " in the place of %s", r.PreviousKeyId)
			}
			if r.Kind == gen.RotatingKindKeyEncryption {
				fmt.Fprintf(cmd.ErrOrStderr(), "; %d keys wrapped anew", r.Rewrapped)
			}
			fmt.Fprintln(cmd.ErrOrStderr())
			fmt.Fprintln(cmd.OutOrStdout(), r.KeyId)
			return nil
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&kind, "kind", "", "kek, codes or signing")
	return cmd
}

func (f *keysFlags) rotate(ctx context.Context, kind keyring.RotationKind) (r gen.KeyRotation, err error) {
	if f.server == "" {
		err = f.offline(ctx, func(s *stores) error {
			done, err := s.keys.Rotate(ctx, kind, uuid.New())
			if err != nil {
				return err
			}
			r = gen.KeyRotation{Kind: gen.RotatingKind(done.Kind), KeyId: done.To, PreviousKeyId: done.From, Rewrapped: done.Rewrapped}
			return s.recordRotations(ctx, domain.Actor{Kind: domain.ActorSystem, Ref: "keys-command"})
		})
		return r, err
	}
	c, err := f.client()
	if err == nil {
		_, err = c.Post(ctx, "/v1/keys/rotations", gen.RotateKeyRequest{Kind: gen.RotatingKind(kind)}, &r)
	}
	return r, err
}

func newKeysGenerate() *cobra.Command {
	var kind, name, out string
	cmd := &cobra.Command{
		Use: "generate --kind witness|kek --out FILE", Short: "Make the key of a witness, or the key-encryption key of several nodes", Args: cobra.NoArgs,
		Long: `kek: writes the key that wraps all others to a file of mode 0400, to be copied to
every node that serves with --store esdb://… and --kek-file. Without an event
database the ledger makes it by itself.

witness: writes an Ed25519 key as C2SP signed notes have them (PRIVATE+KEY+…) to a file of
mode 0400 and prints the two forms of its public half: the key of signed notes,
and the key of cosignatures that a witness policy names.`,
		Example: "  authledger keys generate --kind witness --name witness.audit.example/1 --out witness.key\n" +
			"  authledger keys generate --kind kek --out kek.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case kind != "witness" && kind != "kek":
				return usage("--kind %q: want witness or kek; the ledger makes its other keys by itself", kind)
			case name == "" && kind == "witness":
				return usage("--name: give the name the witness signs with, such as witness.audit.example/1")
			case out == "":
				return usage("--out: name the file to write the private key to; it must not exist")
			}
			if kind == "kek" {
				return generateKEK(cmd, out)
			}
			verifier, cosigner, err := generateWitness(name, out)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "The private key is in %s. Keep it on the witness's host only.\n", out)
			fmt.Fprintf(cmd.OutOrStdout(), "verifier key  %s\ncosigner key  %s\n", verifier, cosigner)
			return nil
		},
	}
	cmd.Flags().StringVar(&kind, "kind", "witness", "what the key is for: witness or kek")
	cmd.Flags().StringVar(&name, "name", "", "name of the witness, a URL without scheme")
	cmd.Flags().StringVar(&out, "out", "", "file for the private key")
	return cmd
}

// generateKEK makes the key-encryption key of several nodes.
func generateKEK(cmd *cobra.Command, out string) error {
	id, err := keyring.CreateKEKFile(out)
	if errors.Is(err, fs.ErrExist) {
		return usage("--out: %s exists; keys wrapped by it would be lost with it", out)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "The key is in %s. Copy it to every node, and keep a copy apart: without it all keys are lost.\n", out)
	fmt.Fprintf(cmd.OutOrStdout(), "key-encryption key  %s\n", id)
	return nil
}

func newKeysPrepare() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "prepare --kek-file FILE", Short: "Add the next key-encryption key to the file of a node, before a rotation", Args: cobra.NoArgs,
		Long: `For several nodes. The new key can decrypt and is not used yet, so the file may be
copied to every node while all of them work, whichever has it first. When every
node has it, keys rotate --kind kek takes that key, and no node lacks it for a
moment. A file that holds a prepared key already stays as it is.`,
		Example: "  authledger keys prepare --kek-file kek.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usage("--kek-file: name the file with the key-encryption key, one that may be replaced here")
			}
			id, err := keyring.PrepareKEKFile(file)
			if err != nil {
				return explainKEKFile(file, err)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "The next key is in %s. Copy the file to every node, then rotate once: keys rotate --kind kek.\n", file)
			fmt.Fprintln(cmd.OutOrStdout(), id)
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "kek-file", "", "file with the key-encryption key, as keys generate --kind kek makes it")
	return cmd
}

// explainKEKFile says what to do when there is no key file.
func explainKEKFile(file string, err error) error {
	var start *keyring.StartError
	if errors.As(err, &start) && start.Reason == keyring.KEKMissing {
		return fmt.Errorf("%s does not exist; name the file that the nodes have: %w: %w", file, eventstore.ErrNotFound, err)
	}
	return err
}

// generateWitness makes a key and writes its private half.
func generateWitness(name, out string) (verifier, cosigner string, err error) {
	if err := merkle.CheckOrigin(name); err != nil {
		return "", "", usage("--name: %v", err)
	}
	private, verifier, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", "", fmt.Errorf("make the key of %s: %w", name, err)
	}
	if cosigner, err = cosigned.VKeyToCosignatureV1(verifier); err != nil {
		return "", "", fmt.Errorf("make the key of %s: %w", name, err)
	}
	return verifier, cosigner, writeKeyFile(out, private)
}

// writeKeyFile writes a private key durably to a file that must not exist.
func writeKeyFile(path, private string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o400)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists; a key is never overwritten: %w", path, err)
	}
	if err != nil {
		return fmt.Errorf("write the private key: %w", err)
	}
	_, err = f.WriteString(private + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the private key: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

func newKeysExport() *cobra.Command {
	f := &keysFlags{}
	var asJSON bool
	cmd := &cobra.Command{
		Use: "export-public", Short: "Print the public keys that check the ledger's checkpoints", Args: cobra.NoArgs,
		Long: `Prints a verifier key as C2SP signed notes have them for each epoch, with the size
of the log from which on it signs. --json prints the document that witnesses and
verifiers read.`,
		Example: "  authledger keys export-public --data /var/lib/authledger --json > keys.json\n" +
			"  authledger keys export-public --server http://127.0.0.1:8080 --key-file operator.key",
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := f.public(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(keys)
			}
			return printEpochs(cmd.OutOrStdout(), keys)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the JSON document")
	return cmd
}

func (f *keysFlags) public(ctx context.Context) (keys merkle.Keys, err error) {
	if f.server != "" {
		c, err := f.client()
		if err == nil {
			_, err = c.Get(ctx, "/v1/log/keys", nil, &keys)
		}
		return keys, err
	}
	err = f.offline(ctx, func(s *stores) error {
		published, err := s.sealer.Keys(ctx)
		if err != nil {
			return err
		}
		keys.Origin = published.Origin
		keys.Epochs, err = s.signingEpochs(ctx) // also one that is announced and not in force yet
		return err
	})
	if err == nil {
		err = keys.Check()
	}
	return keys, err
}

func printEpochs(out io.Writer, keys merkle.Keys) error {
	w := tabwriter.NewWriter(out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(w, "EPOCH\tFROM SIZE\tVERIFIER KEY")
	for _, e := range keys.Epochs {
		key, err := merkle.VerifierKey(keys.Origin, e.Public)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%d\t%d\t%s\n", e.Number, e.FromSize, key)
	}
	return w.Flush()
}
