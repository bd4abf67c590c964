package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
)

// maxControlBody bounds a request and an answer of the control socket, in bytes: some 100,000 numbers.
const maxControlBody = 1 << 20

// controlTimeout bounds one request: the journal may have to be written anew.
const controlTimeout = time.Minute

// controlOrder is a request of the control socket: HTTP on a unix socket in the data directory, which only the user that
// runs virtcast may open. It is how another process of this program changes a journal that is in use.
type controlOrder struct {
	IDs []uint64 `json:"ids"`
}

// controlAnswer says how many letters an order was carried out for, and why not for the rest.
type controlAnswer struct {
	Done  int    `json:"done"`
	Error string `json:"error,omitempty"`
}

// controlSocket is the path of the socket in a data directory.
func controlSocket(dataDir string) string { return filepath.Join(dataDir, "control.sock") }

// serveControl serves the control socket until ctx ends. Where there can be none, as in a directory with a long name,
// it says so and returns nil: everything else works.
func (s *service) serveControl(ctx context.Context) error {
	name := controlSocket(s.config.DataDir)
	// The journal is ours, so a socket that is there is a dead process's.
	err := os.Remove(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		var listener net.Listener
		if listener, err = new(net.ListenConfig).Listen(ctx, "unix", name); err == nil {
			if err = os.Chmod(name, 0o600); err == nil {
				return s.serveHTTP(ctx, listener, s.control())
			}
			err = errors.Join(err, listener.Close())
		}
	}
	s.log.WarnContext(ctx, "no control socket: dead letters can be retried and dropped only while virtcast is stopped", "err", err)
	return nil
}

// control handles orders.
func (s *service) control() http.Handler {
	mux := http.NewServeMux()
	handle := func(action deadLetterAction, do func(context.Context, []uint64) (int, error)) {
		mux.HandleFunc("POST /deadletters/"+string(action), func(w http.ResponseWriter, r *http.Request) {
			var order controlOrder
			var answer controlAnswer
			err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBody)).Decode(&order)
			if err == nil {
				answer.Done, err = do(r.Context(), order.IDs)
			}
			status := http.StatusOK
			if err != nil {
				answer.Error, status = err.Error(), http.StatusConflict
			} else {
				s.log.InfoContext(r.Context(), "dead letters", "action", action, "letters", answer.Done)
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(answer) // whoever asked may have gone
		})
	}
	handle(actionRetry, s.bridge.Retry)
	handle(actionDrop, func(_ context.Context, ids []uint64) (int, error) { return dropLetters(s.journal, ids) })
	return mux
}

// orderControl has the virtcast that uses a data directory carry out an order.
func orderControl(ctx context.Context, dataDir string, action deadLetterAction, ids []uint64) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", controlSocket(dataDir))
		},
	}}
	body, err := json.Marshal(controlOrder{ids})
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://virtcast/deadletters/"+string(action), bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("%w; stop the virtcast that uses %s and try again", err, dataDir)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	var answer controlAnswer
	if err := json.NewDecoder(http.MaxBytesReader(nil, response.Body, maxControlBody)).Decode(&answer); err != nil {
		return 0, fmt.Errorf("answer of the running virtcast (%s): %w", response.Status, err)
	}
	if answer.Error != "" {
		return answer.Done, errors.New(answer.Error)
	}
	return answer.Done, nil
}

// orderLetters carries out an order on the dead letters of a data directory: by the virtcast that uses it, or, where none
// does, on the journal itself.
func orderLetters(ctx context.Context, c *Config, action deadLetterAction, ids []uint64) (n int, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	j, err := journal.Open(journalDir(c), journal.Options{MaxBytes: int64(c.Journal.MaxBytes)})
	if errors.Is(err, journal.ErrLocked) {
		return orderControl(ctx, c.DataDir, action, ids)
	}
	if err != nil {
		return 0, fmt.Errorf("open the journal in %s: %w", c.DataDir, err)
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	if action == actionRetry {
		return bridge.RetryDeadLetters(j, ids)
	}
	return dropLetters(j, ids)
}

func dropLetters(j *journal.Journal, ids []uint64) (int, error) {
	if err := j.RemoveDeadLetters(ids); err != nil {
		return 0, err
	}
	return len(ids), nil
}
