package service

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
)

// The control socket is HTTP on a unix socket in the data directory. Only the user that
// runs virtcast may open it. By it, another process of this program changes a journal
// that is in use: POST /deadletters/retry and /deadletters/drop, each with a
// controlOrder.

// maxControlBody bounds a request and an answer, in bytes: some 100,000 numbers.
const maxControlBody = 1 << 20

// controlTimeout bounds one request: the journal may have to rewrite its dead letters.
const controlTimeout = time.Minute

// action is what is done with dead letters.
type action string

// The actions. They are paths of the control socket.
const (
	actionRetry action = "retry"
	actionDrop  action = "drop"
)

// controlOrder is a request: the numbers of dead letters.
type controlOrder struct {
	IDs []uint64 `json:"ids"`
}

// controlAnswer is for how many dead letters an order was carried out, and why not for
// the rest.
type controlAnswer struct {
	Done  int    `json:"done"`
	Error string `json:"error,omitempty"`
}

// controlSocket is the path of the socket in a data directory.
func controlSocket(dataDir string) string { return filepath.Join(dataDir, "control.sock") }

// serveControl serves the control socket until ctx ends. Where there can be no socket, as
// in a directory with a long name, it logs that and returns nil: everything else works.
func (s *Service) serveControl(ctx context.Context) error {
	name := controlSocket(s.config.DataDir)
	// The journal is ours, so a socket that is there is a dead process's.
	err := os.Remove(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		var listener net.Listener
		if listener, err = new(net.ListenConfig).Listen(ctx, "unix", name); err == nil {
			if err = os.Chmod(name, 0o600); err == nil {
				return serveHTTP(ctx, listener, s.control())
			}
			err = errors.Join(err, listener.Close())
		}
	}
	s.log.WarnContext(ctx, "no control socket: dead letters can be retried and dropped only while virtcast is stopped", "err", err)
	return nil
}

// control handles orders.
func (s *Service) control() http.Handler {
	mux := http.NewServeMux()
	handle := func(a action, do func(context.Context, []uint64) (int, error)) {
		mux.HandleFunc("POST /deadletters/"+string(a), func(w http.ResponseWriter, r *http.Request) {
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
				s.log.InfoContext(r.Context(), "dead letters", "action", a, "count", answer.Done)
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(answer) // the client may have gone
		})
	}
	handle(actionRetry, s.bridge.Retry)
	handle(actionDrop, func(_ context.Context, ids []uint64) (int, error) { return drop(s.journal, ids) })
	return mux
}

// order has the virtcast that uses a data directory carry out an order.
func order(ctx context.Context, dataDir string, a action, ids []uint64) (int, error) {
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
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://virtcast/deadletters/"+string(a), bytes.NewReader(body))
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
