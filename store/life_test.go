package store

import "testing"

// TestLivesRise whatever is asked for, and keep apart.
func TestLivesRise(t *testing.T) {
	dir := t.TempDir()
	for i, life := range []struct{ least, want uint64 }{{1000, 1000}, {5000, 5000}, {4000, 5100}, {5150, 5200}, {6000, 6000}} {
		s, err := Open(dir, Options{Fatal: func(err error) { t.Error(err) }})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.BeginLife(life.least, 100); err != nil || got != life.want {
			t.Errorf("life %d: %d, %v, want %d", i, got, err, life.want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
