package dispatch

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// world is groups that note what is handed in.
type world struct {
	mu      sync.Mutex
	batches map[uint64][]oplog.Batch
	away    map[uint64]bool
	full    map[uint64]bool
	refuses map[uint64]bool
	share   int // of each session; 0: its window
}

func newWorld() *world {
	return &world{batches: map[uint64][]oplog.Batch{}, away: map[uint64]bool{}, full: map[uint64]bool{}, refuses: map[uint64]bool{}}
}

var errAway, errFull = errors.New("the group is away"), errors.New("the group takes nothing")

func (w *world) Handle(group uint64) (Handle, error) {
	if w.away[group] {
		return nil, errAway
	}
	return handle{w, group}, nil
}

type handle struct {
	*world
	group uint64
}

// Share implements Handle.
func (h handle) Share() int { return cmp.Or(h.share, Window) }

// Propose implements Handle.
func (h handle) Propose(b oplog.Batch) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full[h.group] {
		return errFull
	}
	if h.refuses[h.group] {
		return ErrRefused
	}
	h.batches[h.group] = append(h.batches[h.group], b)
	return nil
}

var me = queue.SessionKey{Node: 3, Session: 8}

// add adds commands of about so many bytes to a group's batch.
func add(t *testing.T, d *Door, group uint64, size int) {
	t.Helper()
	b, err := d.Batch(group)
	if err != nil {
		t.Fatal(err)
	}
	b.Add(&queue.Attach{Tag: string(make([]byte, min(size, 200))), Arguments: make([]byte, size)})
}

func TestBatchesAreNumberedByGroup(t *testing.T) {
	w := newWorld()
	d := NewDoor(me, w)
	for burst := range 3 {
		for _, group := range []uint64{1, 2, 1} {
			add(t, d, group, 10)
		}
		if burst == 1 {
			add(t, d, 3, 10)
		}
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Flush(); err != nil { // nothing is left
		t.Fatal(err)
	}
	if _, err := d.Batch(1); err != nil { // an open batch without commands is nothing either
		t.Fatal(err)
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	for group, count := range map[uint64]int{1: 3, 2: 3, 3: 1} {
		if len(w.batches[group]) != count {
			t.Fatalf("group %d got %d batches", group, len(w.batches[group]))
		}
		for i, b := range w.batches[group] {
			if want := (oplog.Origin{Node: 3, Session: 8, Seq: uint64(i + 1)}); b.From != want || len(b.Data) == 0 {
				t.Errorf("group %d: %+v with %d octets, want %+v", group, b.From, len(b.Data), want)
			}
		}
	}
	visited := d.Visited()
	slices.Sort(visited)
	if !slices.Equal(visited, []uint64{1, 2, 3}) || d.Key() != me {
		t.Errorf("%v %v", visited, d.Key())
	}
}

// TestHandedInBatchesStayAsTheyWere: the memory of the next burst is another.
func TestHandedInBatchesStayAsTheyWere(t *testing.T) {
	w := newWorld()
	d := NewDoor(me, w)
	var copies [][]byte
	for i := range 50 {
		b, _ := d.Batch(1)
		b.Add(&queue.Attach{Consumer: uint32(i), Tag: fmt.Sprint("tag", i)})
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, slices.Clone(w.batches[1][i].Data))
	}
	for i, b := range w.batches[1] {
		if !slices.Equal(b.Data, copies[i]) {
			t.Fatalf("batch %d has changed", i)
		}
	}
}

func TestAGroupThatIsAwayIsSaid(t *testing.T) {
	w := newWorld()
	d := NewDoor(me, w)
	w.away[1] = true
	if _, err := d.Batch(1); !errors.Is(err, errAway) {
		t.Error(err)
	}
	w.full[2] = true
	add(t, d, 2, 10)
	add(t, d, 3, 10)
	if err := d.Flush(); !errors.Is(err, errFull) {
		t.Error(err)
	}
	if len(w.batches[3]) != 1 {
		t.Error("another group did not get its batch")
	}
	w.away[1] = false
	add(t, d, 1, 10)
	if err := d.Flush(); err != nil || len(w.batches[1]) != 1 {
		t.Error(err)
	}
}

// TestBehindComesWhenAllBeforeIsApplied.
func TestBehindComesWhenAllBeforeIsApplied(t *testing.T) {
	d := NewDoor(me, newWorld())
	said := ""
	say := func(what string) func() { return func() { said += what } }
	want := func(so string) {
		t.Helper()
		if said != so {
			t.Errorf("said %q, want %q", said, so)
		}
	}
	d.Behind(1, say("a")) // nothing is under way
	want("a")
	for i := range 4 {
		add(t, d, 1, 10)
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		d.Behind(1, say(fmt.Sprint(i)))
	}
	d.Behind(2, say("b")) // another group
	add(t, d, 1, 10)
	d.Behind(1, say("c")) // what is not handed in does not count
	want("ab")
	d.Answered(1, 1)
	want("ab0")
	d.Answered(2, 9)
	d.Answered(1, 3)
	want("ab012")
	d.Answered(1, 4)
	want("ab0123c")
	d.Behind(1, say("d"))
	want("ab0123cd")
}

// TestTooMuchUnderWayMakesWait until enough is applied, in whatever order the groups answer, or until the door is closed.
func TestTooMuchUnderWayMakesWait(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	w := newWorld()
	d := NewDoor(me, w)
	if !d.Wait() {
		t.Fatal("waits for nothing")
	}
	d.Answered(77, 5) // of a group that nobody knows
	under, applied := map[uint64]int{}, map[uint64]int{}
	for round := range 300 {
		for range 1 + random.IntN(3) {
			add(t, d, 1+random.Uint64N(4), random.IntN(400<<10))
		}
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		used := 0
		for group, batches := range w.batches {
			under[group] = len(batches)
			for _, b := range batches[applied[group]:] {
				used += len(b.Data)
			}
		}
		if used != d.used {
			t.Fatalf("round %d: %d octets under way, the door counts %d", round, used, d.used)
		}
		done := make(chan bool, 1)
		go func() { done <- d.Wait() }()
		for used > Window { // answers come from other goroutines
			select {
			case <-done:
				t.Fatalf("did not wait with %d octets under way", used)
			default:
			}
			group := 1 + random.Uint64N(4)
			if n := under[group] - applied[group]; n > 0 {
				upTo := applied[group] + 1 + random.IntN(n)
				for _, b := range w.batches[group][applied[group]:upTo] {
					used -= len(b.Data)
				}
				applied[group] = upTo
				d.Answered(group, uint64(upTo))
				d.Answered(group, uint64(upTo)) // twice is once
			}
		}
		if !<-done {
			t.Fatal("the door is closed")
		}
	}
	for range 20 {
		add(t, d, 1, 1<<20)
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	done := make(chan bool, 1)
	go func() { done <- d.Wait() }()
	d.Close()
	if <-done || d.Wait() {
		t.Error("a closed door is open")
	}
}

func TestAnswersRaceWithBursts(t *testing.T) {
	w := newWorld()
	d := NewDoor(me, w)
	const bursts = 2000
	var all sync.WaitGroup
	for group := range uint64(3) {
		all.Go(func() {
			for seq := uint64(0); seq < bursts; {
				w.mu.Lock()
				n := uint64(len(w.batches[group]))
				w.mu.Unlock()
				if n > seq {
					seq = n
					d.Answered(group, seq)
				}
				d.Visited()
			}
		})
	}
	for range bursts {
		for group := range uint64(3) {
			add(t, d, group, 100<<10/3)
		}
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		if !d.Wait() {
			t.Fatal("closed")
		}
	}
	all.Wait()
	if d.used != 0 {
		t.Errorf("%d octets are under way", d.used)
	}
}
