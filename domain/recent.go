package domain

import "slices"

// recent keeps the newest things of one kind, so that a state stays small
// however long its history is. What falls out is old: its id is below the
// stream's counter, and it is answered as closed.
type recent[T any] struct {
	order []string
	items map[string]*T
}

// recentLimit is far above what can be open at once: transactions live ten
// minutes (D-16) and messages have cooldowns (D-10).
const recentLimit = 48

func (r *recent[T]) add(id string, item *T) {
	if r.items == nil {
		r.items = map[string]*T{}
	}
	if _, ok := r.items[id]; !ok {
		r.order = append(r.order, id)
	}
	r.items[id] = item
	if len(r.order) > recentLimit {
		delete(r.items, r.order[0])
		r.order = append(r.order[:0], r.order[1:]...)
	}
}

func (r *recent[T]) remove(id string) {
	if _, ok := r.items[id]; !ok {
		return
	}
	delete(r.items, id)
	r.order = slices.DeleteFunc(slices.Clone(r.order), func(o string) bool { return o == id })
}

func (r *recent[T]) get(id string) *T { return r.items[id] }
