package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"strconv"

	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/settings"
)

// overridable are the settings that an operator may change while the broker runs, and what a share of the memory is called.
var overridable = map[string]string{
	"vm_memory_high_watermark.absolute": "", "vm_memory_high_watermark.relative": "vm_memory_high_watermark.absolute",
	"disk_free_limit.absolute": "", "disk_free_limit.relative": "disk_free_limit.absolute",
}

// override gives settings other values until the process ends, or refuses them. The rest is read again, as by SIGHUP.
func (s *server) override(wishes map[string]string) error {
	s.mu.Lock()
	from := s.from
	s.mu.Unlock()
	set := map[string]string{}
	for key, value := range wishes {
		absolute, known := overridable[key]
		if !known {
			return fmt.Errorf("%s cannot be changed while the broker runs", key)
		}
		if absolute != "" {
			bytes, err := shareOfMemory(s.settings(), value)
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			key, value = absolute, strconv.FormatUint(bytes, 10)
		}
		set[key] = value
	}
	merge := func(flags map[string]string) map[string]string {
		merged := maps.Clone(set)
		for key, value := range flags {
			if _, ours := set[key]; !ours {
				merged[key] = value
			}
		}
		return merged
	}
	from.Flags = merge(from.Flags)
	if _, err := settings.Load(from); err != nil {
		return err
	}
	s.mu.Lock()
	s.from.Flags = merge(s.from.Flags)
	s.mu.Unlock()
	s.hangUp()
	return nil
}

// shareOfMemory gives so many times the memory there is, in bytes. 0 is one byte: a limit that is always reached, and not
// none.
func shareOfMemory(v *settings.Values, ratio string) (uint64, error) {
	r, err := strconv.ParseFloat(ratio, 64)
	if err != nil || r < 0 || math.IsNaN(r) || math.IsInf(r, 0) {
		return 0, fmt.Errorf("%q is not a share of the memory", ratio)
	}
	total := v.Size("total_memory_available_override_value")
	if total == 0 {
		if total, err = limits.TotalMemory(); err != nil {
			return 0, err
		}
	}
	return max(uint64(math.Round(r*float64(total))), 1), nil
}

func (o *operator) override(w http.ResponseWriter, r *http.Request) {
	var wishes map[string]string
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&wishes)
	if err == nil {
		err = o.server.override(wishes)
	}
	answer(w, err)
}
