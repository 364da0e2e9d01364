package main

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// api is the address of the HTTP API, from the line that tells it.
func (p *process) api() string {
	p.t.Helper()
	m := regexp.MustCompile(`started HTTP listener on (\S+)`).FindStringSubmatch(p.stdout.String())
	if m == nil {
		p.t.Fatalf("no address of the HTTP API in %s", p.stdout.String())
	}
	return m[1]
}

// ask asks the HTTP API as guest.
func (p *process) ask(path string) (status int, body string) {
	p.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+p.api()+"/api"+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.SetBasicAuth("guest", "guest")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer.StatusCode, string(data)
}

// TestTheManagementAPIListens on a port of its own in each of two brokers, and sees what its broker has.
func TestTheManagementAPIListens(t *testing.T) {
	one, two := run(t, t.TempDir(), "--ephemeral"), run(t, t.TempDir(), "--ephemeral")
	if one.api() == two.api() {
		t.Fatalf("both are at %s", one.api())
	}
	if _, err := one.channel().QueueDeclare("of one", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[*process]int{one: 1, two: 0} {
		status, body := p.ask("/queues")
		if got := strings.Count(body, `"of one"`); status != http.StatusOK || got != want {
			t.Errorf("%d queues, want %d: %d %s", got, want, status, body)
		}
	}
	one.stop()
	two.stop()
}

// TestWhatIsSetOverHTTPLasts through a restart.
func TestWhatIsSetOverHTTPLasts(t *testing.T) {
	dir := t.TempDir()
	p := run(t, dir)
	r, err := http.NewRequest(http.MethodPut, "http://"+p.api()+"/api/policies/%2F/p", strings.NewReader(`{"pattern":"^q","definition":{"max-length":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("guest", "guest")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		t.Fatal(answer.Status)
	}
	p.kill() // at once: what was answered is on the disk
	p = run(t, dir)
	ch := p.channel()
	if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	publish(t, ch, "q", "a", "b", "c")
	if q, err := ch.QueueDeclarePassive("q", true, false, false, false, nil); err != nil || q.Messages != 1 {
		t.Errorf("%d messages under the policy, %v", q.Messages, err)
	}
	p.stop()
}

func TestAPortInUseForTheManagementAPI(t *testing.T) {
	running := run(t, t.TempDir(), "--ephemeral")
	p := launch(t, t.TempDir(), "--ephemeral", "--listen", "127.0.0.1:0", "--management-listen", running.api())
	code, said := p.ends(), p.stderr.String()
	if code != 1 || strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "warren: ") || !strings.Contains(said, "address already in use") {
		t.Errorf("exit code %d, said %q", code, said)
	}
	running.stop()
}
