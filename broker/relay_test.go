package broker

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// TestWhatANodeRelaysIsNotBelieved: a request of another node's operator may be anything that can be written as JSON.
func TestWhatANodeRelaysIsNotBelieved(t *testing.T) {
	logger := zerolog.Nop()
	b := Broker{config: Config{Logger: &logger}}
	b.Operate(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "as who asks from the node itself")
		w.WriteHeader(http.StatusNoContent)
	}))
	for _, asked := range []string{
		``, `null`, `[]`, `{}`, `{"header":null}`, `{"method":"GET","target":"/api/overview"}`, `{"method":"\n"}`, `{"target":"://"}`,
		`{"method":"GET","target":"*","header":{"a":null}}`,
	} {
		b.relayed(t.Context(), []byte(asked))
	}
	b.Operate(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if said, ok := b.relayed(t.Context(), []byte(`{}`)); !ok || !strings.Contains(string(said), `"status":200`) {
		t.Errorf("what writes nothing succeeds, as anywhere: %s", said)
	}
}

// TestABugInWhatIsRelayed is a 500 for who asked, and this node lives.
func TestABugInWhatIsRelayed(t *testing.T) {
	var log bytes.Buffer
	logger := zerolog.New(&log)
	b := Broker{config: Config{Logger: &logger}}
	b.Operate(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { breaksHere() }))
	if said, ok := b.relayed(t.Context(), []byte(`{"method":"POST","target":"/control/reload"}`)); !ok || !strings.Contains(string(said), `"status":500`) {
		t.Errorf("%v %s", ok, said)
	}
	if !strings.Contains(log.String(), "breaksHere") {
		t.Errorf("the log says %s", log.String())
	}
	b.Operate(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		breaksHere()
	}))
	if said, ok := b.relayed(t.Context(), []byte(`{"method":"POST","target":"/control/reload"}`)); ok {
		t.Errorf("a part of an answer is one: %s", said)
	}
}

// breaksHere is where the stack of a bug begins.
func breaksHere() { panic("it cannot be") }
