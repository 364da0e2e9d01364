package management

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/logs"
	"github.com/warrenmq/warren/broker/queue"
)

// breaksHere is where the stack of a bug begins.
func breaksHere() { panic("it cannot be") }

// said gives what the server has logged so far.
func (w *world) said() func() string {
	var text strings.Builder
	w.Logger = zerolog.New(&text)
	return text.String
}

// TestABugInAQuestion of another node is not answered; the node lives, and says where it was.
func TestABugInAQuestion(t *testing.T) {
	w := newWorld(t)
	said := w.said()
	answerers["of a test"] = func(*Server, context.Context, json.RawMessage) (any, error) { breaksHere(); return nil, nil }
	defer delete(answerers, "of a test")
	if _, ok := w.Answer(context.Background(), []byte(`{"ask":"of a test"}`)); ok {
		t.Error("it is answered")
	}
	if !strings.Contains(said(), "breaksHere") {
		t.Errorf("the log says %s", said())
	}
}

// TestABugInAnErrand: one that works for a request, on another goroutine or on a group's, ends the request alone.
func TestABugInAnErrand(t *testing.T) {
	w := newWorld(t)
	for what, do := range map[string]func(){
		"a goroutine": func() {
			var e errands
			e.Go(func() {})
			e.Go(breaksHere)
			e.Wait()
		},
		"a group": func() {
			_, _ = ask(context.Background(), w.groups.one, func(*queue.Set) int { breaksHere(); return 0 })
		},
	} {
		if bug := logs.Catch(do); bug == nil || !strings.Contains(string(bug.Stack), "breaksHere") {
			t.Errorf("%s: %v", what, bug)
		}
	}
	if n, err := ask(context.Background(), w.groups.one, func(*queue.Set) int { return 7 }); n != 7 || err != nil {
		t.Errorf("the group says %d, %v", n, err)
	}
}

// TestABugInAnAnswer is a 500.
func TestABugInAnAnswer(t *testing.T) {
	w := newWorld(t)
	w.Options.Listeners = func() []Listener { breaksHere(); return nil }
	if r := w.as("guest", "GET", "/overview", ""); r.status != 500 || !strings.Contains(r.body, "internal_server_error") {
		t.Errorf("%d %s", r.status, r.body)
	}
}
