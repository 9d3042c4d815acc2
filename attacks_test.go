//go:build !race

package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// The attacks and the flipped bits (bitrot_test.go) take a whole ledger apart
// hundreds of times and run nothing at the same time: the race detector would
// find nothing and take ten times as long. `make test` runs them without it.

// TestAttacks carries out every attack with every power, and compares what
// noticed with the table in docs/threats.md.
func TestAttacks(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	var mu sync.Mutex
	rows := map[int]string{}
	n := 0
	t.Run("rows", func(t *testing.T) {
		for _, a := range append([]attack{{"nothing", []power{editsFile}, func(*scene, power) {}}}, attacks()...) {
			for _, p := range a.powers {
				row := n
				n++
				t.Run(fmt.Sprintf("%s/%s", a.name, powerNames[p]), func(t *testing.T) {
					t.Parallel()
					s := newScene(t, v)
					s.power = p
					a.do(s, p)
					found := s.noticed()
					checkRow(t, a.name, p, found)
					mu.Lock()
					defer mu.Unlock()
					rows[row] = tableRow(a.name, p, found)
				})
			}
		}
	})
	var b strings.Builder
	b.WriteString(tableHead())
	for row := range n {
		b.WriteString(rows[row])
	}
	compareTable(t, b.String())
}
