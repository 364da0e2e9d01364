package link

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

// clocks are those of a test: nothing happens until it lets their time pass.
type clocks struct {
	mu   sync.Mutex
	last int
	due  map[int]func()
}

// after is Env.After.
func (c *clocks) after(_ time.Duration, do func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.due == nil {
		c.due = map[int]func(){}
	}
	c.last++
	number := c.last
	c.due[number] = do
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, runs := c.due[number]
		delete(c.due, number)
		return runs
	}
}

// pass lets the time pass of all clocks that run, and tells how many those are.
func (c *clocks) pass() int {
	due := c.take()
	for _, do := range due {
		do()
	}
	return len(due)
}

// take gives what clocks would do, which run no more: they can be stopped too late.
func (c *clocks) take() (due []func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, do := range c.due {
		due = append(due, do)
	}
	c.due = nil
	return due
}

// journal keeps what is logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

// lines is how many lines have these words.
func (j *journal) lines(words string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), words)
}
