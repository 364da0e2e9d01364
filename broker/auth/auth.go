// Package auth owns who somebody is and what they may do: SASL mechanisms, password hashes, and the one Authorize that
// AMQP and HTTP both ask.
//
//  1. Login takes a SASL mechanism and response and gives a Principal, or says why not.
//  2. Principal.Authorize and AuthorizeTopic refuse, in RabbitMQ's words, what the permissions of the Catalog at hand do
//     not cover. Nothing is remembered: a permission that is taken back is gone with the next question.
package auth

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/broker/audit"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// Authority checks who somebody is.
type Authority struct {
	// Catalog gives the newest metadata.
	Catalog func() *topology.Catalog
	// Anonymous is the user whom the mechanism ANONYMOUS logs in; "": the mechanism is off.
	Anonymous string
	// Audit is told of every login.
	Audit *audit.Log

	algorithm    atomic.Pointer[string]
	loopbackOnly atomic.Pointer[map[string]bool]
	cache        cache
	throttle     throttle
	operatorOnce sync.Once
	operatorKey  string
}

// SetLoopbackOnly says which users may only come from this machine.
func (a *Authority) SetLoopbackOnly(users []string) {
	only := map[string]bool{}
	for _, user := range users {
		only[user] = true
	}
	a.loopbackOnly.Store(&only)
}

// SetAlgorithm says how new passwords are kept.
func (a *Authority) SetAlgorithm(name string) { a.algorithm.Store(&name) }

// Algorithm is how new passwords are kept, Default if nobody says.
func (a *Authority) Algorithm() string {
	if name := a.algorithm.Load(); name != nil {
		return *name
	}
	return Default
}

// SetLimits says how often somebody may be wrong. Without it there is no bound.
func (a *Authority) SetLimits(l Limits) { a.throttle.set(l) }

// Login errors.
var (
	// ErrMechanism is returned for a SASL mechanism that is not offered.
	ErrMechanism = errors.New("unknown authentication mechanism")
	// ErrResponse is returned for a SASL response that is malformed.
	ErrResponse = errors.New("malformed authentication response")
	// ErrRefused is returned when the credentials do not fit.
	ErrRefused = errors.New("invalid credentials")
	// ErrLoopback is returned when a user may not come from afar.
	ErrLoopback = errors.New("can only connect via localhost")
	// ErrThrottled is an ErrRefused without a look at the credentials: there were too many that did not fit.
	ErrThrottled = fmt.Errorf("%w: too many failed logins", ErrRefused)
)

// Mechanisms are the SASL mechanisms on offer, as connection.start lists them.
func (a *Authority) Mechanisms() string {
	if a.Anonymous == "" {
		return "PLAIN AMQPLAIN"
	}
	return "PLAIN AMQPLAIN ANONYMOUS"
}

// Login checks a SASL response. The user name in question comes back with an error too, where there was one.
func (a *Authority) Login(mechanism string, response []byte, peer net.Addr) (Principal, error) {
	p, err := a.login(mechanism, response, peer)
	a.record(p, peer, mechanism, err)
	return p, err
}

func (a *Authority) login(mechanism string, response []byte, peer net.Addr) (Principal, error) {
	switch mechanism {
	case "PLAIN":
		user, password, err := plain(response)
		if err != nil {
			return Principal{}, err
		}
		return a.password(user, password, peer)
	case "AMQPLAIN":
		user, password, err := amqplain(response)
		if err != nil {
			return Principal{user: user}, err
		}
		return a.password(user, password, peer)
	case "ANONYMOUS":
		if a.Anonymous != "" {
			return a.admit(a.Anonymous, peer)
		}
	}
	return Principal{}, fmt.Errorf("%w '%s'", ErrMechanism, mechanism)
}

// Password checks a user's password. Whoever was wrong too often is refused unheard, except with a password that was right
// a moment ago: one who guesses does not lock out the others behind the same address. Over HTTP every request is such a
// check, so that the audit log is told of refusals only.
func (a *Authority) Password(user, password string, peer net.Addr) (Principal, error) {
	p, err := a.password(user, password, peer)
	if err != nil {
		a.record(p, peer, "password", err)
	}
	return p, err
}

func (a *Authority) password(user, password string, peer net.Addr) (Principal, error) {
	if a.operator(user, password) {
		return Principal{user: user, operator: true}, nil
	}
	now := time.Now()
	u := a.Catalog().User(user)
	if u != nil && a.cache.remembers(u, password) {
		return a.admit(user, peer)
	}
	if a.throttle.full(peer, user, now) {
		return Principal{user: user}, ErrThrottled
	}
	if u == nil {
		decoy(a.cache.decoy(a.Catalog(), user), password)
	} else if a.cache.verify(u, password) {
		return a.admit(user, peer)
	}
	a.throttle.failed(peer, user, now)
	return Principal{user: user}, ErrRefused
}

// record tells the audit log how a login ended.
func (a *Authority) record(p Principal, peer net.Addr, how string, err error) {
	if a.Audit == nil {
		return
	}
	e := audit.Event{Action: "user.login", User: p.user, From: hostOf(peer), Detail: how}
	if err != nil {
		e.Refused = err.Error()
	}
	a.Audit.Record(e)
}

// decoy takes the time that a user's check would, so that the time tells nobody which users there are.
func decoy(algorithm, password string) {
	verify(&topology.UserRecord{Algorithm: algorithm, PasswordHash: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, password)
}

func (a *Authority) admit(user string, peer net.Addr) (Principal, error) {
	p := Principal{user: user}
	if a.Catalog().User(user) == nil {
		return p, ErrRefused
	}
	if only := a.loopbackOnly.Load(); only != nil && (*only)[user] && !loopback(peer) {
		return p, ErrLoopback
	}
	return p, nil
}

func loopback(peer net.Addr) bool {
	tcp, ok := peer.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// plain reads "authzid NUL user NUL password", where authzid must be empty and nothing may follow.
func plain(response []byte) (user, password string, err error) {
	parts := strings.SplitN(string(response), "\x00", 4)
	if len(parts) != 3 || parts[0] != "" {
		return "", "", fmt.Errorf("%w: response %s invalid", ErrResponse, "of mechanism PLAIN")
	}
	return parts[1], parts[2], nil
}

// amqplain reads a field table without its length: LOGIN and PASSWORD.
func amqplain(response []byte) (user, password string, err error) {
	table := protocol.RawTable(response)
	if err := table.Validate(); err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrResponse, err)
	}
	login, hasLogin := table.Lookup("LOGIN")
	secret, hasSecret := table.Lookup("PASSWORD")
	if !hasLogin || !hasSecret {
		return "", "", fmt.Errorf("%w: AMQPLAIN auth info is missing LOGIN or PASSWORD field", ErrResponse)
	}
	name, nameOK := login.Bytes()
	word, wordOK := secret.Bytes()
	if !nameOK || !wordOK {
		return string(name), "", ErrRefused
	}
	return string(name), string(word), nil
}
