package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/spf13/cobra"
)

// Commands of the simulated phone by which IB Key, or a credential, comes to it.

func (f *phoneFlags) migrate() *cobra.Command {
	var user, migration, code string
	cmd := &cobra.Command{
		Use: "migrate", Short: "Complete a migration of IB Key to this phone", Args: cobra.NoArgs,
		Long: `Answers with the code from the SMS and takes IB Key over. Leave --code out when
a physical device proved the migration, or when the code was accepted before.`,
		Example: "  authledger phone migrate --user usr_… --migration mig_… --code 7K2M9QXA\n" +
			"  authledger phone migrate --user usr_… --migration mig_… --pin ab12",
	}
	unlock := unlockFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if user == "" || migration == "" {
			return usage("--user and --migration are required")
		}
		p, err := f.open()
		if err != nil {
			return err
		}
		return printActivation(cmd)(p.Migrate(cmd.Context(), user, migration, code, *unlock))
	}
	cmd.Flags().StringVar(&user, "user", "", "id of the user")
	cmd.Flags().StringVar(&migration, "migration", "", "id of the migration, which the frontend started")
	cmd.Flags().StringVar(&code, "code", "", "code from the SMS")
	return cmd
}

func (f *phoneFlags) reinstall() *cobra.Command {
	return &cobra.Command{
		Use: "reinstall", Short: "Install the app again on the same phone, without anybody's IB Key", Args: cobra.NoArgs,
		Long: `The app gets another key and registers as another installation on the same
phone. An iPhone's keychain keeps the old key, which hands over in a recovery;
an Android app starts anew, without a PIN.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := f.open()
			if err != nil {
				return err
			}
			id, err := p.Reinstall(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), id)
			return nil
		},
	}
}

func (f *phoneFlags) recover() *cobra.Command {
	var user, authentication, cause, recovery, code string
	cmd := &cobra.Command{
		Use: "recover", Short: "Bring IB Key back on this phone", Args: cobra.NoArgs,
		Long: `With --authentication it starts a recovery. Where the old key can hand over it
is complete at once and the id of the authenticator is printed. Otherwise the id
of the recovery is printed: go on with --recovery, and with --code when a code
was sent by SMS.`,
		Example: "  authledger phone recover --user usr_… --authentication txn_…\n" +
			"  authledger phone recover --user usr_… --recovery rec_… --code 7K2M9QXA --pin ab12",
	}
	unlock := unlockFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if user == "" || (authentication == "") == (recovery == "") {
			return usage("--user is required, and either --authentication or --recovery")
		}
		p, err := f.open()
		if err != nil {
			return err
		}
		if recovery == "" {
			started, err := p.StartRecovery(cmd.Context(), user, authentication, cause)
			if err != nil {
				return err
			}
			recovery = string(started.RecoveryId)
			if started.Status != gen.RecoveryStatusProved {
				fmt.Fprintln(cmd.OutOrStdout(), recovery)
				fmt.Fprintf(cmd.ErrOrStderr(), "%s; go on with --recovery\n", started.Status)
				return nil
			}
		}
		return printActivation(cmd)(p.Recover(cmd.Context(), user, recovery, code, *unlock))
	}
	cmd.Flags().StringVar(&user, "user", "", "id of the user")
	cmd.Flags().StringVar(&authentication, "authentication", "", "authentication begun with the password for the purpose recovery")
	cmd.Flags().StringVar(&cause, "cause", "reinstalled", "reinstalled or os_upgraded")
	cmd.Flags().StringVar(&recovery, "recovery", "", "id of a recovery that was started")
	cmd.Flags().StringVar(&code, "code", "", "code from the SMS")
	return cmd
}

func (f *phoneFlags) unify() *cobra.Command {
	var user, unification, from, what string
	cmd := &cobra.Command{
		Use: "unify", Short: "Take IB Key over from the standalone app on this phone", Args: cobra.NoArgs,
		Long: `Tells the server that the standalone app was found, and when it offers to move
IB Key, has the standalone app's key sign the handover. With --unification an
offer of before is completed.`,
		Example: "  authledger phone register --file former.json --app ibkey_standalone --handset my-phone\n" +
			"  authledger phone register --file phone.json --handset my-phone\n" +
			"  authledger phone unify --file phone.json --from former.json --user usr_…",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if user == "" || from == "" {
				return usage("--user and --from are required")
			}
			p, err := f.open()
			if err != nil {
				return err
			}
			if unification == "" {
				offer, err := p.DetectUnification(cmd.Context(), user, from, what)
				if err != nil {
					return err
				}
				if offer.UnificationId == "" {
					return fmt.Errorf("nothing new is offered; name the offer of before with --unification")
				}
				unification = string(offer.UnificationId)
			}
			return printActivation(cmd)(p.Unify(cmd.Context(), user, unification, from))
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "id of the user")
	cmd.Flags().StringVar(&from, "from", "", "file of the standalone app")
	cmd.Flags().StringVar(&what, "case", "auth_only", "auth_only, both or debit_card")
	cmd.Flags().StringVar(&unification, "unification", "", "id of an offer")
	return cmd
}

func (f *phoneFlags) credentials() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "credentials", Short: "Show the temporary credentials that wait in this app", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := f.open()
			if err != nil {
				return err
			}
			list, err := p.Credentials(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			for _, c := range list {
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s for %s, until %s\n", c.DeliveryId, c.What, c.UserId, c.ExpiresAt.Format(time.RFC3339))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (f *phoneFlags) collect() *cobra.Command {
	var delivery string
	cmd := &cobra.Command{
		Use: "collect", Short: "Fetch a credential that waits in this app; it is shown once", Args: cobra.NoArgs,
		Example: "  authledger phone collect --delivery dlv_…",
	}
	unlock := unlockFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if delivery == "" {
			return usage("--delivery: name one of those that `authledger phone credentials` lists")
		}
		p, err := f.open()
		if err != nil {
			return err
		}
		return printCredential(cmd)(p.Collect(cmd.Context(), delivery, *unlock))
	}
	cmd.Flags().StringVar(&delivery, "delivery", "", "id of the delivery")
	return cmd
}

func printCredential(cmd *cobra.Command) func(string, error) error {
	return func(text string, err error) error {
		if err == nil {
			fmt.Fprintln(cmd.OutOrStdout(), text)
		}
		return err
	}
}
