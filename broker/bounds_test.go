package broker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/broker"
)

// TestBoundsOfWhatWaits that cannot be are refused: an ordinary change of leader must open no breaker.
func TestBoundsOfWhatWaits(t *testing.T) {
	for want, c := range map[string]broker.Cluster{
		"cluster_patience is 2s, the least is 3s":             {Patience: 2 * time.Second},
		"cluster_backlog is 1000 bytes, the least is 1048576": {Backlog: 1000},
		"": {},
	} {
		config := broker.Config{Cluster: &c}
		if err := config.Validate(); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
