package clustered

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/warrenmq/warren/store/meta"
)

// TestADirectoryKeepsItsIdentity, and one whose identity is damaged is not given another.
func TestADirectoryKeepsItsIdentity(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	first, err := identity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := identity(dir); err != nil || again != first {
		t.Errorf("%q %v, and it was %q", again, err, first)
	}
	if other, err := identity(t.TempDir()); err != nil || other == first {
		t.Errorf("another directory is %q too, %v", other, err)
	}
	for _, text := range []string{"", "no", first[:20]} {
		if err := os.WriteFile(filepath.Join(dir, "node-id"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if id, err := identity(dir); err == nil {
			t.Errorf("%q is taken for %q", text, id)
		}
	}
}

// TestACopyThatEndedTooSoonGoesOn, and one over something else does not begin.
func TestACopyThatEndedTooSoonGoesOn(t *testing.T) {
	kv := func(key, value string) meta.KV { return meta.KV{Key: key, Value: []byte(value)} }
	pairs := []meta.KV{kv("a", "1"), kv("b", "2"), kv("c", "3")}
	for _, c := range []struct {
		there   []meta.KV
		missing int
		ours    bool
	}{
		{nil, 3, true},
		{pairs[:2], 1, true},
		{pairs, 0, true},
		{[]meta.KV{kv("a", "2")}, 0, false},
		{[]meta.KV{kv("a", "1"), kv("d", "4")}, 0, false},
	} {
		missing, ours := lacking(c.there, pairs)
		if ours != c.ours || ours && len(missing) != c.missing {
			t.Errorf("%v: %v %v", c.there, missing, ours)
		}
	}
}
