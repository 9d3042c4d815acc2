package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/authledger/authledger/eventstore/move"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progressTo shows how far something is: as a bar on a terminal, elsewhere as
// a line every ten seconds.
func progressTo(w io.Writer, what string) func(done, total int) {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		bar := progressbar.NewOptions(-1, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
		return func(done, total int) {
			bar.ChangeMax(total)
			_ = bar.Set(done) // a bar that cannot be drawn is no reason to stop
		}
	}
	last := time.Now()
	return func(done, total int) {
		if time.Since(last) >= 10*time.Second || done == total {
			last = time.Now()
			fmt.Fprintf(w, "%s: %d of %d\n", what, done, total)
		}
	}
}

// moveProgress shows the steps of a move, and the rate of each at its end.
func moveProgress(w io.Writer) func(move.Progress) {
	what := map[move.Step]string{move.Copying: "records copied", move.Comparing: "records compared"}
	shows := map[move.Step]func(done, total int){}
	return func(p move.Progress) {
		show, ok := shows[p.Step]
		if !ok {
			show = progressTo(w, what[p.Step])
			shows[p.Step] = show
		}
		show(int(p.Records), int(p.Total))
		if p.Records == p.Total {
			fmt.Fprintf(w, "%s: %.1f MB in this run, %.0f records a second\n", what[p.Step], float64(p.Bytes)/1e6, p.PerSecond)
		}
	}
}

// jsonProgress writes a JSON line each second, for programs.
func jsonProgress(w io.Writer, clock func() time.Time) func(done, total uint64) {
	began := clock()
	last := began
	return func(done, total uint64) {
		now := clock()
		if now.Sub(last) < time.Second && done != total {
			return
		}
		last = now
		fmt.Fprintf(w, `{"done":%d,"total":%d,"seconds":%.1f}`+"\n", done, total, now.Sub(began).Seconds())
	}
}

// hashText is a short name for a long one: SHA-256 in hexadecimal.
func hashText(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
