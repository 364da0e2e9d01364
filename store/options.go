package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

const (
	defaultCache    = 16 << 20
	defaultMemTable = 32 << 20
	// separateFrom is the size from which values go to blob files, so that compactions move keys, not messages.
	separateFrom = 256
	// blobDepth is how many blob files may overlap in what a table refers to; beyond, values are copied to be neighbours
	// again. Entries are read one at a time, so that would be for nothing.
	blobDepth = 10000
	// compactions is how many may run at a time.
	compactions = 2
	// fileBytes is the size of a file that a memtable is written to. The more there are, the longer their removal takes.
	fileBytes = 16 << 20
)

// pebbleOptions are Pebble's options for a log of large values that are written once, read soon, and dropped in ranges.
// docs/design/004-store-options.md has the measurements behind them.
func pebbleOptions(o *Options, d *disk, lock *pebble.Lock) *pebble.Options {
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCache
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = defaultMemTable
	}
	r := &reports{log: o.Log}
	p := &pebble.Options{
		FS:                          d,
		Lock:                        lock,
		ReadOnly:                    o.ReadOnly,
		ErrorIfNotExists:            o.ReadOnly,
		CacheSize:                   o.CacheBytes,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                o.MemTableBytes,
		MemTableStopWritesThreshold: 4,
		WALBytesPerSync:             0,
		BytesPerSync:                1 << 20,
		MaxOpenFiles:                1000,
		FlushDelayDeleteRange:       10 * time.Second,
		TargetFileSizes:             [7]int64{fileBytes, 2 * fileBytes, 4 * fileBytes, 4 * fileBytes, 4 * fileBytes, 4 * fileBytes, 4 * fileBytes},
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, compactions },
		Logger:                      chat{r, d.failure},
		EventListener:               listener(r, d.failure, o.Stuck),
	}
	p.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	p.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled: true, MinimumSize: separateFrom, MaxBlobReferenceDepth: blobDepth, RewriteMinimumAge: time.Second,
			TargetGarbageRatio: 0.1,
		}
	}
	return p
}

// listener hears what Pebble does in the background. What cannot be read because it is damaged does not end the process:
// what is whole goes on being served. Everything else does.
func listener(r *reports, f *failure, stuck func(error)) *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			switch {
			case errors.Is(err, pebble.ErrCancelledCompaction), errors.Is(err, pebble.ErrClosed):
			case pebble.IsCorruptionError(err):
				r.say("%v", Explain(err))
				if stuck != nil {
					stuck(Explain(err))
				}
			default:
				f.happened(fmt.Errorf("maintaining the data directory failed: %w", err))
			}
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			err := fmt.Errorf("%w: file %s: %s", ErrDamaged, info.Path, oneLine(info.Details))
			r.say("%v", err)
			if stuck != nil {
				stuck(err)
			}
		},
	}
}

// chat is Pebble's logger: errors are passed on, talk is dropped, and what is fatal to Pebble is fatal.
type chat struct {
	reports *reports
	failure *failure
}

func (chat) Infof(string, ...any) {}

func (c chat) Errorf(format string, args ...any) { c.reports.say(format, args...) }

// Fatalf does not return: Pebble relies on that.
func (c chat) Fatalf(format string, args ...any) {
	c.failure.happened(fmt.Errorf("the data directory can no longer be used: "+format, args...))
	select {}
}
