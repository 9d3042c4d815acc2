package keyring_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/authledger/authledger/eventstore/keyring"
)

// A code is derived when it is sent and derived again when it is checked; the
// event between the two records the kid and nothing else.
func Example() {
	dir, err := os.MkdirTemp("", "keyring")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	now := time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC)
	k, err := keyring.Open(ctx, keyring.Options{Dir: dir, Clock: func() time.Time { return now }})
	if err != nil {
		log.Fatal(err)
	}
	defer k.Close()

	kid, err := k.CurrentKid(ctx) // goes into the event
	if err != nil {
		log.Fatal(err)
	}
	sent, err := k.Digits(ctx, kid, "login.sms", "chl_u-1_7", 0, 6)
	if err != nil {
		log.Fatal(err)
	}
	now = now.Add(2 * time.Minute)
	derived, err := k.Digits(ctx, kid, "login.sms", "chl_u-1_7", 0, 6)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(kid[:11], len(sent), keyring.Equal(derived, sent))
	// Output: c2026-11-23 6 true
}

// Users type activation codes as they read them.
func ExampleNormalizeActivation() {
	fmt.Println(keyring.NormalizeActivation("fyew-pq3k"))
	fmt.Println(keyring.NormalizeActivation("oil0 1234"))
	fmt.Println(keyring.NormalizeActivation("fyew-pq3"))
	// Output:
	// FYEWPQ3K true
	// 01101234 true
	//  false
}
