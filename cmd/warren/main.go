// Command warren is the broker, and what one administers it with. It answers to the names of RabbitMQ's commands too.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/warrenmq/warren/broker/settings"
)

// began is when the process did, as near as Go code can tell.
var began = time.Now()

func main() {
	name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	os.Exit(call(name, os.Args[1:]))
}

// call does what the command of that name does, and gives the exit code.
func call(name string, args []string) int {
	switch name {
	case "docker-entrypoint.sh":
		return entrypoint(args)
	case "rabbitmq-server":
		return complain(serve(args, containerSources()))
	case "rabbitmqctl", "rabbitmq-diagnostics", "rabbitmq-plugins", "rabbitmq-queues", "rabbitmq-upgrade", "rabbitmqadmin":
		return control(name, args, containerSources())
	}
	command := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	switch command {
	case "":
		return complain(serve(args, ownSources()))
	case "serve":
		return complain(serve(args, ownSources()))
	case "ctl":
		return control("warren ctl", args, ownSources())
	case "doctor":
		return control("warren ctl", append([]string{"doctor"}, args...), ownSources())
	case "config":
		return complain(config(args))
	case "cluster":
		return complain(clusterCommand(args, os.Stdout))
	case "store":
		return complain(storeCommand(args))
	case "version":
		fmt.Println(version())
		return 0
	}
	return complain(fmt.Errorf("unexpected argument %q; see warren --help", command))
}

// complain says on standard error what went wrong, in one line.
func complain(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, settings.ErrHelp):
		help()
		return 0
	}
	fmt.Fprintln(os.Stderr, "warren:", strings.ReplaceAll(err.Error(), "\n", "; "))
	return 1
}

func help() {
	fmt.Print(`usage: warren [serve] [FLAGS]           runs a broker
       warren ctl COMMAND [ARGUMENTS]    administers it, with rabbitmqctl's commands
       warren doctor                     says what is wrong with a broker, or its cluster, and what to do
       warren config list|effective      the settings there are; what they are here
       warren cluster init|token|join    makes certificates for the nodes of a cluster
       warren store verify|export DIR    looks at a data directory that no broker uses
       warren store backup TO            copies the data directory of a running broker
       warren version

`)
	_ = settings.WriteHelp(os.Stdout) // nobody is left to tell
	fmt.Print(`
Every setting has a flag, a variable WARREN_... and a key for a configuration file in RabbitMQ's form: warren config list.
`)
}
