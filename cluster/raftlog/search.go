package raftlog

import (
	"errors"
	"io"

	"github.com/warrenmq/warren/store/entries"
)

// Search reads all that lives of open groups, one after another, and then calls done. What is damaged makes a group refuse, as
// if it had been met by chance: damage rarely comes alone, and a copy that is damaged where nobody has looked yet counts as one
// until the last good one is lost. It does not wait.
func (h *Host) Search(groups []uint64, done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return
	}
	h.start("raftlog.search", 0, func() {
		for _, group := range groups {
			m, err := h.member(group)
			if err != nil {
				continue // closed meanwhile
			}
			err = h.search(group)
			if errors.Is(err, errEnded) {
				return
			}
			m.damaged(err)
		}
		done()
	})
}

// search reads what lives before the newest snapshot; what comes behind was read when the group was opened.
func (h *Host) search(group uint64) error {
	view, ok, err := entries.New(h.Store, group).View()
	if err != nil || !ok {
		return err
	}
	return errors.Join(view.Send(untilClosed{h}), view.Close())
}

var errEnded = errors.New("raftlog: the host is closed")

// untilClosed takes everything until the host is closed.
type untilClosed struct{ host *Host }

// Write implements io.Writer.
func (u untilClosed) Write(p []byte) (int, error) {
	select {
	case <-u.host.closed:
		return 0, errEnded
	default:
		return io.Discard.Write(p)
	}
}
