# Sourced by run: how each language's clients are installed, how each suite runs, and how its runner's output is read.
# A suite's function finds the broker in AMQP_URL; the words before the first dash of its name say which runner it is.

# A suite that takes longer has hung; it gets an interrupt, so that it can still stop what it started.
suite_seconds_max=300

bounded() {
	timeout --signal=INT --kill-after=30 "$suite_seconds_max" "$@"
}

# installed NAME FILE... is true when the folder NAME was installed from these very files.
installed() {
	local name=$1
	shift
	[[ -f $clients/$name.from ]] && cat "$@" | cmp -s - "$clients/$name.from"
}

# --- Go

amqp091=github.com/rabbitmq/amqp091-go

install_go() {
	(cd "$here/go" && go mod download)
}

run_go_tutorials() {
	cd "$here/go" && bounded go test -count=1 -v -parallel 16 ./tutorials
}

run_go_behaviour() {
	cd "$here/go" && bounded go test -count=1 -v -parallel 16 .
}

# client_tests prints the names of amqp091-go's tests that exist with the tag integration alone.
client_tests() {
	comm -23 <(go test -tags integration -list '^Test' "$1" | grep '^Test' | sort) <(go test -list '^Test' "$1" | grep '^Test' | sort)
}

management_tests() {
	grep -v '^#' "$here/go/client-tests-with-management"
}

one_of() {
	echo "^($(paste -sd'|'))\$"
}

run_go_client() {
	cd "$here/go" || return
	bounded go test -tags integration -count=1 -v -timeout 5m \
		-run "$(client_tests $amqp091 | one_of)" -skip "$(management_tests | one_of)" $amqp091
}

# The tests that drop connections through the management API expect it at localhost:15672: they run from a copy of the
# module that looks at COMPAT_HTTP_URL.
run_go_recovery() {
	[[ -n $COMPAT_HTTP_URL ]] || { echo 'go-recovery needs COMPAT_HTTP_URL'; return 1; }
	cp -r "$(cd "$here/go" && go list -m -f '{{.Dir}}' $amqp091)" "$tmp/amqp091-go" || return
	chmod -R u+w "$tmp/amqp091-go" && cd "$tmp/amqp091-go" || return
	sed -i -e "s|\"http://localhost:15672/|\"$COMPAT_HTTP_URL/|" -e "s|\"http://localhost:\"+port+\"/|\"$COMPAT_HTTP_URL/|" \
		internal/utils/http.go
	bounded go test -tags integration -count=1 -v -run "$(management_tests | one_of)" .
}

count_go() {
	echo "$(grep -c '^--- PASS' "$1") $(grep -c '^--- FAIL' "$1") $(grep -c '^--- SKIP' "$1")"
}

closing_go() {
	grep -A 3 '^--- SKIP' "$1"
	grep -E '^(PASS|ok)' "$1"
}

failures_go() {
	grep -vE '^ *(=== (RUN|PAUSE|CONT|NAME)|--- PASS)' "$1"
}

# --- Python

install_python() {
	installed python "$here/python/requirements.txt" && return
	rm -rf "$clients/python"
	python3 -m venv "$clients/python" &&
		"$clients/python/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/python/requirements.txt" &&
		cp "$here/python/requirements.txt" "$clients/python.from"
}

pytest() {
	cd "$here/python" && bounded "$clients/python/bin/python" -B -m pytest "$@"
}

run_python_tutorials() { pytest test_tutorials_blocking.py test_tutorials_select.py; }

run_python_management() { pytest test_management.py; }

run_celery() { pytest test_kombu.py test_celery.py; }

# number WORD FILE prints the number before the word in pytest's closing line.
number() {
	tail -n 1 "$2" | grep -oE "[0-9]+ $1" | grep -oE '[0-9]+' || echo 0
}

count_python() {
	echo "$(number passed "$1") $(($(number failed "$1") + $(number error "$1"))) $(number skipped "$1")"
}

closing_python() {
	grep '^SKIPPED' "$1"
	tail -n 1 "$1"
}

failures_python() { cat "$1"; }

count_celery() { count_python "$1"; }
closing_celery() { closing_python "$1"; }
failures_celery() { failures_python "$1"; }

# --- JavaScript

install_javascript() {
	installed javascript "$here"/javascript/package*.json && return
	rm -rf "$clients/javascript"
	mkdir -p "$clients/javascript" && cp "$here"/javascript/package*.json "$clients/javascript" &&
		(cd "$clients/javascript" && npm ci --silent --no-audit --no-fund) &&
		cat "$here"/javascript/package*.json >"$clients/javascript.from"
}

run_javascript_tutorials() {
	cd "$here/javascript" &&
		NODE_PATH="$clients/javascript/node_modules" bounded node --test --test-reporter=spec ./*.test.js
}

count_javascript() {
	grep -q '^ℹ pass' "$1" || { echo 0 0 0; return; }
	sed -n 's/^ℹ pass //p; s/^ℹ fail //p; s/^ℹ skipped //p' "$1" | paste -sd' '
}

closing_javascript() { grep '^ℹ' "$1"; }

failures_javascript() { cat "$1"; }

# --- Java

# maven sets the command line that install_java and run_java_tutorials share.
maven() {
	mvn=(mvn -B -Dstyle.color=never -Dmaven.repo.local="$clients/maven" -Dcompat.build="$clients/java" -f "$here/java/pom.xml")
}

# plain takes the escape sequences out that Maven prints in any case.
plain() {
	sed 's/\x1b\[[0-9;]*m//g'
}

# A run that selects no test fetches all that a run needs, the test runner's parts too.
install_java() {
	installed java "$here/java/pom.xml" && return
	maven
	"${mvn[@]}" -q test -Dtest='No*Such*Test' -Dsurefire.failIfNoSpecifiedTests=false | plain && cp "$here/java/pom.xml" "$clients/java.from"
}

run_java_tutorials() {
	maven
	bounded "${mvn[@]}" --offline test | plain
}

count_java() {
	local line run=0 failures=0 errors=0 skipped=0
	line=$(grep -oE 'Tests run: [0-9]+, Failures: [0-9]+, Errors: [0-9]+, Skipped: [0-9]+$' "$1" | tail -n 1)
	[[ -n $line ]] && read -r run failures errors skipped < <(grep -oE '[0-9]+' <<<"$line" | paste -sd' ')
	echo "$((run - failures - errors - skipped)) $((failures + errors)) $skipped"
}

closing_java() { grep 'Tests run:' "$1"; }

failures_java() { grep -vE '^\[INFO\] *(-*|Scanning.*)$' "$1"; }
