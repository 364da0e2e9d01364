//go:build !linux

package transport

// eager does nothing here: how soon TCP sends again what was lost is the system's choice.
func eager(any) {}
