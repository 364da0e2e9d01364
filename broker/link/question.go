package link

import (
	"context"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/store/oplog"
)

// ErrNoAnswer is returned, wrapped, when a node does not answer.
var ErrNoAnswer = errors.New("the node does not answer")

// questionsMax is how many questions of other nodes are looked at at a time. More are refused: who asks shows less.
const questionsMax = 32

// AskNode asks another node and waits for what it says, until ctx ends or the connection does.
func (l *Links) AskNode(ctx context.Context, node uint64, question []byte) ([]byte, error) {
	number, said := l.questions.begin(node)
	defer l.questions.end(number, nil)
	if err := l.Aside.Send(node, appendBytes(uvarints([]byte{kindQuestion}, number), question)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	select {
	case a := <-said:
		if !a.ok {
			return nil, ErrNoAnswer
		}
		return a.data, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrNoAnswer, ctx.Err())
	case <-l.ended:
		return nil, oplog.ErrClosed
	}
}

// questioned answers a question of another node.
func (l *Links) questioned(from uint64, r *reader) error {
	number, question := r.number(), r.bytes()
	if r.bad {
		return errMessage
	}
	answer := func(said []byte, verdict uint64) {
		if err := l.Aside.Send(from, appendBytes(uvarints([]byte{kindAnswer}, number, verdict), said)); err != nil {
			l.Logger.Debug().Err(err).Uint64("node", from).Msg("an answer was not sent")
		}
	}
	if l.Quick != nil {
		if said, ok := l.Quick(question); ok {
			answer(said, 1)
			return nil
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.looking.Load() >= questionsMax {
		answer(nil, 0)
		return nil
	}
	l.looking.Add(1)
	l.seeks.Go(func() {
		defer l.looking.Add(-1)
		said, ok := l.Question(question)
		verdict := uint64(0)
		if ok {
			verdict = 1
		}
		answer(said, verdict)
	})
	return nil
}

// LeaderOf gives the node that most likely leads a group, 0 if nobody knows.
func (l *Links) LeaderOf(id uint64) uint64 {
	if l.guests.leads(id) {
		return l.Node
	}
	if r := l.known(id); r != nil {
		r.mu.Lock()
		leader, ready := r.leader, r.ready
		r.mu.Unlock()
		if ready {
			return leader
		}
	}
	return l.Leader(id)
}
