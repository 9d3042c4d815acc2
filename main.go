// Command authledger is the two-factor login system of a broker as an
// event-sourced ledger. This package wires the parts together and holds no
// rules: main parses, app opens and closes, commands name what can be run.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// version is set by the build.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRootCommand()
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "authledger:", err)
		os.Exit(exitCode(err))
	}
}

// collectLess lets the heap grow to three times what is alive before it is
// collected: under a login load a tenth of the processor went into collecting a
// heap of a few dozen megabytes. GOGC in the environment wins.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
}

// Exit codes of the command line.
const (
	exitRuntime     = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitUnavailable = 6
	exitVerify      = 10
	exitDiffers     = 11
	exitInterrupted = 130
)

func exitCode(err error) int {
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return classify(err)
}
