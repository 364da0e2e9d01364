package topology

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
)

func metaDrop(key string) meta.Txn { return meta.Txn{Ops: []meta.Op{{Key: key, Delete: true}}} }

// store is metadata in memory with something in its way.
type store struct {
	*meta.Memory
	before func(ctx context.Context, t meta.Txn) error // an error is what Commit returns
}

func (s *store) Commit(ctx context.Context, t meta.Txn, durable func(error)) (int64, error) {
	if s.before != nil {
		if err := s.before(ctx, t); err != nil {
			return 0, err
		}
	}
	return s.Memory.Commit(ctx, t, durable)
}

func newStore(t *testing.T) (*store, *world) {
	t.Helper()
	s := &store{Memory: meta.NewMemory(nil, 0)}
	w := &world{t: t, memory: s.Memory, disk: map[string]meta.KV{}, Editor: open(t, s)}
	_, err := w.PutVHost(ctx, "/", nil, nil)
	w.must(err)
	return s, w
}

// TestAnEditThatIsOvertakenLooksAgain: the change is planned anew against what is there now.
func TestAnEditThatIsOvertakenLooksAgain(t *testing.T) {
	s, w := newStore(t)
	overtaken := 0
	s.before = func(context.Context, meta.Txn) error { // another node changes the vhost first
		if overtaken++; overtaken <= 5 {
			_, err := s.Memory.Commit(ctx, meta.Txn{Ops: []meta.Op{{Key: "vhost/%2F", Value: fmt.Appendf(nil, `{"description":"%d"}`, overtaken)}}}, nil)
			return err
		}
		return nil
	}
	w.queue("q")
	if overtaken != 6 || w.vhost().Queue("q") == nil || w.vhost().Description != "5" {
		t.Errorf("%d tries, %+v", overtaken, w.vhost())
	}
	overtaken = 0
	s.before = func(_ context.Context, txn meta.Txn) error { // another node declares the same queue in another way
		if overtaken++; overtaken == 1 {
			other := txn.Ops[0]
			other.Value = []byte(strings.Replace(string(other.Value), `"durable":true`, `"durable":false`, 1))
			_, err := s.Memory.Commit(ctx, meta.Txn{Ops: []meta.Op{other}}, nil)
			return err
		}
		return nil
	}
	_, err := w.declareQueue("other")
	want(t, "what another has made meanwhile", err, "406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'other' in vhost '/': received 'true' but current is 'false'")
	overtaken = 0
	s.before = func(context.Context, meta.Txn) error { // another node deletes the queue
		if overtaken++; overtaken == 1 {
			_, err := s.Memory.Commit(ctx, metaDrop(key(sectionQueue, "/", "q")), nil)
			return err
		}
		return nil
	}
	err = w.Bind(ctx, to("amq.fanout", "q", ""), &actor{}, nil)
	want(t, "what another has deleted meanwhile", err, "404 NOT_FOUND - no queue 'q' in vhost '/'")
}

// TestAStoreThatCannotBeReached: the refusal is clear, comes in time, and the next change may succeed.
func TestAStoreThatCannotBeReached(t *testing.T) {
	s, w := newStore(t)
	s.before = func(ctx context.Context, _ meta.Txn) error {
		<-ctx.Done()
		return fmt.Errorf("dialing: %w (%w)", meta.ErrUnavailable, ctx.Err())
	}
	soon, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	const text = "541 INTERNAL_ERROR - the metadata store cannot take changes: "
	refused := make(chan error, 1)
	go func() {
		_, err := w.DeclareQueue(soon, QueueDeclaration{VHost: "/", Name: "q"}, &actor{}, nil)
		refused <- err
	}()
	want(t, "a store that does not answer", <-refused, text+"dialing: meta: the metadata store cannot be reached (context deadline exceeded)")

	busy := make(chan struct{})
	s.before = func(ctx context.Context, _ meta.Txn) error { close(busy); <-ctx.Done(); return ctx.Err() }
	first, stop := context.WithCancel(ctx)
	go func() {
		refused <- w.DeclareExchange(first, ExchangeDeclaration{VHost: "/", Name: "x", Type: "fanout"}, &actor{}, nil)
	}()
	<-busy
	late, cancelLate := context.WithCancel(ctx)
	cancelLate()
	want(t, "a change that waits for its turn", w.DeleteQueue(late, "/", "q", 0, nil), text+"context canceled")
	stop()
	want(t, "the one it waited for", <-refused, text+"context canceled")

	s.before = func(context.Context, meta.Txn) error { return meta.ErrConflict } // and no event that would explain it
	never, cancelNever := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancelNever()
	_, err := w.DeclareQueue(never, QueueDeclaration{VHost: "/", Name: "q"}, &actor{}, nil)
	want(t, "conflicts without end", err, text+"context deadline exceeded")

	s.before = nil
	w.queue("q")
	if editTime > 5*time.Second {
		t.Errorf("a change may take %v", editTime)
	}
}

// slow is durability that comes when the test says so.
type slow struct {
	mu      sync.Mutex
	waiting []func(error)
}

func (s *slow) persist(_ int64, _ []meta.Op, durable func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if durable == nil {
		durable = func(error) {}
	}
	s.waiting = append(s.waiting, durable)
}

func (s *slow) next(err error) {
	s.mu.Lock()
	durable := s.waiting[0]
	s.waiting = s.waiting[1:]
	s.mu.Unlock()
	durable(err)
}

// TestWhoFindsWaitsLikeWhoMakes: a change is seen at once, but nobody is told that it lasts before it does: neither who
// made it nor who found it made.
func TestWhoFindsWaitsLikeWhoMakes(t *testing.T) {
	s, w := newStore(t)
	disk := &slow{}
	s.Persist = disk.persist
	var told []string
	tell := func(who string) func(error) {
		return func(err error) {
			if err != nil {
				who += " in vain"
			}
			told = append(told, who)
		}
	}
	declare := func(name, who string) {
		t.Helper()
		_, err := w.DeclareQueue(ctx, QueueDeclaration{VHost: "/", Name: name, Durable: true}, &actor{}, tell(who))
		w.must(err)
		if w.vhost().Queue(name) == nil {
			t.Errorf("%s is not seen at once", name)
		}
	}
	is := func(want ...string) {
		t.Helper()
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	}
	declare("a", "maker of a")
	declare("a", "finder of a")
	declare("b", "maker of b")
	declare("a", "second finder of a")
	w.must(w.DeleteExchange(ctx, "/", "none", false, &actor{}, tell("deleter of nothing")))
	is()
	disk.next(nil)
	is("maker of a", "finder of a")
	disk.next(nil)
	is("maker of a", "finder of a", "maker of b", "second finder of a", "deleter of nothing")
	declare("a", "late finder of a")
	is("maker of a", "finder of a", "maker of b", "second finder of a", "deleter of nothing", "late finder of a")
	told = nil
	_, err := w.DeclareQueue(ctx, QueueDeclaration{VHost: "/", Name: "fleeting"}, &actor{}, tell("maker of what need not last"))
	w.must(err)
	is("maker of what need not last")
	told = nil
	declare("c", "maker of c")
	declare("d", "maker of d")
	declare("c", "finder of c")
	disk.next(errors.New("the disk is gone"))
	is("maker of c in vain")
	disk.next(errors.New("the disk is gone"))
	is("maker of c in vain", "maker of d in vain", "finder of c in vain")
	declare("a", "finder after the failure")
	is("maker of c in vain", "maker of d in vain", "finder of c in vain", "finder after the failure in vain")
}

// TestBootstrapIsOneChange, and none if there is anything.
func TestBootstrapIsOneChange(t *testing.T) {
	d := Defaults{VHost: "v", User: "u", Record: UserRecord{PasswordHash: "h"}, Configure: "a", Write: "b", Read: "c"}
	s := &store{Memory: meta.NewMemory(nil, 0)}
	commits := 0
	s.before = func(context.Context, meta.Txn) error { commits++; return nil }
	e := open(t, s)
	for range 2 {
		if err := e.Bootstrap(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	v := e.Catalog().VHost("v")
	if commits != 1 || v == nil || v.ExchangeCount() != 7 || v.Permission("u") == nil || e.Catalog().User("u").PasswordHash != "h" {
		t.Errorf("%d commits, %+v", commits, v)
	}
	d.User = ""
	e = open(t, meta.NewMemory(nil, 0))
	if err := e.Bootstrap(ctx, d); err != nil || e.Catalog().VHost("v") == nil {
		t.Error(err)
	}
	d.User, d.Read = "u", "("
	if err := open(t, meta.NewMemory(nil, 0)).Bootstrap(ctx, d); err == nil {
		t.Error("a pattern that is none")
	}
}

// TestBrokenMetadataIsRefusedAtTheStart, with the name of what is broken.
func TestBrokenMetadataIsRefusedAtTheStart(t *testing.T) {
	for key, value := range map[string]string{
		"vhost/%2F": "{", "exchange/%2F/x": `{"type":"x-unheard-of"}`, "queue/%2F/q": "[]", "permission/%2F/u": `{"read":"("}`,
		"policy/%2F/p": `{"pattern":"(","definition":{}}`, "user/u": "null0",
	} {
		pairs := []meta.KV{{Key: key, Value: []byte(value), Revision: 2}}
		if key != "vhost/%2F" {
			pairs = append(pairs, meta.KV{Key: "vhost/%2F", Value: []byte("{}"), Revision: 1})
		}
		if key != "user/u" {
			pairs = append(pairs, meta.KV{Key: "user/u", Value: []byte("{}"), Revision: 1})
		}
		_, err := Open(ctx, meta.NewMemory(pairs, 2), Options{})
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s %s: %v", key, value, err)
		}
	}
}

// TestManyDeclareAtOnce: whoever is first makes it, all others find the same; bindings and deletions come in between.
func TestManyDeclareAtOnce(t *testing.T) {
	w := newWorld(t)
	const goroutines, names = 16, 20
	ids := make([]map[string]uint64, goroutines)
	var all sync.WaitGroup
	for g := range goroutines {
		ids[g] = map[string]uint64{}
		all.Go(func() {
			for i := range names {
				name := fmt.Sprint("q", (i+g)%names)
				q, err := w.DeclareQueue(ctx, QueueDeclaration{VHost: "/", Name: name, Durable: true}, &actor{}, nil)
				if err != nil {
					t.Error(err)
					return
				}
				ids[g][name] = q.ID
				if err := w.DeclareExchange(ctx, ExchangeDeclaration{VHost: "/", Name: "x", Type: "direct"}, &actor{}, nil); err != nil {
					t.Error(err)
				}
				if err := w.Bind(ctx, to("x", name, fmt.Sprint(i)), &actor{}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for g := range goroutines {
		for name, id := range ids[g] {
			if id != ids[0][name] || w.vhost().Queue(name).ID != id {
				t.Errorf("%s is another for %d", name, g)
			}
		}
	}
	if n := w.vhost().QueueCount(); n != names {
		t.Errorf("%d queues", n)
	}
	for g := range goroutines { // now declarations and deletions at once: each declaration succeeds
		all.Go(func() {
			for i := range 200 {
				if (i+g)%2 == 0 {
					if err := w.DeleteQueue(ctx, "/", "contested", 0, nil); err != nil {
						t.Error(err)
					}
				} else if q, err := w.DeclareQueue(ctx, QueueDeclaration{VHost: "/", Name: "contested"}, &actor{}, nil); err != nil || q.Name != "contested" || q.ID == 0 {
					t.Error(q, err)
				}
			}
		})
	}
	all.Wait()
	w.dropTransient()
	if before, after := dump(w.Catalog()), dump(w.restarted()); before != after {
		t.Errorf("after a restart:\n%s\nbefore:\n%s", after, before)
	}
}

// TestAnyHistoryLoadsAsItIs makes random changes. What the editor shows is what another one loads from the same store, and
// what lasts is what is shown without the rest; an old Catalog stays as it was.
func TestAnyHistoryLoadsAsItIs(t *testing.T) {
	for seed := range uint64(15) {
		random := rand.New(rand.NewPCG(9, seed))
		w := newWorld(t)
		var old []*Catalog
		var shown []string
		for range 250 {
			w.randomChange(random)
			if random.IntN(25) == 0 {
				old, shown = append(old, w.Catalog()), append(shown, dump(w.Catalog()))
			}
		}
		pairs, revision, err := w.memory.Load(ctx, nil)
		w.must(err)
		if now, loaded := dump(w.Catalog()), dump(open(t, meta.NewMemory(pairs, revision)).Catalog()); now != loaded {
			t.Fatalf("seed %d: loaded:\n%s\nshown:\n%s", seed, loaded, now)
		}
		for i := range old {
			if dump(old[i]) != shown[i] {
				t.Fatalf("seed %d: an old catalog has changed", seed)
			}
		}
		before := dump(w.Catalog())
		w.dropTransient()
		if now, after := dump(w.Catalog()), dump(w.restarted()); now != after {
			t.Fatalf("seed %d: after a restart:\n%s\nshown without what is transient:\n%s\nshown with it:\n%s", seed, after, now, before)
		}
	}
}

// randomChange makes one change that may be refused.
func (w *world) randomChange(random *rand.Rand) {
	q, x, y := fmt.Sprint("q", random.IntN(6)), fmt.Sprint("x", random.IntN(5)), fmt.Sprint("x", random.IntN(5))
	b := to(x, q, []string{"a", "b", "a.b", "#", "*"}[random.IntN(5)], []any{"h", int32(random.IntN(2))}[:2*random.IntN(2)]...)
	if random.IntN(3) == 0 {
		b.Destination, b.ToExchange = y, true
	}
	var err error
	switch random.IntN(12) {
	case 0, 1:
		_, err = w.declareQueue(q, func(d *QueueDeclaration) { d.Durable, d.Exclusive = random.IntN(3) > 0, random.IntN(6) == 0 })
	case 2, 3:
		err = w.declareExchange(x, []string{"direct", "topic", "fanout", "headers"}[random.IntN(4)], func(d *ExchangeDeclaration) {
			d.Durable, d.AutoDelete = random.IntN(3) > 0, random.IntN(3) == 0
		})
	case 4, 5, 6, 7:
		err = w.Bind(ctx, b, &actor{}, nil)
	case 8, 9:
		err = w.Unbind(ctx, b, &actor{}, nil)
	case 10:
		err = w.DeleteQueue(ctx, "/", q, 0, nil)
	default:
		err = w.DeleteExchange(ctx, "/", x, random.IntN(2) == 0, &actor{}, nil)
	}
	var refusal *protocol.Error
	if err != nil && (!errors.As(err, &refusal) || refusal.Code == protocol.CodeInternalError) {
		w.t.Fatal(err)
	}
}

// dropTransient removes from the store what a restart does away with: whatever is not on the disk.
func (w *world) dropTransient() {
	w.t.Helper()
	pairs, _, err := w.memory.Load(ctx, nil)
	w.must(err)
	var txn meta.Txn
	for _, kv := range pairs {
		if _, lasts := w.disk[kv.Key]; !lasts {
			txn.Ops = append(txn.Ops, meta.Op{Key: kv.Key, Delete: true, Ephemeral: true})
		}
	}
	_, err = w.memory.Commit(ctx, txn, nil)
	w.must(err)
}
