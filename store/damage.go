package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// ErrDamaged is returned, wrapped, for stored bytes that are not what was written. The text names the file and the place.
var ErrDamaged = errors.New("the stored bytes are damaged")

// Explain wraps an error of Pebble's: damage becomes ErrDamaged and says in which file and where.
func Explain(err error) error {
	if err == nil || errors.Is(err, ErrDamaged) || !pebble.IsCorruptionError(err) {
		return err
	}
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		return fmt.Errorf("%w: file %s: %s", ErrDamaged, info.Path, oneLine(info.Details))
	}
	return fmt.Errorf("%w: %s", ErrDamaged, oneLine(err))
}

// oneLine is an error without the lines that its parts bring with them. Pebble names blocks by offset/length.
func oneLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// reports passes each text on once: what is damaged is met again and again.
type reports struct {
	log func(format string, args ...any)

	mu   sync.Mutex
	seen map[string]bool
}

// reportsMax bounds the texts that are remembered; then they are forgotten, and said again.
const reportsMax = 1000

func (r *reports) say(format string, args ...any) {
	if r.log == nil {
		return
	}
	text := fmt.Sprintf(format, args...)
	r.mu.Lock()
	again := r.seen[text]
	if r.seen == nil || len(r.seen) >= reportsMax {
		r.seen = map[string]bool{}
	}
	r.seen[text] = true
	r.mu.Unlock()
	if !again {
		r.log("%s", text)
	}
}
