package limits

import (
	"context"
	"time"

	"github.com/rs/zerolog"
)

// Monitor watches memory and disk.
type Monitor struct {
	Alarms *Alarms
	// Memory gives the bytes the process holds; MemoryLimit is from where on that is too much. 0: no limit.
	Memory      func() (uint64, error)
	MemoryLimit uint64
	// Relieve gives memory back that the process holds and does not need. It is asked before the alarm is raised, and now and
	// then while it is: nothing is freed by itself in a process that does nothing. Nil: there is no way.
	Relieve func()
	// DiskFree gives the bytes free on the data directory's disk; DiskLimit is how many there must be. 0: no limit.
	DiskFree  func() (uint64, error)
	DiskLimit uint64
	Logger    zerolog.Logger

	relieved int // checks since Relieve
}

// interval is how often a Monitor looks: often enough for publishing to resume seconds after space has returned.
const interval = time.Second

// relieveEvery is how many checks are made before Relieve is asked again.
const relieveEvery = 10

// Run watches until the context ends.
func (m *Monitor) Run(ctx context.Context) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		m.Check()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// Check looks once.
func (m *Monitor) Check() {
	if m.MemoryLimit > 0 && m.Memory != nil {
		used, err := m.Memory()
		if err == nil && used > m.MemoryLimit && m.relieve() {
			used, err = m.Memory()
		}
		m.judge(Memory, err, used > m.MemoryLimit, used, m.MemoryLimit)
	}
	if m.DiskLimit > 0 && m.DiskFree != nil {
		free, err := m.DiskFree()
		m.judge(Disk, err, free < m.DiskLimit, free, m.DiskLimit)
	}
}

// relieve asks Relieve, unless it was asked just now.
func (m *Monitor) relieve() bool {
	if m.relieved++; m.Relieve == nil || m.relieved < relieveEvery && m.Alarms.Raised(Memory) {
		return false
	}
	m.relieved = 0
	m.Relieve()
	return true
}

func (m *Monitor) judge(k Kind, err error, low bool, have, limit uint64) {
	if err != nil {
		m.Logger.Warn().Err(err).Stringer("alarm", k).Msg("cannot be measured")
		return
	}
	if !m.Alarms.Set(k, low) {
		return
	}
	if low {
		m.Logger.Warn().Stringer("alarm", k).Uint64("bytes", have).Uint64("limit", limit).Msg("alarm raised: publishers are blocked")
		return
	}
	m.Logger.Info().Stringer("alarm", k).Uint64("bytes", have).Uint64("limit", limit).Msg("alarm cleared")
}
