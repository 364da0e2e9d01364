package queue

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestAlarmsAgainstAList sets, moves and removes at random: the first is always the one that is due first.
func TestAlarmsAgainstAList(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	var h alarms
	queues := make([]*queue, 40)
	for i := range queues {
		queues[i] = &queue{id: ID(i)}
	}
	soonest := func(a, b *queue) int { return cmp.Or(cmp.Compare(a.armed, b.armed), cmp.Compare(a.id, b.id)) }
	for step := range 20000 {
		q := queues[rng.IntN(len(queues))]
		switch {
		case q.armed == 0:
			h.set(q, 1+rng.Int64N(200))
		case rng.IntN(2) == 0:
			h.set(q, 1+rng.Int64N(q.armed))
		default:
			h.remove(q)
		}
		if rng.IntN(10) == 0 {
			h.remove(queues[rng.IntN(len(queues))])
		}
		armed := slices.DeleteFunc(slices.Clone(queues), func(q *queue) bool { return q.armed == 0 })
		if len(armed) != len(h.items) {
			t.Fatalf("step %d: %d are in, should be %d", step, len(h.items), len(armed))
		}
		if first := h.first(); len(armed) > 0 && first != slices.MinFunc(armed, soonest) || len(armed) == 0 && first != nil {
			t.Fatalf("step %d: another one is due first", step)
		}
	}
}
