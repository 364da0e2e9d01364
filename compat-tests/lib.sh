# Sourced by run and reference: what both need to start a broker on loopback and stop it again.

# free_ports N prints N different TCP ports of 127.0.0.1 that nobody listens on. They are tried by connecting, not by
# listening: a port that was listened on a moment ago may still be taken for whoever wants it next. They lie below the
# range that outgoing connections take theirs from.
free_ports() {
	python3 - "$1" <<-'EOF'
		import random, socket, sys
		ports = set()
		while len(ports) < int(sys.argv[1]):
		    port = random.randrange(10000, 32000)
		    with socket.socket() as probe:
		        if probe.connect_ex(("127.0.0.1", port)) != 0:
		            ports.add(port)
		print(*ports)
	EOF
}

# wait_for SECONDS PID COMMAND... polls until the command succeeds; fails when time is up or the process is gone.
wait_for() {
	local deadline=$((SECONDS + $1)) pid=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		kill -0 "$pid" 2>/dev/null || return 1
		((SECONDS < deadline)) || return 1
		sleep 0.05
	done
}

# stop PID SECONDS ends a process of ours: TERM first, KILL when it does not go.
stop() {
	local deadline=$((SECONDS + $2))
	kill -TERM "$1" 2>/dev/null || return 0
	while kill -0 "$1" 2>/dev/null; do
		((SECONDS < deadline)) || { kill -KILL "$1" 2>/dev/null; return 0; }
		sleep 0.05
	done
}
