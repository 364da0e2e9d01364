package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/warrenmq/warren/broker/settings"
)

// ownSources are where warren finds its settings.
func ownSources() settings.Sources {
	return settings.Sources{Environ: os.Environ(), Files: []string{"/etc/warren/warren.conf"}}
}

// containerSources are where RabbitMQ's server and its image find theirs, and what they do if nobody says anything: listen
// on all interfaces, and keep the data in /var/lib/rabbitmq.
func containerSources() settings.Sources {
	s := settings.Sources{Environ: os.Environ(), Files: []string{"/etc/rabbitmq/rabbitmq.conf"}}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	s.Defaults = map[string]string{
		"config_dir": "/etc/rabbitmq/conf.d", "listen": ":5672", "management_listen": ":15672", "metrics_listen": ":15692",
		"data_dir": "/var/lib/rabbitmq/mnesia", "node_name": "rabbit@" + host,
	}
	return s
}

// names are the commands that the binary is, by the name it is called.
var names = []string{"rabbitmq-server", "rabbitmqctl", "rabbitmq-diagnostics", "rabbitmq-plugins", "rabbitmqadmin", "rabbitmq-queues"}

// entrypoint runs what a container is told to run: one of our commands, or any other program in its place. Flags alone are
// the server's.
func entrypoint(args []string) int {
	if len(args) == 0 || args[0][0] == '-' {
		return call("rabbitmq-server", args)
	}
	if slices.Contains(names, args[0]) || args[0] == "warren" {
		return call(args[0], args[1:])
	}
	path, err := exec.LookPath(args[0])
	if err == nil {
		err = syscall.Exec(path, args, os.Environ()) //nolint:gosec // whoever starts the container says what runs in it
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", args[0], err)
	return 127
}

// version is what the module's version control knows of the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "warren"
	}
	return "warren " + info.Main.Version
}
