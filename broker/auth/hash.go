package auth

import (
	"crypto/md5" //nolint:gosec // RabbitMQ's oldest hashes must verify
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"runtime"

	"golang.org/x/crypto/argon2"

	"github.com/warrenmq/warren/broker/topology"
)

// Names of password hashing algorithms, as definitions carry them.
const (
	SHA256  = "rabbit_password_hashing_sha256"
	SHA512  = "rabbit_password_hashing_sha512"
	MD5     = "rabbit_password_hashing_md5"
	Argon2  = "warren_password_hashing_argon2id"
	Default = Argon2
)

// salted are RabbitMQ's algorithms: the hash of salt and password, behind the salt.
var salted = map[string]func() hash.Hash{SHA256: sha256.New, SHA512: sha512.New, MD5: md5.New}

const saltSize = 4

// Argon2id's cost: 19 MiB, two passes, one thread.
const (
	argonMemoryKiB = 19 << 10
	argonPasses    = 2
	argonThreads   = 1
	argonSalt      = 16
	argonKey       = 32
)

// argonPlaces is how many argon2id hashes are computed at a time: a flood of logins waits, instead of taking 19 MiB each.
var argonPlaces = make(chan struct{}, runtime.GOMAXPROCS(0))

// Known tells whether passwords can be hashed with that algorithm.
func Known(algorithm string) bool { return algorithm == Argon2 || salted[algorithm] != nil }

// Hash makes the record of a password: base64 of the salt and the hash behind it.
func Hash(algorithm, password string) (string, error) {
	size := saltSize
	if algorithm == Argon2 {
		size = argonSalt
	}
	salt := make([]byte, size)
	rand.Read(salt)
	sum, err := digest(algorithm, salt, password)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(append(salt, sum...)), nil
}

func digest(algorithm string, salt []byte, password string) ([]byte, error) {
	if algorithm == Argon2 {
		argonPlaces <- struct{}{}
		defer func() { <-argonPlaces }()
		return argon2.IDKey([]byte(password), salt, argonPasses, argonMemoryKiB, argonThreads, argonKey), nil
	}
	fresh := salted[algorithm]
	if fresh == nil {
		return nil, fmt.Errorf("password hashing algorithm %q is not known", algorithm)
	}
	h := fresh()
	h.Write(salt)
	h.Write([]byte(password))
	return h.Sum(nil), nil
}

// verify tells whether the password is the one of the record, in a time that does not depend on where they differ.
func verify(u *topology.UserRecord, password string) bool {
	stored, err := base64.StdEncoding.DecodeString(u.PasswordHash)
	size := saltSize
	if u.Algorithm == Argon2 {
		size = argonSalt
	}
	if err != nil || len(stored) <= size || password == "" {
		return false
	}
	sum, err := digest(u.Algorithm, stored[:size], password)
	return err == nil && subtle.ConstantTimeCompare(sum, stored[size:]) == 1
}
