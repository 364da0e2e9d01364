package raftlog

import (
	"fmt"

	"github.com/rs/zerolog"
)

// raftLogger passes raft's log on: what raft calls info is detail here.
type raftLogger struct{ zerolog.Logger }

// The methods of raft.Logger.
func (l raftLogger) Debug(v ...any)                   {}
func (l raftLogger) Debugf(format string, v ...any)   {}
func (l raftLogger) Info(v ...any)                    { l.Logger.Debug().Msg(fmt.Sprint(v...)) }
func (l raftLogger) Infof(format string, v ...any)    { l.Logger.Debug().Msgf(format, v...) }
func (l raftLogger) Warning(v ...any)                 { l.Warn().Msg(fmt.Sprint(v...)) }
func (l raftLogger) Warningf(format string, v ...any) { l.Warn().Msgf(format, v...) }
func (l raftLogger) Error(v ...any)                   { l.Logger.Error().Msg(fmt.Sprint(v...)) }
func (l raftLogger) Errorf(format string, v ...any)   { l.Logger.Error().Msgf(format, v...) }
func (l raftLogger) Fatal(v ...any)                   { bug("%s", fmt.Sprint(v...)) }
func (l raftLogger) Fatalf(format string, v ...any)   { bug(format, v...) }
func (l raftLogger) Panic(v ...any)                   { bug("%s", fmt.Sprint(v...)) }
func (l raftLogger) Panicf(format string, v ...any)   { bug(format, v...) }
