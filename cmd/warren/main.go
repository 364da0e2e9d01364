// Command warren is the broker.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/cluster/raftlog"
	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/metadb"
)

// began is when the process did, as near as Go code can tell.
var began = time.Now()

func main() {
	if err := serve(os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "warren:", err)
		os.Exit(1)
	}
}

func serve(args []string) error {
	o, err := readOptions(args)
	if err != nil {
		return err
	}
	logger := zerolog.New(zerolog.ConsoleWriter{Out: os.Stdout, NoColor: true, TimeFormat: "2006-01-02 15:04:05.000"}).
		Level(zerolog.InfoLevel).With().Timestamp().Logger()
	zerolog.TimeFieldFormat = zerolog.TimeFormatUnixMs
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	config := broker.Config{Listen: o.listen, Logger: &logger, Fatal: func(err error) { fatal(&logger, err) }}
	closeStore := func() error { return nil }
	if !o.ephemeral {
		if closeStore, err = openStore(ctx, o.dataDir, &config, &logger); err != nil {
			return err
		}
	}
	b, err := broker.Start(ctx, config)
	if err != nil {
		return errors.Join(err, closeStore())
	}
	logger.Info().Msgf("Server startup complete; ready %d ms after the process began", time.Since(began).Milliseconds())
	<-ctx.Done()
	stop()
	logger.Info().Msg("stopping")
	return errors.Join(b.Close(), closeStore())
}

// fatal ends the process: its state can no longer be relied on.
func fatal(logger *zerolog.Logger, err error) {
	logger.Error().Err(err).Msg("the broker cannot go on")
	fmt.Fprintln(os.Stderr, "warren:", err)
	os.Exit(1)
}

// openStore opens the data directory and lets the broker keep its messages and metadata there.
func openStore(ctx context.Context, dir string, config *broker.Config, logger *zerolog.Logger) (closer func() error, err error) {
	s, err := store.Open(dir, store.Options{
		Fatal: config.Fatal, Log: func(format string, args ...any) { logger.Error().Msgf("store: "+format, args...) },
	})
	if err != nil {
		return nil, err
	}
	metadata, err := metadb.Open(ctx, s)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := config.Validate(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	host := raftlog.NewHost(raftlog.Options{
		Node: config.Node, Store: s, Clock: config.Clock, Fatal: config.Fatal, Logger: *logger,
	})
	config.Meta, config.Log = metadata, host
	return func() error { return errors.Join(host.Close(), s.Close()) }, nil
}
