package limits

import (
	"testing"

	"github.com/rs/zerolog"
)

// TestTheMemoryAlarmComesWhenNothingCanBeGivenBack: what the process holds and does not need raises no alarm, and what it
// no longer needs clears one.
func TestTheMemoryAlarmComesWhenNothingCanBeGivenBack(t *testing.T) {
	needed, held := uint64(50), uint64(50)
	asked := 0
	m := &Monitor{
		Alarms: &Alarms{}, MemoryLimit: 100, Logger: zerolog.Nop(), Memory: func() (uint64, error) { return held, nil },
		Relieve: func() { asked, held = asked+1, needed },
	}
	check := func(raised bool) {
		t.Helper()
		if m.Check(); m.Alarms.Raised(Memory) != raised {
			t.Errorf("%d bytes held, %d needed: raised is %v", held, needed, !raised)
		}
	}
	if check(false); asked != 0 {
		t.Error("memory is given back without need")
	}
	held = 150
	check(false)
	needed, held = 120, 150
	check(true)
	needed, asked = 60, 0
	for range relieveEvery - 1 {
		check(true)
	}
	if check(false); asked != 1 {
		t.Errorf("asked %d times to give memory back", asked)
	}
}
