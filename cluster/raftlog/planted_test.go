package raftlog

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/keys"
)

// bugs are planted into a simulation: each breaks a promise that the history checks.
type bugs struct {
	forgetsVote    bool // a node that starts has forgotten its term and its vote
	losesSynced    bool // a crash takes what was synced, too
	forgetsOrigins bool // a machine that is restored does not know what it has applied
	ownTime        bool // a leader stamps with its own clock alone
	skipsEntries   bool // a member leaves out an entry
	garblesState   bool // a state is restored as another than it was
	confirmsEarly  bool // sessions are told before anything is committed
}

// TestPlantedBugsAreFound: each promise is checked, since a history in which it is broken is found out.
func TestPlantedBugsAreFound(t *testing.T) {
	for name, test := range map[string]struct {
		planted bugs
		says    []string
	}{
		"a vote is forgotten":         {bugs{forgetsVote: true}, []string{"lead term"}},
		"what was synced is lost":     {bugs{losesSynced: true}, []string{"is lost", "applied", "takes effect at", "leaves out"}},
		"an origin is forgotten":      {bugs{forgetsOrigins: true}, []string{"takes effect at", "at the end node"}},
		"a leader has its own time":   {bugs{ownTime: true}, []string{"log time goes back"}},
		"an entry is left out":        {bugs{skipsEntries: true}, []string{"leaves out entry", "takes effect at"}},
		"a state is another":          {bugs{garblesState: true}, []string{"at the end node"}},
		"a confirm comes before time": {bugs{confirmsEarly: true}, []string{"is lost"}},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(300) {
				seeded(t, seed)
				err := playOn(newSimulation(seed, test.planted))
				for _, text := range test.says {
					if err != nil && strings.Contains(err.Error(), text) {
						t.Logf("seed %d: %v", seed, err)
						return
					}
				}
				var own *raftError
				if err != nil && !errors.As(err, &own) {
					t.Fatalf("seed %d: it says something else: %v", seed, err)
				}
			}
			t.Error("nobody noticed")
		})
	}
}

// raftError is raft's own word for what must not be.
type raftError struct{ said any }

// Error implements error.
func (e *raftError) Error() string { return fmt.Sprint(e.said) }

// playOn plays, and gives what raft itself finds out as an error.
func playOn(s *simulation) (err error) {
	defer func() {
		if said := recover(); said != nil {
			err = &raftError{said}
		}
	}()
	return s.play()
}

// forgetVote removes the promises of a node that does not run.
func (a *actor) forgetVote() error {
	s, err := store.Open("data", store.Options{FS: a.disk})
	if err != nil {
		return err
	}
	return errors.Join(s.DB.Delete(keys.HardState(theGroup), pebble.Sync), s.Close())
}
