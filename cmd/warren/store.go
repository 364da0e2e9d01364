package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/warrenmq/warren/broker/settings"
	"github.com/warrenmq/warren/cmd/warren/internal/archive"
	"github.com/warrenmq/warren/store"
)

var errStoreUsage = errors.New("usage: warren store verify DIR | export DIR | backup [--data-dir DIR] TO")

// storeCommand looks at a data directory, or copies the one of a running broker.
func storeCommand(args []string) error {
	if len(args) == 0 {
		return errStoreUsage
	}
	switch command, args := args[0], args[1:]; {
	case command == "verify" && len(args) == 1:
		return verifyStore(args[0], os.Stdout)
	case command == "export" && len(args) == 1:
		return exportStore(args[0], os.Stdout)
	case command == "backup" && len(args) > 0:
		return backupStore(args)
	}
	return errStoreUsage
}

// verifyStore reads everything, and says what is damaged.
func verifyStore(dir string, out io.Writer) error {
	r, err := archive.Read(dir, func(*archive.Message) error { return nil })
	if err != nil {
		return err
	}
	for _, damage := range r.Damage {
		fmt.Fprintln(out, oneLine(damage))
	}
	fmt.Fprintf(out, "%s: %d files of the log, %d tables, %d groups, %d queues, %d messages of %d bytes\n",
		dir, r.Logs, r.Tables, r.Groups, r.Queues, r.Messages, r.Bytes)
	return verdict(dir, &r)
}

func verdict(dir string, r *archive.Result) error {
	if len(r.Damage) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w in %d places, %d messages cannot be read", dir, store.ErrDamaged, len(r.Damage), r.Missed)
}

// exportStore writes what is readable, and says what is not.
func exportStore(dir string, out io.Writer) error {
	r, err := archive.Export(dir, out)
	if err != nil {
		return err
	}
	for _, damage := range r.Damage {
		fmt.Fprintln(os.Stderr, oneLine(damage))
	}
	return verdict(dir, &r)
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// backupStore asks the running broker to copy its data directory.
func backupStore(args []string) error {
	from := ownSources()
	var rest []string
	var err error
	if from.Flags, rest, err = settings.ReadFlags(args); err != nil {
		return err
	}
	if len(rest) != 1 {
		return errStoreUsage
	}
	values, err := settings.Load(from)
	if err != nil {
		return err
	}
	to, err := filepath.Abs(rest[0])
	if err != nil {
		return err
	}
	socket := controlSocket(values)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	client := http.Client{Transport: transport}
	answer, err := client.PostForm("http://local/control/backup", url.Values{"to": {to}})
	if err != nil {
		return fmt.Errorf("no broker answers on %s: %w", socket, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusNoContent {
		return nil
	}
	var refusal struct{ Reason string }
	if err := json.NewDecoder(answer.Body).Decode(&refusal); err != nil || refusal.Reason == "" {
		return fmt.Errorf("the broker answers %s", answer.Status)
	}
	return errors.New(refusal.Reason)
}

// backup copies the data directory of this process to where the request says.
func (o *operator) backup(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	to := r.PostFormValue("to")
	var err error
	switch {
	case !filepath.IsAbs(to):
		err = errors.New("a backup needs an absolute path to go to")
	case o.server.store == nil:
		err = errors.New("this broker keeps nothing on disk")
	default:
		if err = o.server.store.Checkpoint(to); err == nil {
			err = os.Chmod(to, 0o750) // like the original
		}
	}
	if err != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "bad_request", "reason": oneLine(err)}) // whoever asked may be gone
		return
	}
	o.server.logger.Info().Str("to", to).Msg("the data directory was copied")
	w.WriteHeader(http.StatusNoContent)
}
