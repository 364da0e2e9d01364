package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/broker/settings"
	"github.com/warrenmq/warren/cmd/warren/internal/ctl"
)

// ownSources are where warren finds its settings.
func ownSources() settings.Sources {
	return settings.Sources{Environ: os.Environ(), Files: []string{"/etc/warren/warren.conf"}}
}

// containerSources are where RabbitMQ's server and its image find theirs, and what they do if nobody says anything: listen
// on all interfaces, and keep the data in /var/lib/rabbitmq.
func containerSources() settings.Sources {
	s := settings.Sources{Environ: os.Environ(), Files: []string{"/etc/rabbitmq/rabbitmq.conf"}, EnvFile: "/etc/rabbitmq/rabbitmq-env.conf"}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	s.Defaults = map[string]string{
		"config_dir": "/etc/rabbitmq/conf.d", "listen": ":5672", "management_listen": ":15672", "metrics_listen": ":15692",
		"data_dir": "/var/lib/rabbitmq/mnesia", "node_name": "rabbit@" + host,
	}
	if os.Getenv("RABBITMQ_SSL_CERTFILE") != "" {
		s.Defaults["listen_tls"] = ":5671"
	}
	return s
}

// names are the commands that the binary is, by the name it is called.
var names = []string{"rabbitmq-server", "rabbitmqctl", "rabbitmq-diagnostics", "rabbitmq-plugins", "rabbitmqadmin", "rabbitmq-queues", "rabbitmq-upgrade"}

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

// control runs one of the tools that administer a broker. Where the local one can be reached is a setting.
func control(tool string, args []string, from settings.Sources) int {
	socket := ""
	values, err := settings.Load(from)
	if err != nil {
		fmt.Fprintln(os.Stderr, "warren:", err) // the broker may have other settings
	} else {
		socket = controlSocket(values)
	}
	compatible := broker.CompatibleVersion
	if tool == "warren ctl" {
		compatible = ""
	}
	return ctl.Run(ctl.Invocation{
		Tool: tool, Args: args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Socket: socket,
		PluginsFile: pluginsFile(), Version: version(), Compatible: compatible,
	})
}

// pluginsFile is the file of RabbitMQ's plugins that are enabled.
func pluginsFile() string {
	return cmp.Or(os.Getenv("RABBITMQ_ENABLED_PLUGINS_FILE"), "/etc/rabbitmq/enabled_plugins")
}

// controlSocket is where the local operator reaches the broker; "" is nowhere.
func controlSocket(v *settings.Values) string {
	switch path := v.Text("control_socket"); {
	case path == "none":
		return ""
	case path != "":
		return path
	case v.Boolean("ephemeral"):
		return ""
	}
	return filepath.Join(v.Text("data_dir"), "control.sock")
}

// version is what the module's version control knows of the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "warren"
	}
	return "warren " + info.Main.Version
}
