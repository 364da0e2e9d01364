package auth

import (
	"net"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
)

// Limits bound how often somebody may be wrong, in failed logins a minute. 0 is no bound.
type Limits struct {
	// Address is for one address, whatever users it tries. This machine has no such bound.
	Address int
	// User is for one user from one address.
	User int
}

// throttle counts failed logins, in buckets that empty steadily: whoever has failed as often as a minute allows is refused
// unheard until there is room again. What it remembers is bounded; who was least recently wrong is forgotten first.
type throttle struct {
	mu      sync.Mutex
	limits  Limits
	buckets *lru.LRU[bucketKey, bucket]
}

type bucketKey struct{ address, user string }

// bucket is how many failures there were, as of a moment.
type bucket struct {
	level float64
	at    time.Time
}

// throttleSize is how many buckets are kept.
const throttleSize = 16384

// set changes the limits.
func (t *throttle) set(l Limits) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limits = l
}

// full tells whether somebody has been wrong too often.
func (t *throttle) full(peer net.Addr, user string, now time.Time) bool {
	address := hostOf(peer)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.level(bucketKey{address, user}, t.limits.User, now) > float64(t.limits.User-1) && t.limits.User > 0 ||
		t.limits.Address > 0 && !loopback(peer) && t.level(bucketKey{address: address}, t.limits.Address, now) > float64(t.limits.Address-1)
}

// failed counts a failure.
func (t *throttle) failed(peer net.Addr, user string, now time.Time) {
	address := hostOf(peer)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buckets == nil {
		t.buckets, _ = lru.NewLRU[bucketKey, bucket](throttleSize, nil) // the size is right
	}
	add := func(k bucketKey, limit int) {
		if limit > 0 {
			t.buckets.Add(k, bucket{t.level(k, limit, now) + 1, now})
		}
	}
	add(bucketKey{address, user}, t.limits.User)
	add(bucketKey{address: address}, t.limits.Address)
}

// level is what a bucket holds by now.
func (t *throttle) level(k bucketKey, limit int, now time.Time) float64 {
	if t.buckets == nil {
		return 0
	}
	b, ok := t.buckets.Peek(k)
	if !ok {
		return 0
	}
	return max(0, b.level-now.Sub(b.at).Minutes()*float64(limit))
}

func hostOf(peer net.Addr) string {
	if tcp, ok := peer.(*net.TCPAddr); ok {
		return tcp.IP.String()
	}
	if peer == nil {
		return ""
	}
	return peer.String()
}
