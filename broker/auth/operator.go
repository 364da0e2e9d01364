package auth

import (
	"crypto/rand"
	"crypto/subtle"
)

// operatorName is who administers the broker from its own machine. It is no user of the metadata.
const operatorName = "rmq-cli"

// Operator gives the credentials of whoever administers the broker from its own machine: they may do everything, everywhere,
// and are nowhere but in this process. Whoever hands them on answers for who that is.
func (a *Authority) Operator() (user, password string) {
	a.operatorOnce.Do(func() { a.operatorKey = rand.Text() })
	return operatorName, a.operatorKey
}

// operator tells whether these are the operator's credentials.
func (a *Authority) operator(user, password string) bool {
	name, key := a.Operator()
	return user == name && subtle.ConstantTimeCompare([]byte(password), []byte(key)) == 1
}

// IsOperator tells whether the principal may do everything without being a user.
func (p Principal) IsOperator() bool { return p.operator }
