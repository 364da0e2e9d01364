package store

import (
	"time"

	"github.com/cockroachdb/pebble/v2"
)

const (
	defaultCache    = 16 << 20
	defaultMemTable = 32 << 20
	// separateFrom is the size from which values go to blob files, so that compactions move keys, not messages.
	separateFrom = 256
)

// pebbleOptions are Pebble's options for a log of large values that are written once, read soon, and dropped in ranges.
func pebbleOptions(o *Options, lock *pebble.Lock) *pebble.Options {
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCache
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = defaultMemTable
	}
	p := &pebble.Options{
		FS:                          o.FS,
		Lock:                        lock,
		CacheSize:                   o.CacheBytes,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                o.MemTableBytes,
		MemTableStopWritesThreshold: 4,
		WALBytesPerSync:             0,
		BytesPerSync:                1 << 20,
		MaxOpenFiles:                1000,
		FlushDelayDeleteRange:       10 * time.Second,
		Logger:                      quiet{o.Log},
	}
	p.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	p.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled: true, MinimumSize: separateFrom, MaxBlobReferenceDepth: 8, RewriteMinimumAge: time.Minute,
			TargetGarbageRatio: 0.2,
		}
	}
	return p
}

// quiet passes Pebble's errors on and drops its chat.
type quiet struct {
	log func(format string, args ...any)
}

func (quiet) Infof(string, ...any) {}

func (q quiet) Errorf(format string, args ...any) {
	if q.log != nil {
		q.log(format, args...)
	}
}

func (q quiet) Fatalf(format string, args ...any) {
	q.Errorf(format, args...)
	bug(format, args...)
}
