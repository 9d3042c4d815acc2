package main

import (
	"encoding/json"
	"fmt"
	"os"
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
variable AUTHLEDGER_DEVICE_KEY.`,
	}
	cmd.PersistentFlags().StringVar(&f.file, "file", "phone.json", "the phone's file")
	cmd.PersistentFlags().StringVar(&f.key, "key-file", "", "file with an API key of role device")
	cmd.PersistentFlags().StringVar(&f.clock, "clock", "", "the phone's own clock (RFC 3339), for a demonstration whose clock was put forward")
	cmd.AddCommand(f.register(), f.activate(), f.pending(), f.approve(), f.deny(), f.respond(), f.online())
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

func (f *phoneFlags) register() *cobra.Command {
	var server, system string
	cmd := &cobra.Command{
		Use: "register", Short: "Install the app: make a key and register it", Args: cobra.NoArgs,
		Example: "  authledger phone register --server http://127.0.0.1:8080 --os ios",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if system != "ios" && system != "android" {
				return usage("--os %q: want ios or android", system)
			}
			p, err := f.open()
			if err != nil {
				return err
			}
			id, err := p.Register(cmd.Context(), server, system)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), id)
			return nil
		},
	}
	cmd.Flags().StringVar(&server, "server", "http://127.0.0.1:8080", "address of authledger")
	cmd.Flags().StringVar(&system, "os", "ios", "ios or android")
	return cmd
}

func (f *phoneFlags) activate() *cobra.Command {
	var user, enrollment, code, uv string
	cmd := &cobra.Command{
		Use: "activate", Short: "Activate IB Key with the code from the SMS", Args: cobra.NoArgs,
		Example: "  authledger phone activate --user usr_… --enrollment enr_… --code 7K2M9QXA",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if user == "" || enrollment == "" || code == "" {
				return usage("--user, --enrollment and --code are required")
			}
			p, err := f.open()
			if err != nil {
				return err
			}
			check, err := localCheck(p, uv)
			if err != nil {
				return err
			}
			a, err := p.Activate(cmd.Context(), user, enrollment, code, check)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), a.AuthenticatorID)
			return nil
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "id of the user who activates")
	cmd.Flags().StringVar(&enrollment, "enrollment", "", "id of the enrollment")
	cmd.Flags().StringVar(&code, "code", "", "activation code from the SMS")
	cmd.Flags().StringVar(&uv, "uv", "", "local check: device_passcode, touch_id, face_id, fingerprint or app_pin")
	return cmd
}

func localCheck(p *phone.Phone, uv string) (string, error) {
	if uv != "" {
		return uv, nil
	}
	system, err := p.OS()
	return phone.DefaultUV(system), err
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
	var number, challenge, uv string
	cmd := &cobra.Command{
		Use: "approve", Short: "Approve a push by typing the number of the login page", Args: cobra.NoArgs,
		Example: "  authledger phone approve --number 483921",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if number == "" {
				return usage("--number: type the six digits that the login page shows")
			}
			return f.decide(cmd, challenge, number, uv)
		},
	}
	cmd.Flags().StringVar(&number, "number", "", "the six digits of the login page")
	cmd.Flags().StringVar(&challenge, "challenge", "", "id of the challenge, when several wait")
	cmd.Flags().StringVar(&uv, "uv", "", "local check")
	return cmd
}

func (f *phoneFlags) deny() *cobra.Command {
	var challenge, uv string
	cmd := &cobra.Command{
		Use: "deny", Short: "Decline a push: it was not me", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.decide(cmd, challenge, "", uv) },
	}
	cmd.Flags().StringVar(&challenge, "challenge", "", "id of the challenge, when several wait")
	cmd.Flags().StringVar(&uv, "uv", "", "local check")
	return cmd
}

func (f *phoneFlags) decide(cmd *cobra.Command, challenge, number, uv string) error {
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
	check, err := localCheck(p, uv)
	if err != nil {
		return err
	}
	answer, err := p.Decide(cmd.Context(), c, number, check)
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
	var user, challenge string
	cmd := &cobra.Command{
		Use: "respond", Short: "Turn a six-digit challenge into the eight-digit response, offline", Args: cobra.NoArgs,
		Example: "  authledger phone respond --challenge 483921",
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := f.open()
			if err != nil {
				return err
			}
			response, err := p.Respond(user, challenge)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), response)
			return nil
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "id of the user, when several are active on this phone")
	cmd.Flags().StringVar(&challenge, "challenge", "", "the six digits of the login page")
	return cmd
}

func (f *phoneFlags) online() *cobra.Command {
	return &cobra.Command{
		Use: "online", Short: "Tell the server that the app can be reached again", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := f.open()
			if err != nil {
				return err
			}
			return p.Reachable(cmd.Context())
		},
	}
}
