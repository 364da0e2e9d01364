package broker

import (
	"net/http"
	"strings"
	"testing"
)

// TestWhatANodeRelaysIsNotBelieved: a request of another node's operator may be anything that can be written as JSON.
func TestWhatANodeRelaysIsNotBelieved(t *testing.T) {
	var b Broker
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
