package demo

import (
	"container/heap"
	"time"
)

// step is something that happens at a time.
type step struct {
	at time.Time
	n  int // order among equals
	do func(*tale)
}

// agenda is what will happen, by time.
type agenda struct {
	steps []step
	count int
}

func (a *agenda) add(at time.Time, do func(*tale)) {
	a.count++
	heap.Push(a, step{at: at, n: a.count, do: do})
}

func (a *agenda) next() step { return heap.Pop(a).(step) }

// Len, Less, Swap, Push and Pop make it a container/heap.

func (a *agenda) Len() int { return len(a.steps) }

func (a *agenda) Less(i, j int) bool {
	if !a.steps[i].at.Equal(a.steps[j].at) {
		return a.steps[i].at.Before(a.steps[j].at)
	}
	return a.steps[i].n < a.steps[j].n
}

func (a *agenda) Swap(i, j int) { a.steps[i], a.steps[j] = a.steps[j], a.steps[i] }

func (a *agenda) Push(x any) { a.steps = append(a.steps, x.(step)) }

func (a *agenda) Pop() any {
	last := len(a.steps) - 1
	s := a.steps[last]
	a.steps = a.steps[:last]
	return s
}
