package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/audit"
	"github.com/warrenmq/warren/broker/logs"
	"github.com/warrenmq/warren/broker/settings"
)

// journal is the log and the audit log, and the files behind them.
type journal struct {
	*logs.Book
	audit   *audit.Log
	files   []*logFile
	names   []string // where the log goes, as RabbitMQ names it
	outputs []string // the settings with the level of each output
}

// openJournal opens what the settings say.
func openJournal(v *settings.Values) (*journal, error) {
	j := &journal{}
	var outputs []logs.Output
	add := func(w io.Writer, key string) {
		j.outputs = append(j.outputs, key+".level")
		outputs = append(outputs, logs.Output{Writer: w, JSON: v.Text(key+".formatter") == "json"})
	}
	if v.Boolean("log.console") {
		add(os.Stdout, "log.console")
		j.names = append(j.names, "<stdout>")
	}
	if name := v.Text("log.file"); name != "" && name != "false" && name != "-" && name != "none" {
		file, err := j.open(v, name)
		if err != nil {
			return nil, err
		}
		add(file, "log.file")
		j.names = append(j.names, file.name)
	}
	j.Book = logs.New(nil, outputs...)
	switch name := v.Text("log.audit"); name {
	case "":
	case "-":
		j.audit = audit.New(j.Book)
	default:
		file, err := j.open(v, name)
		if err != nil {
			return nil, err
		}
		j.audit = audit.New(file)
	}
	return j, j.levels(v)
}

func (j *journal) open(v *settings.Values, name string) (*logFile, error) {
	if dir := v.Text("log.dir"); dir != "" && !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	file := &logFile{name: name}
	if err := file.reopen(); err != nil {
		return nil, err
	}
	j.files = append(j.files, file)
	return file, nil
}

// levels sets all levels as the settings say. The areas decide, and the outputs may let pass less; an output's level that
// is said is that of the areas too, where nothing else is said.
func (j *journal) levels(v *settings.Values) error {
	levels := logs.Levels{}
	for i, key := range j.outputs {
		level := zerolog.TraceLevel
		if name := v.Level(key); name != "" {
			var err error
			if level, err = logs.Level(name); err != nil {
				return err
			}
			if least, ok := levels["default"]; !ok || level < least {
				levels["default"] = level
			}
		}
		j.SetOutput(i, level)
	}
	if _, ok := levels["default"]; !ok {
		levels["default"] = zerolog.InfoLevel
	}
	for _, area := range append([]string{"default"}, logs.Areas...) {
		name := v.Level("log." + area + ".level")
		if name == "" {
			continue
		}
		level, err := logs.Level(name)
		if err != nil {
			return err
		}
		levels[area] = level
	}
	j.SetLevels(levels)
	return nil
}

// reload opens the files anew, in case they were moved away, and takes new levels.
func (j *journal) reload(v *settings.Values) error {
	err := j.levels(v)
	for _, f := range j.files {
		err = errors.Join(err, f.reopen())
	}
	return err
}

// Close closes the files.
func (j *journal) Close() (err error) {
	for _, f := range j.files {
		err = errors.Join(err, f.file.Close())
	}
	return err
}

// logFile is a file that lines are added to.
type logFile struct {
	name string

	mu   sync.Mutex // guards what follows
	file *os.File
}

// reopen opens the file by its name, again if it was open. The file before stays if that fails.
func (f *logFile) reopen() error {
	file, err := os.OpenFile(f.name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	f.mu.Lock()
	before := f.file
	f.file = file
	f.mu.Unlock()
	if before != nil {
		return before.Close()
	}
	return nil
}

// Write implements io.Writer.
func (f *logFile) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Write(line)
}
