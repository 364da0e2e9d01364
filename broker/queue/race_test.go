//go:build race

package queue

// slow is how much longer everything takes with the race detector, about: the random tests do less then. Nothing here is
// concurrent.
const slow = 15
