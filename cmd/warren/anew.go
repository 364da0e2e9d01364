package main

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/warrenmq/warren/store"
)

// damage is what was heard of damage that cannot be removed from the disk.
type damage struct {
	mu       sync.Mutex
	met      error
	hopeless chan error // one place: the node has given up its groups because of it
}

func (d *damage) init() { d.hopeless = make(chan error, 1) }

// note keeps the first.
func (d *damage) note(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.met == nil {
		d.met = err
	}
}

func (d *damage) stuck() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.met
}

func (d *damage) anew(why error) {
	select {
	case d.hopeless <- why:
	default: // it is about to happen
	}
}

// again ends everything, sets the damaged directory aside, and starts the program again in this process.
func (s *server) again(why error) error {
	dir := s.settings().Text("data_dir")
	program, err := os.Executable()
	if err != nil {
		return errors.Join(why, err, s.close())
	}
	s.logger.Info().Msg("stopping, to begin anew")
	if err := s.close(); err != nil {
		fmt.Fprintln(os.Stderr, "warren:", err) // what cannot be closed is not used again
	}
	if _, err := store.SetAside(dir); err != nil {
		return errors.Join(why, err)
	}
	return errors.Join(why, syscall.Exec(program, os.Args, os.Environ())) //nolint:gosec // itself
}

// beginAnew sets aside what a node of a cluster can no longer read: the others have it. A node that has lost what it promised
// must not be the one that it was, so its identity goes too.
func (s *server) beginAnew(dir string, damage error) error {
	to, err := store.SetAside(dir)
	if err != nil {
		return errors.Join(damage, err)
	}
	s.logger.Error().Err(damage).Str("moved_to", to).Msg("the data directory is damaged: this node begins anew, and the others send it what it held")
	return nil
}
