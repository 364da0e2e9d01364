package queue

import (
	"cmp"
	"maps"
	"slices"
	"sort"

	"github.com/warrenmq/warren/broker/message"
)

// letters is which letters of other queues' outboxes have come, by the queue they are from. Their forwarder asks again after
// a crash, after a change of leader, and when another queue on a letter's way has refused it: what is here already is then
// confirmed and not taken a second time.
//
// A letter says below which number its source has none left. All below that is one span, and what is above are not many
// more than there are letters on their way.
type letters map[ID]*arrived

// arrived is the letters of one source: spans in order, none touching the next.
type arrived struct {
	spans []span
	used  uint64 // entry of the last letter
}

// span is numbers first..last.
type span struct{ first, last uint64 }

// sourcesMax is how many sources a queue remembers: then the quarter that was silent longest is forgotten. spansMax is how
// many spans of one: then the lowest but one is forgotten, which needs as many letters that went elsewhere while an older one
// waits.
const (
	sourcesMax = 4096
	spansMax   = 4096
)

// note notes that a letter is here, and tells whether it was not.
func (q *queue) note(l *message.Letter, index uint64) (fresh bool) {
	if q.letters == nil {
		q.letters = letters{}
	}
	a := q.letters[ID(l.Source)]
	if a == nil {
		q.letters.makeRoom()
		a = &arrived{}
		q.letters[ID(l.Source)] = a
	}
	a.used = index
	a.settle(l.Floor)
	return a.add(l.Number)
}

// have tells whether a letter is here.
func (p letters) have(l *message.Letter) bool {
	a := p[ID(l.Source)]
	if a == nil {
		return false
	}
	i := a.find(l.Number)
	return i < len(a.spans) && a.spans[i].first <= l.Number
}

// find gives the place of the first span that does not end before n.
func (a *arrived) find(n uint64) int {
	return sort.Search(len(a.spans), func(i int) bool { return a.spans[i].last >= n })
}

// settle joins all numbers below floor into the first span: none of them comes again, and a copy that was held up on its
// way is not taken for a new one.
func (a *arrived) settle(floor uint64) {
	if floor == 0 || len(a.spans) > 0 && a.spans[0].first == 0 && a.spans[0].last >= floor-1 {
		return
	}
	joined, n := span{0, floor - 1}, a.find(floor)
	if n < len(a.spans) && a.spans[n].first <= floor {
		joined.last = a.spans[n].last
		n++
	}
	a.spans = slices.Replace(a.spans, 0, n, joined)
}

// add adds a number, and tells whether it was not there.
func (a *arrived) add(n uint64) bool {
	i := a.find(n)
	if i < len(a.spans) && a.spans[i].first <= n {
		return false
	}
	behind, before := i > 0 && a.spans[i-1].last+1 == n, i < len(a.spans) && a.spans[i].first == n+1
	switch {
	case behind && before:
		a.spans[i-1].last = a.spans[i].last
		a.spans = slices.Delete(a.spans, i, i+1)
	case behind:
		a.spans[i-1].last = n
	case before:
		a.spans[i].first = n
	default:
		a.spans = slices.Insert(a.spans, i, span{n, n})
	}
	if len(a.spans) > spansMax {
		a.spans = slices.Delete(a.spans, 1, 2)
	}
	return true
}

func (p letters) makeRoom() {
	if len(p) < sourcesMax {
		return
	}
	ids := slices.SortedFunc(maps.Keys(p), func(a, b ID) int {
		return cmp.Or(cmp.Compare(p[a].used, p[b].used), cmp.Compare(a, b))
	})
	for _, id := range ids[:sourcesMax/4] {
		delete(p, id)
	}
}

func (p letters) append(dst []byte) []byte {
	dst = le.AppendUint32(dst, uint32(len(p)))
	for _, id := range sortedKeys(p) {
		dst = le.AppendUint64(dst, uint64(id))
		dst = le.AppendUint64(dst, p[id].used)
		dst = le.AppendUint32(dst, uint32(len(p[id].spans)))
		for _, s := range p[id].spans {
			dst = le.AppendUint64(le.AppendUint64(dst, s.first), s.last)
		}
	}
	return dst
}

func readLetters(r *reader) letters {
	var p letters
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		if p == nil {
			p = letters{}
		}
		id := ID(r.uint64())
		a := &arrived{used: r.uint64()}
		for m := r.uint32(); m > 0 && !r.bad; m-- {
			a.spans = append(a.spans, span{first: r.uint64(), last: r.uint64()})
		}
		p[id] = a
	}
	return p
}
