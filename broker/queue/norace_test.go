//go:build !race

package queue

// slow is 1 without the race detector.
const slow = 1
