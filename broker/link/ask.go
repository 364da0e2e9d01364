package link

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/warrenmq/warren/store/oplog"
)

// ErrNoLeader is returned, wrapped, when nobody leads a group for too long.
var ErrNoLeader = errors.New("nobody leads the group")

// askTime is how long a question may take.
const askTime = 5 * time.Second

// questions is what was asked and is not answered.
type questions struct {
	mu   sync.Mutex // guards what follows
	last uint64
	open map[uint64]asked
}

// asked is a question that is open.
type asked struct {
	node uint64 // the node that was asked, where an answer can only come from it; or else 0
	said chan answer
}

// answer is what somebody said; ok is false if he does not lead.
type answer struct {
	data []byte
	ok   bool
}

func (q *questions) begin(node uint64) (number uint64, said chan answer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open == nil {
		q.open = map[uint64]asked{}
	}
	q.last++
	said = make(chan answer, 1)
	q.open[q.last] = asked{node, said}
	return q.last, said
}

func (q *questions) end(number uint64, a *answer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if open, is := q.open[number]; is && a != nil {
		open.said <- *a
	}
	delete(q.open, number)
}

// lost ends what was asked of a node.
func (q *questions) lost(node uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for number, open := range q.open {
		if open.node == node {
			open.said <- answer{}
			delete(q.open, number)
		}
	}
}

// Ask asks the leader of a group. done is called once, from another goroutine; the error is ErrNoLeader, or oplog.ErrClosed.
func (l *Links) Ask(id uint64, question []byte, done func(said []byte, err error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		go done(nil, oplog.ErrClosed)
		return
	}
	l.seeks.Go(func() {
		over := time.NewTimer(askTime)
		defer over.Stop()
		for turn := 0; ; turn++ {
			said, ok := l.askOnce(id, turn, question, over)
			if ok {
				done(said, nil)
				return
			}
			if l.refuses(id) {
				done(nil, fmt.Errorf("%w %d", ErrNoLeader, id))
				return
			}
			pause := time.NewTimer(askPause)
			select {
			case <-pause.C:
			case <-over.C:
				done(nil, fmt.Errorf("%w %d", ErrNoLeader, id))
				return
			case <-l.ended:
				pause.Stop()
				done(nil, oplog.ErrClosed)
				return
			}
		}
	})
}

func (l *Links) askOnce(id uint64, turn int, question []byte, over *time.Timer) (said []byte, ok bool) {
	to := l.leaderOf(id, turn)
	if to == 0 {
		return nil, false
	}
	number, answers := l.questions.begin(0)
	defer l.questions.end(number, nil)
	if to == l.Node {
		l.reply(id, question, func(data []byte, ok bool) { l.questions.end(number, &answer{data, ok}) })
	} else if l.Peers.Send(to, appendBytes(uvarints([]byte{kindCall}, number, id), question)) != nil {
		return nil, false
	}
	wait := time.NewTimer(answerTime)
	defer wait.Stop()
	select {
	case a := <-answers:
		return a.data, a.ok
	case <-wait.C:
	case <-l.ended:
	}
	return nil, false
}

// leaderOf is who most likely leads a group.
func (l *Links) leaderOf(id uint64, turn int) uint64 {
	if l.guests.leads(id) {
		return l.Node
	}
	if r := l.known(id); r != nil {
		r.mu.Lock()
		leader, ready := r.leader, r.ready
		r.mu.Unlock()
		if ready && turn == 0 {
			return leader
		}
	}
	if leader := l.Leader(id); leader != 0 && turn%2 == 0 {
		return leader
	}
	members := l.Members(id)
	if len(members) == 0 {
		return 0
	}
	return members[turn%len(members)]
}

// reply answers a question to a group, if it is led here.
func (l *Links) reply(id uint64, question []byte, done func(said []byte, ok bool)) {
	g := l.Local(id)
	if g == nil || !l.guests.leads(id) {
		done(nil, false)
		return
	}
	l.Answer(g, question, done)
}

// called answers a question from another node.
func (l *Links) called(from uint64, r *reader) error {
	number, id, question := r.number(), r.number(), r.bytes()
	if r.bad {
		return errMessage
	}
	l.reply(id, question, func(said []byte, ok bool) {
		verdict := uint64(0)
		if ok {
			verdict = 1
		}
		if err := l.Peers.Send(from, appendBytes(uvarints([]byte{kindAnswer}, number, verdict), said)); err != nil {
			l.Logger.Debug().Err(err).Uint64("node", from).Msg("an answer was not sent")
		}
	})
	return nil
}

func (l *Links) toldAnswer(r *reader) error {
	number, verdict, data := r.number(), r.number(), r.bytes()
	if r.bad {
		return errMessage
	}
	l.questions.end(number, &answer{data, verdict == 1})
	return nil
}
