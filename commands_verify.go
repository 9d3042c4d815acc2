package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that the record is complete and untouched; reads only",
		Long: fmt.Sprintf(`Checks from stored bytes, signatures and proofs alone. Exit code %d when something
is not as it was written, and the output names the first such thing.`, exitVerify),
	}
	cmd.AddCommand(newVerifyBundleCommand())
	return cmd
}
