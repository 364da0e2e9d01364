package queue

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/warrenmq/warren/store/oplog"
)

// TestScripts runs testdata/*.txt. Each command is an entry of its own and prints its effects; script_command_test.go says
// which commands there are. What a session is not told, a script does not show, except for what the leader has to do.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := &script{world: newWorld(t)}
			datadriven.RunTest(t, file, s.run)
		})
	}
}

// script is a world that is told what to do line by line.
type script struct {
	*world
	pos string // of the line, for whoever has to find it
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.t, s.pos = t, d.Pos
	a := s.args(d)
	switch d.Cmd {
	case "tick":
		s.now += a.number("ms", 0)
		return s.render(s.do(a.from(), &Tick{}))
	case "counts":
		return s.counts(ID(a.number("q", 1)))
	case "outbox":
		return s.outbox(ID(a.number("q", 1)), uint64(a.number("from", 0)))
	case "pending":
		return s.pending()
	case "queues":
		return fmt.Sprintln(s.set.IDs())
	case "live":
		return s.alive()
	case "snapshot":
		return s.reload()
	case "batch":
		return s.batch(a, d.Input)
	case "resume":
		return s.render(s.set.Resume(a.from(), a.seen(), nil))
	}
	var b Batch
	s.add(&b, d.Cmd, a, d.Input)
	return s.render(s.apply(batchOf(a.from(), 0, &b)))
}

// batch is several commands, one a line, in one batch with a number.
func (s *script) batch(a args, lines string) string {
	var b Batch
	for _, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		name, rest, _ := strings.Cut(line, " ")
		s.add(&b, name, s.words(rest), "")
	}
	return s.render(s.apply(batchOf(a.from(), uint64(a.number("seq", 0)), &b)))
}

func (s *script) counts(id ID) string {
	c, ok := s.set.Counts(id)
	if !ok {
		return "no queue\n"
	}
	return fmt.Sprintf("ready %d, unacked %d, consumers %d\n", c.Ready, c.Unacked, c.Consumers)
}

func (s *script) outbox(id ID, from uint64) string {
	var out strings.Builder
	s.set.Outbox(id, from, func(d DeadLetter) bool {
		names := s.names(d.Index, d.Offset, d.Stride, d.Count)
		fmt.Fprintf(&out, "%s %s: %s", numbers(d.Number, d.Count), strings.Join(names, " "), d.Reason)
		if d.Flagged {
			out.WriteString(", redelivered")
		}
		s.writeCounts(&out, d.Deliveries, d.Acquired)
		out.WriteString("\n")
		return true
	})
	return orNothing(out.String())
}

// pending is what a new leader is told.
func (s *script) pending() string {
	var effects []Effect
	s.set.Pending(func(e Effect) { effects = append(effects, e) })
	return s.render(effects)
}

// alive shows how many messages are alive, each as often as queues have it, and in how many entries. That their bytes are
// accounted for is checked after every command.
func (s *script) alive() string {
	total := uint32(0)
	for _, q := range s.set.queues {
		q.each(func(r *run) { total += r.count })
	}
	s.set.eachEarly(func(r *run) { total += r.count })
	return fmt.Sprintf("%d in %d entries\n", total, len(s.live))
}

// reload goes on with a set that was restored from a snapshot.
func (s *script) reload() string {
	before := snapshot(s.t, s.set)
	s.set = restored(s.t, before, s.account)
	s.check()
	if !bytes.Equal(before, snapshot(s.t, s.set)) {
		return "the restored set is another\n"
	}
	return "restored\n"
}

// apply also sees to it that a set restored before the entry has the same effects.
func (s *script) apply(batches ...oplog.Batch) []Effect {
	twin := restored(s.t, snapshot(s.t, s.set), func(uint64, int64) {})
	e := s.entry(batches...)
	effects, err := s.set.Apply(e, nil)
	if err != nil {
		s.t.Fatalf("%s: %v", s.pos, err)
	}
	again, err := twin.Apply(e, nil)
	if err != nil || !slices.Equal(effects, again) {
		s.t.Fatalf("%s: a restored set answers %+v (%v) instead of %+v", s.pos, again, err, effects)
	}
	if !bytes.Equal(snapshot(s.t, s.set), snapshot(s.t, twin)) {
		s.t.Fatalf("%s: a restored set ends in another state", s.pos)
	}
	s.check()
	return effects
}

func (s *script) do(from SessionKey, commands ...Command) []Effect {
	var b Batch
	for _, c := range commands {
		b.Add(c)
	}
	return s.apply(batchOf(from, 0, &b))
}

// render prints effects, one a line.
func (s *script) render(effects []Effect) string {
	var out strings.Builder
	for i := range effects {
		s.renderOne(&out, &effects[i])
	}
	return orNothing(out.String())
}

func orNothing(s string) string {
	if s == "" {
		return "-\n"
	}
	return s
}

func (s *script) renderOne(out *strings.Builder, e *Effect) {
	to := sessionName(e.To)
	switch e.Kind {
	case Deliver:
		fmt.Fprintf(out, "deliver %s.c%d #%s %s", to, e.Consumer, numbers(e.Number, e.Count), s.bodies(e))
		if e.Stream {
			fmt.Fprintf(out, ", offset %s", numbers(e.Ready, e.Count))
		}
		s.writeFlags(out, e)
	case Got:
		fmt.Fprintf(out, "got %s.c%d r%d #%d %s", to, e.Consumer, e.Request, e.Number, s.bodies(e))
		s.writeFlags(out, e)
		fmt.Fprintf(out, ", %d left", e.Ready)
	case Confirm, Refuse:
		name := map[Kind]string{Confirm: "confirm", Refuse: "refuse"}[e.Kind]
		fmt.Fprintf(out, "%s %s ch%d %s", name, to, e.Channel, numbers(e.Number, e.Count))
	case Answer:
		fmt.Fprintf(out, "answer %s r%d %s, %d messages", to, e.Request, outcomes[e.Outcome], e.Ready)
	case Cancelled:
		fmt.Fprintf(out, "cancelled %s.c%d of q%d", to, e.Consumer, e.Queue)
		if e.Outcome == TimedOut {
			fmt.Fprintf(out, ": took longer than %d ms", e.Number)
		}
	case DeadLetters:
		fmt.Fprintf(out, "dead letters in q%d", e.Queue)
	case Gone:
		fmt.Fprintf(out, "gone q%d: %s", e.Queue, outcomes[e.Outcome])
	case Unknown:
		fmt.Fprintf(out, "unknown q%d", e.Queue)
	case Applied:
		fmt.Fprintf(out, "applied %s %d", to, e.Number)
	case Resumed:
		fmt.Fprintf(out, "resumed %s.c%d from #%d, %d bytes", to, e.Consumer, e.Number, e.Ready)
	case WakeAt:
		fmt.Fprintf(out, "wake in %d ms", int64(e.Number)-s.now)
	case Active:
		fmt.Fprintf(out, "%s %s.c%d", []string{"inactive", "active"}[e.Count], to, e.Consumer)
	default:
		s.t.Fatalf("%s: an effect of kind %d", s.pos, e.Kind)
	}
	out.WriteString("\n")
}

var outcomes = []string{
	Done: "done", Empty: "empty", NoQueue: "no queue", InUse: "in use", NotEmpty: "not empty",
	ExclusiveUse: "exclusive use", SingleActive: "single active consumer", Unused: "unused", Expired: "expired",
}

func (s *script) bodies(e *Effect) string {
	return strings.Join(s.names(e.Index, e.Offset, e.Stride, e.Count), " ")
}

func (s *script) writeFlags(out *strings.Builder, e *Effect) {
	if e.Redelivered {
		out.WriteString(", redelivered")
	}
	s.writeCounts(out, e.Deliveries, e.Acquired)
	if e.NoAck {
		out.WriteString(", no ack")
	}
}

func (s *script) writeCounts(out *strings.Builder, deliveries, acquired uint32) {
	if deliveries != 0 || acquired != 0 {
		fmt.Fprintf(out, ", failed %d, acquired %d", deliveries, acquired)
	}
}

// numbers is "3" or "3-7".
func numbers(first uint64, count uint32) string {
	if count == 1 {
		return strconv.FormatUint(first, 10)
	}
	return fmt.Sprintf("%d-%d", first, first+uint64(count)-1)
}

// sessionName is "s2", or "n3.s2" if it is not a session of node 1.
func sessionName(k SessionKey) string {
	if k.Node == 1 {
		return fmt.Sprintf("s%d", k.Session)
	}
	return fmt.Sprintf("n%d.s%d", k.Node, k.Session)
}
