package auth

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/warrenmq/warren/broker/topology"
)

// vectors were computed with another implementation of the hashes. The one of "test12" is in RabbitMQ's documentation.
var vectors = []struct{ algorithm, password, hash string }{
	{SHA256, "test12", "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"},
	{SHA256, "guest", "AAAAAPEoQ8a3jY6DABRiJzkoKooQbXiBp2iGLke7d+FVKzJx"},
	{SHA256, "pässwörd €", "3q2+78Tc47gDuiNy3RwPT8skoFT22pQSwTT/7UnwfSVuPWAR"},
	{SHA256, strings.Repeat("a", 300), "/////4Hv/HcFr0DC9DVtcJ1vyCRThDOrP6kRdpIP1ITuugl2"},
	{SHA512, "test12", "kI3GChuNuIYf8lRbCCxZjgjKwsY19ns6+uFO0zcXRBGA/XGJPYD8OWMy7EB8TaOmAzjP2azv84GbINYwX2cDWb4DHnc="},
	{SHA512, "guest", "AAAAAFtaIo+SBFPiskt8aiaoI1BlE2xnt5dD9+zL60HazLqAXTjAg94krNu3VqGTdXmZw4ZfI1fPpiFOSovPkNHH2go="},
	{SHA512, "pässwörd €", "3q2+7wh7Ix6HoumMlVGR3kMMrpm+uYholPq3zQQ9TEWm5jHxgbi4XX8sHUZSABDdj+vvsU8JQuXflOrRIZexAQBOyFY="},
	{MD5, "test12", "kI3GChNpte2FApYFXScl+0dIluk="},
	{MD5, "guest", "AAAAAM8qHlIgCoMtmqYAu+KVRI8="},
	{MD5, "pässwörd €", "3q2+72e5Bc+9aT/2BvFzhkZHdSM="},
}

func TestRabbitMQsHashesVerify(t *testing.T) {
	w := newWorld(t)
	for _, v := range vectors {
		w.record("u", topology.UserRecord{Algorithm: v.algorithm, PasswordHash: v.hash})
		if _, err := w.login("u", v.password); err != nil {
			t.Errorf("%s of %.10q: %v", v.algorithm, v.password, err)
		}
		for _, wrong := range []string{v.password + "x", v.password[1:], strings.ToUpper(v.password), ""} {
			if _, err := w.login("u", wrong); !errors.Is(err, ErrRefused) {
				t.Errorf("%s of %.10q takes %.10q: %v", v.algorithm, v.password, wrong, err)
			}
		}
	}
}

// TestEveryOctetOfAHashCounts changes each octet of a record, salt and sum alike, and its length.
func TestEveryOctetOfAHashCounts(t *testing.T) {
	w := newWorld(t)
	for _, v := range vectors {
		raw, err := base64.StdEncoding.DecodeString(v.hash)
		w.must(err)
		refused := func(what string, changed []byte) {
			w.record("u", topology.UserRecord{Algorithm: v.algorithm, PasswordHash: base64.StdEncoding.EncodeToString(changed)})
			if _, err := w.login("u", v.password); !errors.Is(err, ErrRefused) {
				t.Errorf("%s, %s: %v", v.algorithm, what, err)
			}
		}
		for i := range raw {
			changed := append([]byte(nil), raw...)
			changed[i] ^= 1
			refused("an octet is another", changed)
		}
		for n := range raw {
			refused("it is shorter", raw[:n])
		}
		refused("it is longer", append(append([]byte(nil), raw...), 0))
	}
}

func TestRecordsThatNoPasswordFits(t *testing.T) {
	w := newWorld(t)
	for _, r := range []topology.UserRecord{
		{Algorithm: SHA256, PasswordHash: ""}, // a user without a password
		{Algorithm: SHA256, PasswordHash: "not base64!"},
		{Algorithm: SHA256, PasswordHash: "AAAA"},
		{Algorithm: "", PasswordHash: vectors[0].hash},
		{Algorithm: "rabbit_password_hashing_unknown", PasswordHash: vectors[0].hash},
		{Algorithm: MD5, PasswordHash: vectors[0].hash},
		{Algorithm: Argon2, PasswordHash: vectors[0].hash},
		{Algorithm: Argon2, PasswordHash: ""},
		{},
	} {
		w.record("u", r)
		for _, password := range []string{"test12", "", "\x00"} {
			if _, err := w.Password("u", password, home); !errors.Is(err, ErrRefused) {
				t.Errorf("%+v takes %q: %v", r, password, err)
			}
		}
	}
}

func TestHashIsSaltedAndVerifies(t *testing.T) {
	for _, algorithm := range []string{SHA256, SHA512, MD5, Argon2, Default} {
		if !Known(algorithm) {
			t.Errorf("%s is not known", algorithm)
		}
		one, err := Hash(algorithm, "secret")
		if err != nil {
			t.Fatal(err)
		}
		two, _ := Hash(algorithm, "secret")
		if one == two {
			t.Errorf("%s: two hashes are the same", algorithm)
		}
		record := topology.UserRecord{Algorithm: algorithm, PasswordHash: one}
		if !verify(&record, "secret") || verify(&record, "Secret") || verify(&record, "") {
			t.Errorf("%s does not verify", algorithm)
		}
	}
	if _, err := Hash("md4", "secret"); err == nil || Known("md4") || Known("") {
		t.Error("md4 is known")
	}
}

// TestArgon2RecordIsSaltAndKey takes a record of the default algorithm apart: its parameters are part of the format.
func TestArgon2RecordIsSaltAndKey(t *testing.T) {
	record, err := Hash(Argon2, "secret")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(record)
	if err != nil || len(raw) != 16+32 {
		t.Fatalf("%d octets, %v", len(raw), err)
	}
	if key := argon2.IDKey([]byte("secret"), raw[:16], 2, 19*1024, 1, 32); string(key) != string(raw[16:]) {
		t.Error("the key is another")
	}
}

// TestDearHashesTakeTurns: the memory of an argon2id hash is needed as often as there are places, not as there are logins.
func TestDearHashesTakeTurns(t *testing.T) {
	w := newWorld(t)
	w.user("u", "secret", Argon2)
	for range cap(argonPlaces) {
		argonPlaces <- struct{}{}
	}
	done := make(chan error, 1)
	go func() {
		_, err := w.login("u", "secret")
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("did not wait for its turn: %v", err)
	default:
	}
	for range cap(argonPlaces) {
		<-argonPlaces
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCacheRemembersOnlyWhatWasRight(t *testing.T) {
	w := newWorld(t)
	w.user("u", "secret", Argon2)
	for range 3 {
		if _, err := w.login("u", "secret"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.login("u", "wrong"); !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
	}
	if n := len(w.cache.known); n != 1 {
		t.Errorf("%d digests are kept", n)
	}
	w.user("u", "another", Argon2)
	if _, err := w.login("u", "secret"); !errors.Is(err, ErrRefused) {
		t.Errorf("the old password: %v", err)
	}
	if _, err := w.login("u", "another"); err != nil {
		t.Errorf("the new password: %v", err)
	}
	for i := range cacheSize + 10 {
		w.cache.add([32]byte{byte(i), byte(i >> 8)})
	}
	if n := len(w.cache.known); n > cacheSize {
		t.Errorf("%d digests are kept", n)
	}
}

// TestUnknownUsersTakeTheTimeOfKnownOnes: which hash is computed for a name that nobody has follows those of the users,
// and is the same each time.
func TestUnknownUsersTakeTheTimeOfKnownOnes(t *testing.T) {
	w := newWorld(t)
	if got := w.cache.decoy(w.Catalog(), "nobody"); got != SHA256 {
		t.Errorf("without users: %s", got)
	}
	w.record("a", topology.UserRecord{Algorithm: Argon2})
	if got := w.cache.decoy(w.Catalog(), "nobody"); got != Argon2 {
		t.Errorf("with one user: %s", got)
	}
	w.record("b", topology.UserRecord{Algorithm: SHA512})
	seen := map[string]int{}
	for i := range 200 {
		name := strings.Repeat("x", i)
		first := w.cache.decoy(w.Catalog(), name)
		seen[first]++
		if again := w.cache.decoy(w.Catalog(), name); again != first {
			t.Fatalf("%d: %s, then %s", i, first, again)
		}
	}
	if len(seen) != 2 || seen[Argon2] < 50 || seen[SHA512] < 50 {
		t.Errorf("picked %v", seen)
	}
}
