//go:build race

package main

// With the race detector on, the broker that is tested has it too.
func init() { buildFlags = append(buildFlags, "-race") }
