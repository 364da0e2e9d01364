package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/warrenmq/warren/broker/topology"
)

// cache remembers, for a while, passwords that were right, so that thousands of reconnects do not pay for a hash that is
// dear by design. It holds keyed digests of hash record and password, never a password; a changed password has another
// record and so another digest.
type cache struct {
	mu    sync.Mutex
	key   []byte
	known map[[sha256.Size]byte]time.Time
}

const (
	cacheTime = 5 * time.Minute
	cacheSize = 4096 // then it is emptied
)

// verify checks a password, and remembers it if it is right.
func (c *cache) verify(u *topology.User, password string) bool {
	if !verify(&u.UserRecord, password) {
		return false
	}
	c.add(c.digest(u, password))
	return true
}

// remembers tells whether the password was right a while ago.
func (c *cache) remembers(u *topology.User, password string) bool {
	return c.has(c.digest(u, password))
}

// decoy is the algorithm whose time the login of a user that there is not takes: that of one of the users, picked by the
// name, so that neither one try nor many tell which users there are.
func (c *cache) decoy(catalog *topology.Catalog, name string) (algorithm string) {
	count := uint64(0)
	catalog.Users(func(*topology.User) bool { count++; return true })
	if count == 0 {
		return SHA256
	}
	sum := c.sum(name)
	left := binary.BigEndian.Uint64(sum[:]) % count
	catalog.Users(func(u *topology.User) bool {
		algorithm = u.Algorithm
		left--
		return left != ^uint64(0)
	})
	return algorithm
}

func (c *cache) digest(u *topology.User, password string) [sha256.Size]byte {
	return c.sum(u.Name + "\x00" + u.PasswordHash + "\x00" + password)
}

// sum is a hash that nobody outside can compute.
func (c *cache) sum(text string) (d [sha256.Size]byte) {
	c.mu.Lock()
	if c.key == nil {
		c.key = make([]byte, sha256.Size)
		rand.Read(c.key)
		c.known = map[[sha256.Size]byte]time.Time{}
	}
	key := c.key
	c.mu.Unlock()
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	copy(d[:], h.Sum(nil))
	return d
}

func (c *cache) has(digest [sha256.Size]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	since, ok := c.known[digest]
	return ok && time.Since(since) < cacheTime
}

func (c *cache) add(digest [sha256.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= cacheSize {
		clear(c.known)
	}
	c.known[digest] = time.Now()
}
