package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/authledger/authledger/api/card"
	"github.com/authledger/authledger/api/client"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/api/pskc"
	"github.com/spf13/cobra"
)

func newCardCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "card", Short: "Simulated security cards: Digital Security Card+ and code cards",
		Long: `Cards for demonstrations and tests. Each keeps its seed and counter in one file
and needs no network; the seeds of a batch go to the ledger in an encrypted file,
by authledger device import.`,
	}
	cmd.AddCommand(newCardMake(), newCardRespond(), newCardSetPIN(), newCardCells())
	return cmd
}

// cardSuites are the cards that can be made, by who checks the PIN.
var cardSuites = map[string]string{"mixed": card.SuitePINMixed, "local": card.SuitePINLocal}

func newCardMake() *cobra.Command {
	var out, batch, keyFile, pin string
	var count int
	cmd := &cobra.Command{
		Use: "make", Short: "Make cards, and the manufacturer's encrypted file of their seeds", Args: cobra.NoArgs,
		Long: `Makes cards in DIR, one file each, and writes their seeds to a PSKC file (RFC
6030) encrypted under the transport key that the ledger's operator holds too. It
prints serial number and file of each card.`,
		Example: "  openssl rand -hex 16 > transport.key\n" +
			"  authledger card make --count 10 --out cards --pskc batch.xml --transport-key-file transport.key",
		RunE: func(cmd *cobra.Command, _ []string) error {
			suite, ok := cardSuites[pin]
			switch {
			case count < 1 || count > pskc.MaxTokens:
				return usage("--count: want 1 to %d", pskc.MaxTokens)
			case out == "" || batch == "" || keyFile == "":
				return usage("--out, --pskc and --transport-key-file are required")
			case !ok:
				return usage("--pin-check %q: want mixed or local", pin)
			}
			key, err := transportKey("--transport-key-file", keyFile)
			if err != nil {
				return err
			}
			made, err := makeCards(out, count, suite, key, batch)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 2, 8, 2, ' ', 0)
			for _, m := range made {
				fmt.Fprintf(w, "%s\t%s\n", m.Serial, m.File)
			}
			return w.Flush()
		},
	}
	cmd.Flags().IntVar(&count, "count", 1, "how many cards")
	cmd.Flags().StringVar(&out, "out", "", "directory for the cards")
	cmd.Flags().StringVar(&batch, "pskc", "", "file to write the encrypted seeds to; it must not exist")
	cmd.Flags().StringVar(&keyFile, "transport-key-file", "", "file with the transport key: 32, 48 or 64 hexadecimal digits")
	cmd.Flags().StringVar(&pin, "pin-check", "mixed", "mixed: the PIN enters every response; local: the card checks it by itself")
	return cmd
}

// transportKey reads the key that opens manufacturers' files from the file a
// flag names.
func transportKey(flag, path string) (pskc.Secret, error) {
	text, err := secretFile(flag, path, true)
	if err != nil {
		return nil, err
	}
	key, err := pskc.ParseKey(text)
	if err != nil {
		return nil, usage("%s: %v", flag, err)
	}
	return key, nil
}

// makeCards writes the batch to a new file and removes it when there are no
// cards for it.
func makeCards(dir string, n int, suite string, key pskc.Secret, batch string) (made []card.Made, err error) {
	f, err := os.OpenFile(batch, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--pskc: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(batch))
		}
	}()
	if made, err = card.Manufacture(dir, n, suite, key, f); err != nil {
		return nil, err
	}
	return made, f.Sync()
}

// cardMistake tells what the holder of a card got wrong from what went wrong.
func cardMistake(err error) error {
	for _, mistake := range []error{card.ErrPIN, card.ErrChallenge, card.ErrIndex} {
		if errors.Is(err, mistake) {
			return usage("%v", err)
		}
	}
	return err
}

func newCardRespond() *cobra.Command {
	var file, pin, challenge string
	cmd := &cobra.Command{
		Use: "respond", Short: "Turn a six-digit challenge into the eight-digit response", Args: cobra.NoArgs,
		Example: "  authledger card respond --card cards/SIM-7K2M9QXA4TZC.card.json --pin 1234 --challenge 483921",
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := card.Open(file).Respond(pin, challenge)
			if err != nil {
				return cardMistake(err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), response)
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "card", "card.json", "the card's file")
	cmd.Flags().StringVar(&pin, "pin", "", "the four digits chosen with the order")
	cmd.Flags().StringVar(&challenge, "challenge", "", "the six digits of the login page")
	return cmd
}

func newCardSetPIN() *cobra.Command {
	var file, pin string
	cmd := &cobra.Command{
		Use: "set-pin", Short: "Give the card another PIN", Args: cobra.NoArgs,
		Long: `Gives a card that checks its PIN by itself another one. A card that mixes the PIN
into its responses keeps none: there the new PIN is the one typed from then on.
The ledger learns of it in the portal, by a response made with the new PIN.`,
		Example: "  authledger card set-pin --card cards/SIM-7K2M9QXA4TZC.card.json --pin 5678",
		RunE: func(*cobra.Command, []string) error {
			return cardMistake(card.Open(file).SetPIN(pin))
		},
	}
	cmd.Flags().StringVar(&file, "card", "card.json", "the card's file")
	cmd.Flags().StringVar(&pin, "pin", "", "the new PIN, four digits")
	return cmd
}

func newCardCells() *cobra.Command {
	var file string
	var index []int
	cmd := &cobra.Command{
		Use: "cells", Short: "Look up the two cells of a code card that a login asks for", Args: cobra.NoArgs,
		Long: `Looks up two cells, as they are typed. The card's file is the server's answer to
the issue of the card, kept as it is: JSON with a list named cells.`,
		Example: "  authledger card cells --card code-card.json --index 17 --index 203",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(index) != 2 {
				return usage("--index: name the two indices of the login page")
			}
			cells, err := card.Open(file).Cells(index[0], index[1])
			if err != nil {
				return cardMistake(err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), cells)
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "card", "card.json", "the card's file")
	cmd.Flags().IntSliceVar(&index, "index", nil, "an index number of the login page; give it twice")
	return cmd
}

func newDeviceCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "device", Short: "Physical security devices of the ledger"}
	cmd.AddCommand(newDeviceImport())
	return cmd
}

func newDeviceImport() *cobra.Command {
	var server, keyFile string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Register the cards of a manufacturer's encrypted file", Args: cobra.ExactArgs(1),
		Long: `Sends a manufacturer's encrypted file (PSKC, RFC 6030) to the server, which holds
the transport key. It needs an API key of role operator, from --key-file or the
environment variable AUTHLEDGER_OPERATOR_KEY. A file may be sent again: cards
that are there already are answered as known.`,
		Example: "  authledger device import --server http://127.0.0.1:8080 --key-file operator.key batch.xml",
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := operatorKey(keyFile)
			if err != nil {
				return err
			}
			batch, err := batchFile(args[0])
			if err != nil {
				return err
			}
			var answer gen.DeviceImport
			if _, err := client.New(server, key).Post(cmd.Context(), "/v1/devices/imports", gen.DeviceImportRequest{Pskc: batch}, &answer); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(answer)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 2, 8, 2, ' ', 0)
			for _, d := range answer.Items {
				fmt.Fprintf(w, "%s\t%s\t%s\n", d.DeviceId, d.Serial, d.Outcome)
			}
			return w.Flush()
		},
	}
	cmd.Flags().StringVar(&server, "server", "http://127.0.0.1:8080", "address of authledger")
	cmd.Flags().StringVar(&keyFile, "key-file", "", "file with an API key of role operator")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func operatorKey(path string) (string, error) {
	if path != "" {
		return secretFile("--key-file", path, true)
	}
	if key := os.Getenv("AUTHLEDGER_OPERATOR_KEY"); key != "" {
		return key, nil
	}
	return "", usage("--key-file: name a file with an API key of role operator, or set AUTHLEDGER_OPERATOR_KEY")
}

// batchFile reads a file no larger than the server would take.
func batchFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the batch: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, pskc.MaxSize+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the batch: %w", err)
	case len(text) > pskc.MaxSize:
		return nil, pskc.ErrTooLarge
	}
	return text, nil
}
