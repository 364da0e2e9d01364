// Package logs owns where the log goes, what it looks like, and from which level on what is in it.
//
//  1. New makes a Book of one or more Outputs.
//  2. Book.Area gives the logger of an area: connection, channel, queue, user, ra, federation; every other word stands for
//     the rest.
//  3. Book.SetLevels changes the levels while loggers are in use.
package logs

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// Output is a place that the log goes to.
type Output struct {
	Writer io.Writer
	JSON   bool // an object a line; else text
	// Level is the least level of what goes there.
	Level zerolog.Level
}

// Areas have a level of their own.
var Areas = []string{"connection", "channel", "queue", "user", "ra", "federation"}

// rest is the area of what has no area.
const rest = "default"

// Levels are levels by area; an area that is not there has that of "default".
type Levels map[string]zerolog.Level

// Book is the log.
type Book struct {
	out     zerolog.Logger
	outputs []*output
	areas   map[string]*area
}

// area lets pass what is of its level.
type area struct{ level atomic.Int32 }

// Run implements zerolog.Hook.
func (a *area) Run(e *zerolog.Event, level zerolog.Level, _ string) {
	if level < zerolog.Level(a.level.Load()) {
		e.Discard()
	}
}

// output passes on what is of its level.
type output struct {
	zerolog.LevelWriter
	level atomic.Int32
}

// WriteLevel implements zerolog.LevelWriter.
func (o *output) WriteLevel(level zerolog.Level, line []byte) (int, error) {
	if level < zerolog.Level(o.level.Load()) {
		return len(line), nil
	}
	return o.LevelWriter.WriteLevel(level, line)
}

// timeFormat is how the time looks in text.
const timeFormat = "2006-01-02 15:04:05.000"

// New makes a Book. It sets the precision of the time for all loggers of the process.
func New(levels Levels, outputs ...Output) *Book {
	zerolog.TimeFieldFormat = zerolog.TimeFormatUnixMs
	b := &Book{areas: map[string]*area{rest: {}}}
	for _, name := range Areas {
		b.areas[name] = &area{}
	}
	writers := make([]io.Writer, len(outputs))
	for i, o := range outputs {
		w := o.Writer
		if !o.JSON {
			w = zerolog.ConsoleWriter{Out: w, NoColor: true, TimeFormat: timeFormat}
		}
		out := &output{LevelWriter: zerolog.MultiLevelWriter(zerolog.SyncWriter(w))}
		out.level.Store(int32(o.Level))
		b.outputs = append(b.outputs, out)
		writers[i] = out
	}
	b.out = zerolog.New(zerolog.MultiLevelWriter(writers...)).With().Timestamp().Logger()
	b.SetLevels(levels)
	return b
}

// Area gives the logger of an area.
func (b *Book) Area(name string) zerolog.Logger {
	a := b.areas[name]
	if a == nil {
		a = b.areas[rest]
	}
	return b.out.Hook(a)
}

// SetLevels sets the levels of all areas.
func (b *Book) SetLevels(levels Levels) {
	for name, a := range b.areas {
		level, ok := levels[name]
		if !ok {
			level = levels[rest]
		}
		a.level.Store(int32(level))
	}
}

// SetLevel sets the level of one area, or with "default" of all. Outputs that let pass less let pass as much from now on.
func (b *Book) SetLevel(name string, level zerolog.Level) error {
	if name != rest && b.areas[name] == nil {
		return fmt.Errorf("the log has no area %q", name)
	}
	for area, a := range b.areas {
		if name == rest || area == name {
			a.level.Store(int32(level))
		}
	}
	for _, o := range b.outputs {
		o.level.Store(min(o.level.Load(), int32(level)))
	}
	return nil
}

// SetOutput sets the least level of the i-th output.
func (b *Book) SetOutput(i int, level zerolog.Level) { b.outputs[i].level.Store(int32(level)) }

// Write puts a line into the outputs that is an object already, whatever its level.
func (b *Book) Write(line []byte) (int, error) {
	for _, o := range b.outputs {
		if _, err := o.LevelWriter.Write(line); err != nil {
			return 0, err
		}
	}
	return len(line), nil
}

// Level reads a level by its name in a log.
func Level(name string) (zerolog.Level, error) {
	level, err := zerolog.ParseLevel(name)
	if err != nil || name == "" {
		return zerolog.InfoLevel, fmt.Errorf("there is no log level %q", name)
	}
	return level, nil
}
