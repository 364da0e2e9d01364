package entries

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/warrenmq/warren/store/keys"
	"github.com/warrenmq/warren/store/oplog"
)

// TestSalvageGivesWhatIsThere: entries that are whole, what is left of packed ones, and the names of those that are neither.
func TestSalvageGivesWhatIsThere(t *testing.T) {
	s, other := open(t)
	all := s.fill(1, 6, 3, 2000)
	other.fill(1, 6, 3, 100)
	s.write(func(b *pebble.Batch) {
		must(t, second(s.PackTo(b, 2, 3, []oplog.Span{{Index: 3, Offset: 10, Length: 30}, {Index: 3, Offset: 500, Length: 20}})))
		must(t, b.Set(keys.Entry(nil, s.group, 5), []byte("short"), nil))
	})
	var indexes []uint64
	must(t, s.Salvage(func(r Remains) bool {
		indexes = append(indexes, r.Index)
		want := all[r.Index]
		switch r.Index {
		case 3:
			if r.Data != nil || len(r.Rest) != 2 || !bytes.Equal(r.Rest[0], want[10:40]) || !bytes.Equal(r.Rest[1], want[500:520]) {
				t.Errorf("%+v", r)
			}
		case 5:
			if !errors.Is(r.Err, ErrDamaged) {
				t.Errorf("%+v", r)
			}
		default:
			if r.Err != nil || !bytes.Equal(r.Data, want) {
				t.Errorf("%+v", r)
			}
		}
		return r.Index < 6
	}))
	if len(indexes) != 5 || indexes[0] != 1 || indexes[1] != 3 {
		t.Errorf("%d", indexes)
	}
}
