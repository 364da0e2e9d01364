package authority

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Token is what lets a node join. It holds a secret. As text it is "warren1_" and base64url of
//
//	number       8 bytes, for finding it
//	secret      16 bytes, of which the authority's node keeps the SHA-256 alone
//	fingerprint 32 bytes, the SHA-256 of the authority's certificate
type Token struct {
	number      [8]byte
	secret      [16]byte
	fingerprint [sha256.Size]byte
}

const (
	tokenPrefix = "warren1_"
	tokenLen    = 8 + 16 + sha256.Size
)

// TokenLife is how long a token holds, where nobody says it.
const TokenLife = time.Hour

// String is the token as it is handed on: with its secret.
func (t Token) String() string {
	data := append(append(append([]byte{}, t.number[:]...), t.secret[:]...), t.fingerprint[:]...)
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(data)
}

// ParseToken reads a token.
func ParseToken(text string) (t Token, err error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	data, err := base64.RawURLEncoding.DecodeString(rest)
	if !ok || err != nil || len(data) != tokenLen {
		return t, errors.New("this is no token, or a part of one: warren cluster token gives one")
	}
	copy(t.number[:], data)
	copy(t.secret[:], data[8:])
	copy(t.fingerprint[:], data[24:])
	return t, nil
}

// stored is a token as the authority's node keeps it.
type stored struct {
	Hash string    `json:"sha256"` // of the secret
	Ends time.Time `json:"ends"`
}

// ErrToken is returned for a token that lets nobody in. Whether it is unknown or its secret is wrong is not said.
var ErrToken = errors.New("the token is not known here, or has ended: warren cluster token gives another")

// NewToken gives out a token, and forgets those that have ended.
func (d Dir) NewToken(a *Authority, now time.Time, life time.Duration) (t Token, err error) {
	if err := d.forget(now); err != nil {
		return t, err
	}
	t.fingerprint = a.Fingerprint()
	if _, err := rand.Read(t.number[:]); err != nil {
		return t, err
	}
	if _, err := rand.Read(t.secret[:]); err != nil {
		return t, err
	}
	hash := sha256.Sum256(t.secret[:])
	data, err := json.Marshal(stored{hex.EncodeToString(hash[:]), now.Add(life).UTC()})
	if err != nil {
		return t, err
	}
	return t, WriteFile(filepath.Join(d.tokens(), hex.EncodeToString(t.number[:])), append(data, '\n'))
}

// forget removes tokens that have ended, and what a crash left.
func (d Dir) forget(now time.Time) error {
	list, err := os.ReadDir(d.tokens())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, entry := range list {
		if s, err := d.stored(entry.Name()); err == nil && now.Before(s.Ends) {
			continue
		}
		err = errors.Join(err, os.Remove(filepath.Join(d.tokens(), entry.Name())))
	}
	return err
}

// Revoke ends all tokens that were given out.
func (d Dir) Revoke() error { return d.forget(time.Unix(1<<60, 0)) }

func (d Dir) stored(number string) (s stored, err error) {
	data, err := readFile(filepath.Join(d.tokens(), number))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(data, &s)
}

// admits tells whether a token that somebody shows is one that was given out.
func (d Dir) admits(number [8]byte, secret []byte, now time.Time) error {
	s, err := d.stored(hex.EncodeToString(number[:]))
	if err != nil && !errors.Is(err, ErrNone) {
		return fmt.Errorf("reading a token: %w", err)
	}
	want, bad := hex.DecodeString(s.Hash)
	hash := sha256.Sum256(secret)
	same := subtle.ConstantTimeCompare(hash[:], want) == 1
	if err != nil || bad != nil || !same || !now.Before(s.Ends) {
		return ErrToken
	}
	return nil
}
