package raftlog

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/store"
)

// quietly carries messages between hosts that a benchmark drives, and counts them.
type quietly struct {
	node    uint64
	waiting map[[2]uint64][][]byte
	pieces  *int
}

// Send implements Network.
func (q quietly) Send(to uint64, data []byte) {
	*q.pieces++
	at := [2]uint64{q.node, to}
	q.waiting[at] = append(q.waiting[at], data)
}

// Stream implements Network.
func (q quietly) Stream(uint64, func(io.Writer) error) error { return errors.ErrUnsupported }

// BenchmarkIdleGroups lets ticks pass for three nodes with groups in which nothing happens; each node leads a third of them.
// A second has 20 ticks: it reports the CPU that one node takes, in percent, and how many pieces each node sends a peer.
func BenchmarkIdleGroups(b *testing.B) {
	for _, groups := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(groups), func(b *testing.B) { idle(b, groups) })
	}
}

func idle(b *testing.B, groups int) {
	pieces := 0
	waiting := map[[2]uint64][][]byte{}
	members := []uint64{1, 2, 3}
	var hosts []*Host
	for _, id := range members {
		s, err := store.Open("data", store.Options{FS: vfs.NewMem()})
		must(b, err)
		h := newHost(Options{
			Node: id, Store: s, Clock: func() int64 { return 1 }, Fatal: func(err error) { b.Error(err) }, Logger: zerolog.Nop(),
			Network: quietly{id, waiting, &pieces},
		})
		h.driven = func() {}
		b.Cleanup(func() { must(b, errors.Join(h.Close(), s.Close())) })
		hosts = append(hosts, h)
		for g := range uint64(groups) {
			_, err := h.Open(g+1, members, newScribe(id, newHistory(), bugs{}))
			must(b, err)
		}
	}
	var tray tray
	var tasks []task
	settle := func() {
		for again := true; again; {
			again = false
			for i, h := range hosts {
				any, _ := h.workers[0].pass(&tray)
				for _, m := range h.workers[0].members {
					any = m.applier.pass(&tasks) || any
				}
				again = again || any || h.workers[0].disk.outstanding() > 0
				for at, list := range waiting {
					if at[1] == members[i] {
						delete(waiting, at)
						for _, data := range list {
							h.Receive(at[0], data)
						}
						again = true
					}
				}
			}
		}
	}
	settle()
	for g := range uint64(groups) {
		h := hosts[g%3]
		h.workers[0].members[g+1].campaign()
		settle()
	}
	pieces = 0
	b.ResetTimer()
	for b.Loop() {
		for _, h := range hosts {
			h.workers[0].tick()
		}
		settle()
	}
	perTick := b.Elapsed().Seconds() / float64(b.N) / float64(len(hosts))
	b.ReportMetric(perTick*20*100, "%CPU/node")
	b.ReportMetric(float64(pieces)/float64(b.N)/float64(len(hosts))/2*20, "pieces/s/peer")
}
