package main

import (
	"strings"
	"testing"
)

// TestLimitsChange while the broker runs: an alarm is raised and cleared, what cannot be is refused, and settings that were
// not named stay.
func TestLimitsChange(t *testing.T) {
	i := newImage(t, "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT=0", "WARREN_HEARTBEAT=17")
	p := i.start()
	for _, c := range []struct{ tight, alarm, wide string }{
		{"set_vm_memory_high_watermark absolute 1", "memory", "set_vm_memory_high_watermark 0.9"},
		{"set_vm_memory_high_watermark 0", "memory", "set_vm_memory_high_watermark absolute 1TB"},
		{"set_disk_free_limit mem_relative 1000000", "disk", "set_disk_free_limit 1MB"},
	} {
		i.must("rabbitmqctl " + c.tight)
		eventually(t, "there is an alarm after "+c.tight, func() bool {
			out, code := i.exec("rabbitmq-diagnostics -q check_local_alarms")
			return code != 0 && strings.Contains(strings.ToLower(out), c.alarm)
		})
		i.must("rabbitmqctl " + c.wide)
		eventually(t, "there is none after "+c.wide, func() bool {
			_, code := i.exec("rabbitmq-diagnostics -q check_local_alarms")
			return code == 0
		})
	}
	for _, line := range []string{"set_disk_free_limit soon", "set_vm_memory_high_watermark relative 0.5", "set_vm_memory_high_watermark -1", "set_vm_memory_high_watermark"} {
		if out, code := i.exec("rabbitmqctl " + line); code == 0 {
			t.Errorf("%s: %s", line, out)
		}
	}
	if out := i.must("rabbitmqctl -q environment"); !strings.Contains(out, "17") {
		t.Errorf("the heartbeat is gone: %s", out)
	}
	p.stop()
}
