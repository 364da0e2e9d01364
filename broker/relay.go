package broker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/warrenmq/warren/broker/logs"
)

// An operator of one node may mean another: what it asks goes over the way that nodes have to each other, and is answered by
// what would answer an operator there.

// askRelay begins a question that is a request of an operator; the rest is JSON.
const askRelay = 2

// relayMax is how large a request of an operator to another node may be. Bytes.
const relayMax = 64 << 20

// relayedRequest is a request on its way.
type relayedRequest struct {
	Method string      `json:"method"`
	Target string      `json:"target"` // path and query
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

// relayedAnswer is what comes back.
type relayedAnswer struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

// Operate sets who answers what operators of other nodes ask of this one. Without it, they are refused.
func (b *Broker) Operate(h http.Handler) { b.operators.Store(&h) }

// Relay lets another node answer the request of an operator, and writes what it says.
func (b *Broker) Relay(w http.ResponseWriter, r *http.Request, node string) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, relayMax))
	if err != nil {
		return err
	}
	asked, err := json.Marshal(relayedRequest{r.Method, r.URL.RequestURI(), r.Header, body})
	if err != nil {
		return err
	}
	for _, n := range b.nodes().Nodes() {
		if n.Name != node || n.ID == b.config.Node {
			continue
		}
		ctx, cancel := context.WithTimeout(r.Context(), questionTime)
		defer cancel()
		said, err := b.groups.links.AskNode(ctx, n.ID, append([]byte{askRelay}, asked...))
		if err != nil {
			return err
		}
		var a relayedAnswer
		if err := json.Unmarshal(said, &a); err != nil {
			return fmt.Errorf("the answer cannot be read: %w", err)
		}
		if a.Status < 200 || a.Status > 599 {
			return fmt.Errorf("the answer has the status %d", a.Status)
		}
		for key, values := range a.Header {
			w.Header()[key] = values
		}
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Body) // whoever asked may be gone
		return nil
	}
	return errors.New("there is no other node of that name")
}

// relayed answers what an operator of another node asks.
func (b *Broker) relayed(ctx context.Context, asked []byte) (said []byte, ok bool) {
	h := b.operators.Load()
	var q relayedRequest
	if h == nil || json.Unmarshal(asked, &q) != nil {
		return nil, false
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, q.Target, bytes.NewReader(q.Body))
	if err != nil {
		return nil, false
	}
	if r.RequestURI = q.Target; q.Header != nil {
		r.Header = q.Header
	}
	var a answer
	guarded := logs.Guard(b.config.area("default"), *h)
	if bug := logs.Catch(func() { guarded.ServeHTTP(&a, r) }); bug != nil {
		return nil, false // which the log has, and a part of an answer is none
	}
	said, err = json.Marshal(relayedAnswer{cmp.Or(a.status, http.StatusOK), a.header, []byte(a.body.String())})
	return said, err == nil
}
