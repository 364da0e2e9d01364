package dispatch

import (
	"testing"

	"github.com/warrenmq/warren/store/oplog"
)

// TestARefusedBatchIsAsIfItHadNotBeen: its number is the next one's, it holds nobody back, and nothing waits behind it.
func TestARefusedBatchIsAsIfItHadNotBeen(t *testing.T) {
	w := newWorld()
	d := NewDoor(me, w)
	add(t, d, 1, 10)
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	said := ""
	w.refuses[1] = true
	for range 3 {
		add(t, d, 1, 8<<20)
		add(t, d, 2, 10)
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	d.Behind(1, func() { said += "a" })
	if !d.Wait() || said != "" {
		t.Fatalf("said %q", said)
	}
	w.refuses[1] = false
	add(t, d, 1, 10)
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	if len(w.batches[1]) != 2 || w.batches[1][1].From.Seq != 2 || len(w.batches[2]) != 3 {
		t.Errorf("%d batches, %d of the other group", len(w.batches[1]), len(w.batches[2]))
	}
	d.Answered(1, 1)
	if said != "a" {
		t.Error("what comes behind the first batch waits for another")
	}
	d.Answered(1, 2)
	d.Answered(2, 3)
	if d.used != 0 {
		t.Errorf("%d octets are under way", d.used)
	}
}

// behindARefusal is a group to which something comes behind the batch that it is about to refuse.
type behindARefusal struct {
	*world
	during func()
}

func (b behindARefusal) Handle(group uint64) (Handle, error) {
	h, err := b.world.Handle(group)
	return Whole{refusing{h, b.during}}, err
}

type refusing struct {
	Handle
	during func()
}

func (r refusing) Propose(b oplog.Batch) error {
	r.during()
	return r.Handle.Propose(b)
}

// TestBehindABatchThatIsRefusedMeanwhile: what was to come behind it comes behind the one before.
func TestBehindABatchThatIsRefusedMeanwhile(t *testing.T) {
	w := newWorld()
	said, during := "", func() {}
	d := NewDoor(me, behindARefusal{w, func() { during() }})
	w.refuses[1] = true
	during = func() { d.Behind(1, func() { said += "b" }) }
	add(t, d, 1, 10)
	if err := d.Flush(); err != nil || said != "b" {
		t.Errorf("%v, said %q behind nothing", err, said)
	}
	during, w.refuses[1] = func() {}, false
	add(t, d, 1, 10)
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	during, w.refuses[1] = func() { d.Behind(1, func() { said += "c" }) }, true
	add(t, d, 1, 10)
	if err := d.Flush(); err != nil || said != "b" {
		t.Errorf("%v, said %q", err, said)
	}
	if d.Answered(1, 1); said != "bc" {
		t.Errorf("said %q", said)
	}
}

// TestASessionThatIsLetGo does not wait for what one group has not applied; what it hands in to others counts as before.
func TestASessionThatIsLetGo(t *testing.T) {
	w := newWorld()
	d := NewDoor(me, w)
	said := ""
	add(t, d, 1, 8<<20)
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	d.Behind(1, func() { said += "a" })
	done := make(chan bool, 1)
	go func() { done <- d.Wait() }()
	d.LetGo(77) // nobody knows it
	d.LetGo(1)
	if !<-done || said != "a" {
		t.Fatalf("waits on, said %q", said)
	}
	if d.Behind(1, func() { said += "b" }); said != "ab" {
		t.Errorf("said %q", said)
	}
	add(t, d, 2, 8<<20)
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	go func() { done <- d.Wait() }()
	d.Answered(1, 1)
	select {
	case <-done:
		t.Fatal("does not wait for another group")
	default:
	}
	if d.Answered(2, 1); !<-done || d.used != 0 {
		t.Errorf("%d octets under way", d.used)
	}
	add(t, d, 1, 10)
	if err := d.Flush(); err != nil || d.used == 0 {
		t.Error("what comes later does not count")
	}
	if d.Behind(1, func() { said += "c" }); said != "ab" {
		t.Errorf("said %q: the group has answered again", said)
	}
}

// TestWhatIsHandedInAfterLettingGo: while a group has no leader acknowledgements are still taken for it, and the session waits
// for none of them, however many there are. Once there is a leader it waits again, also before the first answer.
func TestWhatIsHandedInAfterLettingGo(t *testing.T) {
	w := newWorld()
	d := NewDoor(me, w)
	hand := func(size int) {
		t.Helper()
		add(t, d, 1, size)
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	hand(10)
	w.share = Unbounded
	d.LetGo(1)
	for range 3 {
		hand(8 << 20)
	}
	if d.used != 0 || d.crowded() {
		t.Fatalf("%d octets under way for which nobody waits", d.used)
	}
	w.share = 200 << 10
	hand(8 << 20)
	if !d.crowded() {
		t.Fatal("does not wait for a group that has a leader")
	}
	done := make(chan bool, 1)
	go func() { done <- d.Wait() }()
	d.Answered(1, 4)
	select {
	case <-done:
		t.Fatal("goes on before the group has answered")
	default:
	}
	if d.Answered(1, 5); !<-done || d.used != 0 {
		t.Errorf("%d octets under way", d.used)
	}
}

// TestAShareIsSmallerThanTheWindow where many share a group; who has nothing under way may have a batch there.
func TestAShareIsSmallerThanTheWindow(t *testing.T) {
	w := newWorld()
	w.share = 200 << 10
	d := NewDoor(me, w)
	add(t, d, 1, 10<<10)
	if err := d.Flush(); err != nil || !d.Wait() {
		t.Fatal("waits with less than its share")
	}
	add(t, d, 1, 100<<10)
	if err := d.Flush(); err != nil || !d.Wait() {
		t.Fatal("waits with less than its share")
	}
	add(t, d, 2, 100<<10)
	add(t, d, 1, 100<<10)
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	done := make(chan bool, 1)
	go func() { done <- d.Wait() }()
	d.Answered(2, 1)
	select {
	case <-done:
		t.Fatal("does not wait with more than its share")
	default:
	}
	if d.Answered(1, 2); !<-done {
		t.Error("closed")
	}
}
