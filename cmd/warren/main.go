// Command warren is the broker.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker"
)

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "warren:", err)
		os.Exit(1)
	}
}

func serve(args []string) error {
	flags := flag.NewFlagSet("warren", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:5672", "address for AMQP connections")
	_ = flags.String("management-listen", "127.0.0.1:15672", "address for the HTTP API")
	ephemeral := flags.Bool("ephemeral", false, "keep nothing on disk")
	_ = flags.String("data-dir", "warren-data", "directory for messages and metadata")
	if err := flags.Parse(args); err != nil {
		return err
	}
	_ = ephemeral
	logger := zerolog.New(zerolog.ConsoleWriter{Out: os.Stdout, NoColor: true}).With().Timestamp().Logger().Level(zerolog.InfoLevel)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	b, err := broker.Start(ctx, broker.Config{Listen: *listen, Logger: &logger})
	if err != nil {
		return err
	}
	logger.Info().Msg("Server startup complete")
	<-ctx.Done()
	return b.Close()
}
