package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/api/phone"
	"github.com/spf13/cobra"
)

// phoneFlags are shared by all commands of the simulated phone.
type phoneFlags struct{ file, key, clock string }

func newPhoneCommand() *cobra.Command {
	f := &phoneFlags{}
	cmd := &cobra.Command{
		Use: "phone", Short: "A simulated phone with the IB Key app",
		Long: `A small IB Key app for demonstrations and tests. It keeps its keys in one file
and calls the API with a key of role device, from --key-file or the environment
variable AUTHLEDGER_DEVICE_KEY.

One file is one app. Two files registered with the same --handset are two apps
on one phone. An Android app has a PIN, which respond always asks for; elsewhere
--uv says which local check is made, and --pin makes it the PIN.`,
	}
	cmd.PersistentFlags().StringVar(&f.file, "file", "phone.json", "the phone's file")
	cmd.PersistentFlags().StringVar(&f.key, "key-file", "", "file with an API key of role device")
	cmd.PersistentFlags().StringVar(&f.clock, "clock", "", "the phone's own clock (RFC 3339), for a demonstration whose clock was put forward")
	cmd.AddCommand(f.register(), f.pin(), f.activate(), f.addUser(), f.pending(), f.approve(), f.deny(), f.respond(), f.online())
	cmd.AddCommand(f.migrate(), f.reinstall(), f.recover(), f.unify(), f.credentials(), f.collect())
	return cmd
}

func (f *phoneFlags) open() (*phone.Phone, error) {
	key := os.Getenv("AUTHLEDGER_DEVICE_KEY")
	if f.key != "" {
		var err error
		if key, err = secretFile("--key-file", f.key, true); err != nil {
			return nil, err
		}
	}
	now := time.Now
	if f.clock != "" {
		at, err := time.Parse(time.RFC3339, f.clock)
		if err != nil {
			return nil, usage("--clock: give an RFC 3339 time such as 2018-04-26T16:00:00Z")
		}
		now = newDemoClock(at).Now
	}
	return phone.Open(f.file, key, now), nil
}

// unlockFlags are the local check of the commands that make one.
func unlockFlags(cmd *cobra.Command) *phone.Unlock {
	u := &phone.Unlock{}
	cmd.Flags().StringVar(&u.UV, "uv", "", "local check: device_passcode, touch_id, face_id, fingerprint or app_pin")
	cmd.Flags().StringVar(&u.PIN, "pin", "", "what is typed as the PIN of an Android app")
	return u
}

func (f *phoneFlags) register() *cobra.Command {
	var r phone.Registration
	cmd := &cobra.Command{
		Use: "register", Short: "Install the app: make a key and register it", Args: cobra.NoArgs,
		Example: "  authledger phone register --server http://127.0.0.1:8080 --os ios\n" +
			"  authledger phone register --file former.json --os ios --app ibkey_standalone --handset my-phone",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.OS != "ios" && r.OS != "android" {
				return usage("--os %q: want ios or android", r.OS)
			}
			if !slices.Contains([]string{"ibkr_mobile", "ibkey_standalone", "ib_tws"}, r.App) {
				return usage("--app %q: want ibkr_mobile, ibkey_standalone or ib_tws", r.App)
			}
			p, err := f.open()
			if err != nil {
				return err
			}
			id, err := p.Register(cmd.Context(), r)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), id)
			return nil
		},
	}
	cmd.Flags().StringVar(&r.Server, "server", "http://127.0.0.1:8080", "address of authledger")
	cmd.Flags().StringVar(&r.OS, "os", "ios", "ios or android")
	cmd.Flags().StringVar(&r.App, "app", phone.DefaultApp, "ibkr_mobile, ibkey_standalone or ib_tws")
	cmd.Flags().StringVar(&r.Handset, "handset", "", "name of the phone, to put a second app on it; empty means a phone of its own")
	return cmd
}

func (f *phoneFlags) pin() *cobra.Command {
	var first, second string
	cmd := &cobra.Command{
		Use: "pin", Short: "Set the PIN of an Android app, entered twice", Args: cobra.NoArgs,
		Long: `The PIN has four to six letters and digits, at least one of them a digit. It
never leaves the phone; the server is told that one was set, or which rule it
broke. Ten wrong entries in a row block the app: set a new PIN, then recover
each user.`,
		Example: "  authledger phone pin --pin ab12 --repeat ab12",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if first == "" {
				return usage("--pin and --repeat are required")
			}
			p, err := f.open()
			if err != nil {
				return err
			}
			return p.SetPIN(cmd.Context(), first, second)
		},
	}
	cmd.Flags().StringVar(&first, "pin", "", "the PIN")
	cmd.Flags().StringVar(&second, "repeat", "", "the PIN again")
	return cmd
}

func (f *phoneFlags) activate() *cobra.Command {
	return f.binding("activate", "Activate IB Key with the code from the SMS", func(p *phone.Phone) bind { return p.Activate })
}

func (f *phoneFlags) addUser() *cobra.Command {
	return f.binding("add-user", "Activate IB Key for another user of this phone", func(p *phone.Phone) bind { return p.AddUser })
}

// bind answers an enrolment with the code from the SMS.
type bind func(ctx context.Context, user, enrollment, code string, u phone.Unlock) (phone.Activation, error)

// binding is a command that does so.
func (f *phoneFlags) binding(use, short string, by func(*phone.Phone) bind) *cobra.Command {
	var user, enrollment, code string
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		Example: "  authledger phone " + use + " --user usr_… --enrollment enr_… --code 7K2M9QXA",
	}
	unlock := unlockFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if user == "" || enrollment == "" || code == "" {
			return usage("--user, --enrollment and --code are required")
		}
		p, err := f.open()
		if err != nil {
			return err
		}
		return printActivation(cmd)(by(p)(cmd.Context(), user, enrollment, code, *unlock))
	}
	cmd.Flags().StringVar(&user, "user", "", "id of the user who activates")
	cmd.Flags().StringVar(&enrollment, "enrollment", "", "id of the enrollment")
	cmd.Flags().StringVar(&code, "code", "", "activation code from the SMS")
	return cmd
}

// printActivation prints the id of an IB Key that is on the phone now.
func printActivation(cmd *cobra.Command) func(phone.Activation, error) error {
	return func(a phone.Activation, err error) error {
		if err == nil {
			fmt.Fprintln(cmd.OutOrStdout(), a.AuthenticatorID)
		}
		return err
	}
}

func (f *phoneFlags) pending() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "pending", Short: "Show the pushes that wait for this phone", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := f.open()
			if err != nil {
				return err
			}
			list, err := p.Pending(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			for _, c := range list {
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s login on %s, until %s\n", c.ChallengeId, c.UserId, c.Platform, c.ExpiresAt.Format(time.RFC3339))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (f *phoneFlags) approve() *cobra.Command {
	var number, challenge string
	cmd := &cobra.Command{
		Use: "approve", Short: "Approve a push by typing the number of the login page", Args: cobra.NoArgs,
		Example: "  authledger phone approve --number 483921\n  authledger phone approve --number 483921 --pin ab12",
	}
	unlock := unlockFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if number == "" {
			return usage("--number: type the six digits that the login page shows")
		}
		return f.decide(cmd, challenge, number, *unlock)
	}
	cmd.Flags().StringVar(&number, "number", "", "the six digits of the login page")
	cmd.Flags().StringVar(&challenge, "challenge", "", "id of the challenge, when several wait")
	return cmd
}

func (f *phoneFlags) deny() *cobra.Command {
	var challenge string
	cmd := &cobra.Command{Use: "deny", Short: "Decline a push: it was not me", Args: cobra.NoArgs}
	unlock := unlockFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.decide(cmd, challenge, "", *unlock) }
	cmd.Flags().StringVar(&challenge, "challenge", "", "id of the challenge, when several wait")
	return cmd
}

func (f *phoneFlags) decide(cmd *cobra.Command, challenge, number string, u phone.Unlock) error {
	p, err := f.open()
	if err != nil {
		return err
	}
	list, err := p.Pending(cmd.Context())
	if err != nil {
		return err
	}
	c, err := choose(list, challenge)
	if err != nil {
		return err
	}
	answer, err := p.Decide(cmd.Context(), c, number, u)
	if err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), answer.Result, answer.Status)
	return nil
}

func choose(list []gen.PendingChallenge, id string) (gen.PendingChallenge, error) {
	for _, c := range list {
		if string(c.ChallengeId) == id || id == "" && len(list) == 1 {
			return c, nil
		}
	}
	if len(list) == 0 {
		return gen.PendingChallenge{}, fmt.Errorf("no push waits for this phone")
	}
	return gen.PendingChallenge{}, usage("%d pushes wait; name one of them with --challenge", len(list))
}

func (f *phoneFlags) respond() *cobra.Command {
	var user, challenge, pin string
	cmd := &cobra.Command{
		Use: "respond", Short: "Turn a six-digit challenge into the eight-digit response, offline", Args: cobra.NoArgs,
		Example: "  authledger phone respond --challenge 483921\n  authledger phone respond --challenge 483921 --pin ab12",
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := f.open()
			if err != nil {
				return err
			}
			response, err := p.Respond(cmd.Context(), user, challenge, pin)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), response)
			return nil
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "id of the user, when several are active on this phone")
	cmd.Flags().StringVar(&challenge, "challenge", "", "the six digits of the login page")
	cmd.Flags().StringVar(&pin, "pin", "", "what is typed as the PIN of an Android app")
	return cmd
}

func (f *phoneFlags) online() *cobra.Command {
	return &cobra.Command{
		Use: "online", Short: "Tell the server that the app can be reached again, and what happened meanwhile", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := f.open()
			if err != nil {
				return err
			}
			return p.Reachable(cmd.Context())
		},
	}
}
