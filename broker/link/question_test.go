package link

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// TestQuestionsToANode are answered by that node, refused if it cannot, and over when the connection is.
func TestQuestionsToANode(t *testing.T) {
	w := newWorld(t, func(env *Env) {
		env.Quick = func(question []byte) ([]byte, bool) { return []byte("at once"), string(question) == "quick" }
	})
	begun := make(chan struct{}, questionsMax+1)
	end := make(chan struct{})
	w.answer = func(question []byte) ([]byte, bool) {
		switch string(question) {
		case "never":
			begun <- struct{}{}
			<-end
			return nil, true
		case "what":
			return nil, false
		}
		return append([]byte("said: "), question...), true
	}
	defer close(end)
	ctx := context.Background()
	if said, err := w.links[1].AskNode(ctx, 2, []byte("hello")); string(said) != "said: hello" || err != nil {
		t.Errorf("%q, %v", said, err)
	}
	if said, err := w.links[1].AskNode(ctx, 2, []byte("what")); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("%q, %v", said, err)
	}
	if said, err := w.links[1].AskNode(ctx, 9, []byte("hello")); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("a node that is not there says %q, %v", said, err)
	}
	over := make(chan error, questionsMax)
	for range questionsMax {
		go func() {
			_, err := w.links[1].AskNode(ctx, 2, []byte("never"))
			over <- err
		}()
	}
	for range questionsMax {
		<-begun
	}
	if said, err := w.links[3].AskNode(ctx, 2, []byte("hello")); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("a node that has enough to answer says %q, %v", said, err)
	}
	if said, err := w.links[3].AskNode(ctx, 2, []byte("quick")); string(said) != "at once" || err != nil {
		t.Errorf("a node that has enough to answer says %q, %v, to what takes no time", said, err)
	}
	w.network.cut(1, 2)
	for range questionsMax {
		select {
		case err := <-over:
			if !errors.Is(err, ErrNoAnswer) {
				t.Errorf("the connection breaks: %v", err)
			}
		case <-time.After(patience):
			t.Fatal("a question waits for an answer that cannot come")
		}
	}
	soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if _, err := w.links[3].AskNode(soon, 1, []byte("never")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody answers: %v", err)
	}
}

// TestAlarmsAreTold to every node that lives, and to one that is found.
func TestAlarmsAreTold(t *testing.T) {
	w := newWorld(t)
	knows := func(nodes ...uint64) {
		t.Helper()
		for left := slices.Clone(nodes); len(left) > 0; {
			select {
			case told := <-w.alarmed:
				if told[0] != told[1] || !slices.Contains(left, told[0]) {
					t.Errorf("node %d is said to have the alarms %v", told[0], told[1])
				}
				left = slices.DeleteFunc(left, func(node uint64) bool { return node == told[0] })
			case <-time.After(patience):
				t.Fatalf("nobody is told of the alarms of nodes %v", left)
			}
		}
	}
	w.links[2].TellAlarms()
	for range w.links {
		knows(2)
	}
	w.links[3].Found(1) // which may have told this one when nobody listened here yet
	knows(1, 3)
}

// TestTalliesAreTold: what has changed to every node that lives, and everything to one that is found, or lives anew.
func TestTalliesAreTold(t *testing.T) {
	w := newWorld(t)
	hears := func(want ...string) {
		t.Helper()
		for range want {
			select {
			case told := <-w.told:
				if !slices.Contains(want, told) {
					t.Errorf("%q is told, not one of %q", told, want)
				}
			case <-time.After(patience):
				t.Fatalf("nobody is told %q", want)
			}
		}
	}
	w.links[2].TellTallies()
	hears("2 to 1: 2 of all false", "2 to 2: 2 of all false", "2 to 3: 2 of all false", "2 to 4: 2 of all false")
	w.links[3].Found(1) // which may have told this one when nobody listened here yet
	hears("3 to 1: 3 of all true", "1 to 3: 1 of all true")
	w.links[3].Lives(map[uint64]uint64{1: 1, 3: 1})
	hears("3 to 1: 3 of all true")
	w.links[3].Lives(map[uint64]uint64{1: 1, 3: 1, 4: 1})
	hears("3 to 4: 3 of all true")
}
