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
	// DiskFree gives the bytes free on the data directory's disk; DiskLimit is how many there must be. 0: no limit.
	DiskFree  func() (uint64, error)
	DiskLimit uint64
	Logger    zerolog.Logger
}

// interval is how often a Monitor looks: often enough for publishing to resume seconds after space has returned.
const interval = time.Second

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
		m.judge(Memory, err, used > m.MemoryLimit, used, m.MemoryLimit)
	}
	if m.DiskLimit > 0 && m.DiskFree != nil {
		free, err := m.DiskFree()
		m.judge(Disk, err, free < m.DiskLimit, free, m.DiskLimit)
	}
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
