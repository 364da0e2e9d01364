package management

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// TestNodesAskEachOther by bytes that are carried by hand: what each says is there, what one does not say is missing, and it is
// not asked again for a while.
func TestNodesAskEachOther(t *testing.T) {
	echo := question[int, []int]{name: "test-echo", answer: func(s *Server, _ context.Context, n int) ([]int, error) {
		if n < 0 {
			return nil, errNoAnswer
		}
		return []int{int(s.Nodes.Self), n}, nil
	}}
	register(echo)
	servers, hangs, asked := map[uint64]*Server{}, map[uint64]bool{}, map[uint64]*atomic.Int32{1: {}, 2: {}, 3: {}, 4: {}}
	for id := uint64(1); id <= 4; id++ {
		servers[id] = &Server{Options: Options{Logger: zerolog.Nop(), Nodes: &Cluster{
			Self:   id,
			Wanted: func() map[uint64]GroupWish { return nil },
			Nodes: func() []Node {
				return []Node{{ID: 1, Name: "a", Alive: true}, {ID: 2, Name: "b", Alive: true}, {ID: 3, Name: "c", Alive: true}, {ID: 4, Name: "d"}}
			},
			Ask: func(ctx context.Context, node uint64, question []byte) ([]byte, error) {
				if asked[node].Add(1); hangs[node] {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				said, ok := servers[node].Answer(ctx, question)
				if !ok {
					return nil, errNoAnswer
				}
				return said, nil
			},
		}}}
	}
	s, ctx := servers[1], context.Background()
	said, err := echo.of(ctx, s, 2, 7)
	if fmt.Sprint(said, err) != "[2 7] <nil>" {
		t.Errorf("node 2 says %v, %v", said, err)
	}
	if _, err := echo.of(ctx, s, 2, -1); !errors.Is(err, errNoAnswer) {
		t.Errorf("who cannot answer: %v", err)
	}
	if said, ok := servers[2].Answer(ctx, []byte(`{"ask":"nonsense"}`)); ok {
		t.Errorf("nonsense is answered with %s", said)
	}
	hangs[3] = true
	soon, cancel := context.WithCancel(ctx)
	cancel()
	if all := fmt.Sprint(echo.each(soon, s, map[uint64]int{3: 1})); all != "map[]" || s.peers.rests(3, time.Now()) {
		t.Errorf("a node that hangs says %s", all)
	}
	hangs[3] = false
	asked[3].Store(0)
	s.peers.silent(3, time.Now())
	if all := fmt.Sprint(echo.each(ctx, s, map[uint64]int{2: 1, 3: 1})); all != "map[2:[2 1]]" || asked[3].Load() != 0 {
		t.Errorf("after it has not answered: %s, asked %d times", all, asked[3].Load())
	}
	s.peers.until = nil
	if all := fmt.Sprint(s.others(), echo.each(ctx, s, map[uint64]int{2: 1, 3: 1})); all != "[2 3] map[2:[2 1] 3:[3 1]]" {
		t.Errorf("once it answers: %s", all)
	}
}

// TestSumsOfNodes: numbers are added, samples by their time, lists joined, and texts stay.
func TestSumsOfNodes(t *testing.T) {
	own := plain(object{
		"name": "own", "messages": 3, "rates": object{"rate": float(1.5), "samples": []object{{"sample": 5, "timestamp": 20}, {"sample": 1, "timestamp": 10}}},
	})
	add(own, plain(object{
		"name": "other", "messages": 4, "more": 1, "rates": object{"rate": float(2), "samples": []object{{"sample": 7, "timestamp": 20}, {"sample": 2, "timestamp": 30}}},
	}))
	said, err := json.Marshal(own)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"messages":7,"more":1,"name":"own","rates":{"rate":3.5,"samples":[{"sample":12,"timestamp":20},{"sample":1,"timestamp":10},{"sample":2,"timestamp":30}]}}`
	if string(said) != want {
		t.Errorf("%s\nwant %s", said, want)
	}
}
