//go:build !linux

package limits

import (
	"errors"
	"runtime/metrics"
)

// ErrUnknown is returned for what cannot be measured on this system.
var ErrUnknown = errors.New("limits: not measured on this system")

// ResidentMemory gives the bytes of memory the process holds: those that Go has taken from the system.
func ResidentMemory() (uint64, error) {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64() - sample[1].Value.Uint64(), nil
}

// TotalMemory is not known here.
func TotalMemory() (uint64, error) { return 0, ErrUnknown }

// DiskSpace is not known here.
func DiskSpace(string) (free, total uint64, err error) { return 0, 0, ErrUnknown }
