package auth

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/broker/audit"
)

func at(address string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(address), Port: 4711} }

func TestWhoeverGuessesIsNotHeard(t *testing.T) {
	w := newWorld(t)
	w.user("u", "secret", SHA256)
	w.user("other", "word", SHA256)
	w.SetLimits(Limits{Address: 10, User: 3})
	try := func(address, user, password string) error {
		_, err := w.Password(user, password, at(address))
		return err
	}
	if err := try("192.0.2.1", "u", "secret"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := try("192.0.2.9", "other", "guess"); !errors.Is(err, ErrRefused) || errors.Is(err, ErrThrottled) {
			t.Fatal(err)
		}
	}
	if err := try("192.0.2.9", "other", "word"); !errors.Is(err, ErrThrottled) || !errors.Is(err, ErrRefused) {
		t.Errorf("the fourth guess, which is right: %v", err)
	}
	if err := try("192.0.2.8", "other", "word"); err != nil {
		t.Errorf("somebody else at another address: %v", err)
	}
	if err := try("192.0.2.9", "other", "word"); err != nil {
		t.Errorf("a password that was right a moment ago: %v", err)
	}
	for i := range 7 {
		if err := try("192.0.2.9", fmt.Sprint("nobody", i), "x"); errors.Is(err, ErrThrottled) {
			t.Errorf("guess %d: %v", i, err)
		}
	}
	if err := try("192.0.2.9", "one more", "x"); !errors.Is(err, ErrThrottled) {
		t.Errorf("the eleventh from the address: %v", err)
	}
	if err := try("192.0.2.9", "u", "secret"); err != nil {
		t.Errorf("who shares the address and is known: %v", err)
	}
	for i := range 20 {
		if err := try("127.0.0.1", fmt.Sprint("nobody", i), "x"); errors.Is(err, ErrThrottled) {
			t.Errorf("this machine has no bound: %v", err)
		}
	}
}

func TestBucketsEmpty(t *testing.T) {
	var th throttle
	now := time.Unix(1000, 0)
	th.set(Limits{User: 6})
	for range 6 {
		if th.full(at("192.0.2.1"), "u", now) {
			t.Fatal("full too early")
		}
		th.failed(at("192.0.2.1"), "u", now)
	}
	for after, want := range map[time.Duration]bool{0: true, 9 * time.Second: true, 11 * time.Second: false, time.Hour: false} {
		if got := th.full(at("192.0.2.1"), "u", now.Add(after)); got != want {
			t.Errorf("after %v full is %v", after, got)
		}
	}
	th.set(Limits{})
	if th.full(at("192.0.2.1"), "u", now) {
		t.Error("there is no bound any more")
	}
}

func TestThrottleForgets(t *testing.T) {
	var th throttle
	th.set(Limits{User: 1})
	now := time.Unix(1000, 0)
	for i := range throttleSize + 100 {
		th.failed(at("192.0.2.1"), fmt.Sprint(i), now)
	}
	if n := th.buckets.Len(); n > throttleSize {
		t.Errorf("%d buckets", n)
	}
}

func TestLoginsAreAudited(t *testing.T) {
	w := newWorld(t)
	w.user("u", "canary", SHA256)
	var out strings.Builder
	w.Audit = audit.New(&out)
	for response, want := range map[string]string{
		"\x00u\x00canary":    `"ok":true,"user":"u","from":"127.0.0.1","detail":"PLAIN"`,
		"\x00u\x00canary2":   `"ok":false,"user":"u","from":"127.0.0.1","detail":"PLAIN","refused":"invalid credentials"`,
		"\x00who\x00canary2": `"ok":false,"user":"who"`,
		"canary":             `"ok":false,"from":"127.0.0.1"`,
	} {
		out.Reset()
		_, _ = w.Login("PLAIN", []byte(response), home)
		if got := out.String(); !strings.Contains(got, want) || strings.Contains(got, "canary") || strings.Count(got, "\n") != 1 {
			t.Errorf("%q gives %s", response, got)
		}
	}
	out.Reset()
	if _, err := w.Password("u", "canary", home); err != nil || out.String() != "" {
		t.Errorf("a request over HTTP: %v, %s", err, out.String())
	}
	if _, err := w.Password("u", "x", home); err == nil || !strings.Contains(out.String(), `"ok":false`) {
		t.Errorf("a refused request over HTTP: %v, %s", err, out.String())
	}
}

// BenchmarkLogin: what a login costs that comes again, whatever the password's hash costs.
func BenchmarkLogin(b *testing.B) {
	for _, algorithm := range []string{SHA256, Argon2} {
		b.Run(algorithm, func(b *testing.B) {
			w := newWorld(b)
			w.user("u", "secret", algorithm)
			if _, err := w.login("u", "secret"); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := w.login("u", "secret"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
