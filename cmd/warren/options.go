package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// options are what the command line and the environment say.
type options struct {
	listen           string
	managementListen string
	dataDir          string
	ephemeral        bool
}

// orEnv gives the value of an environment variable, or a default.
func orEnv(name, value string) string {
	if v, ok := os.LookupEnv(name); ok {
		return v
	}
	return value
}

func readOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("warren", flag.ContinueOnError)
	flags.StringVar(&o.listen, "listen", orEnv("WARREN_LISTEN", "127.0.0.1:5672"), "`address` for AMQP connections; port 0 takes a free one")
	flags.StringVar(&o.managementListen, "management-listen", orEnv("WARREN_MANAGEMENT_LISTEN", "127.0.0.1:15672"), "`address` for the HTTP API")
	flags.StringVar(&o.dataDir, "data-dir", orEnv("WARREN_DATA_DIR", "warren-data"), "`directory` for messages and metadata")
	flags.BoolVar(&o.ephemeral, "ephemeral", false, "keep nothing on disk")
	flags.SetOutput(io.Discard) // what is wrong is said once, by main
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(os.Stdout)
		flags.Usage()
	}
	if err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q; see warren -h", flags.Arg(0))
	}
	return o, nil
}
