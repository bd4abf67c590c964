package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/virtcast/virtcast/schema"
)

// settle is how long both the new and the old callbacks are kept when wire
// registrations change over: see copyFilter.
const settle = 200 * time.Millisecond

// wireKey is what a callback is registered for on the wire. The nil UUID stands for all domains.
type wireKey struct {
	kind   schema.Kind
	domain schema.UUID
}

// wanted returns what a connection must be registered for: for each kind either all
// domains, if any registration wants them, or each domain that is named.
func wanted(list []*entry, connection string) map[wireKey]struct{} {
	want := map[wireKey]struct{}{}
	for _, e := range list {
		if e.Domain != nil || !e.selects(connection) {
			continue
		}
		for _, kind := range e.Kinds {
			want[wireKey{kind: kind}] = struct{}{}
		}
	}
	for _, e := range list {
		if e.Domain == nil || !e.selects(connection) {
			continue
		}
		for _, kind := range e.Kinds {
			if _, all := want[wireKey{kind: kind}]; !all {
				want[wireKey{kind, *e.Domain}] = struct{}{}
			}
		}
	}
	return want
}

// wire is the callbacks of one session. It belongs to the supervisor's goroutine.
type wire struct {
	session Session
	queue   *queue
	timeout time.Duration
	logger  *slog.Logger // knows the connection
	// have maps what is registered to its callback; refused is what the hypervisor does not
	// support, and is not asked again in this session.
	have    map[wireKey]int32
	refused map[wireKey]struct{}
}

func newWire(s Session, q *queue, timeout time.Duration, logger *slog.Logger) *wire {
	return &wire{session: s, queue: q, timeout: timeout, logger: logger, have: map[wireKey]int32{}, refused: map[wireKey]struct{}{}}
}

// follow makes the session's callbacks those that are wanted. New ones are registered before old
// ones are ended. An error means that the state of the session's callbacks is not
// known: the session must be closed. What the hypervisor refuses is no error: it is logged.
func (w *wire) follow(ctx context.Context, want map[wireKey]struct{}) error {
	var missing, surplus []wireKey
	for key := range want {
		_, have := w.have[key]
		_, refused := w.refused[key]
		if !have && !refused {
			missing = append(missing, key)
		}
	}
	for key := range w.have {
		if _, ok := want[key]; !ok {
			surplus = append(surplus, key)
		}
	}
	if changesOver(missing, surplus) {
		return w.changeOver(ctx, want, missing, surplus)
	}
	if err := w.register(ctx, missing); err != nil {
		return err
	}
	return w.deregister(ctx, w.replaced(want, surplus))
}

// changesOver reports whether any kind has callbacks to be made and others to be ended that
// cover the same domain.
func changesOver(missing, surplus []wireKey) bool {
	for _, m := range missing {
		for _, s := range surplus {
			if m.kind == s.kind && (m.domain.IsZero() || s.domain.IsZero()) {
				return true
			}
		}
	}
	return false
}

// changeOver is follow while some events come twice.
func (w *wire) changeOver(ctx context.Context, want map[wireKey]struct{}, missing, surplus []wireKey) error {
	w.queue.expectCopies()
	defer w.queue.endCopies()
	if err := w.register(ctx, missing); err != nil {
		return err
	}
	registered := time.Now()
	if !sleep(ctx, settle) {
		return ctx.Err()
	}
	w.queue.forgetCopies(registered.Add(settle / 2))
	return w.deregister(ctx, w.replaced(want, surplus))
}

// replaced returns those surplus callbacks of whose kind nothing that is wanted was refused. The
// others stay, since what they bring would not come otherwise.
func (w *wire) replaced(want map[wireKey]struct{}, surplus []wireKey) []wireKey {
	refused := map[schema.Kind]bool{}
	for key := range w.refused {
		if _, ok := want[key]; ok {
			refused[key.kind] = true
		}
	}
	return slices.DeleteFunc(surplus, func(key wireKey) bool { return refused[key.kind] })
}

func (w *wire) register(ctx context.Context, keys []wireKey) error {
	for _, key := range keys {
		id, err := w.registerOne(ctx, key)
		if err == nil {
			w.have[key] = id
			continue
		}
		if w.broken(err) {
			return fmt.Errorf("register for %s: %w", key.kind, err)
		}
		w.refused[key] = struct{}{}
		w.logger.WarnContext(ctx, "the hypervisor refuses a registration; its events are missing", keyKind, key.kind.String(), keyError, err)
	}
	return nil
}

func (w *wire) registerOne(ctx context.Context, key wireKey) (int32, error) {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	var domain *schema.UUID
	if !key.domain.IsZero() {
		domain = &key.domain
	}
	return w.session.RegisterAny(ctx, key.kind, domain)
}

func (w *wire) deregister(ctx context.Context, keys []wireKey) error {
	for _, key := range keys {
		if err := w.deregisterOne(ctx, key); err != nil {
			return fmt.Errorf("deregister for %s: %w", key.kind, err)
		}
		delete(w.have, key)
	}
	return nil
}

func (w *wire) deregisterOne(ctx context.Context, key wireKey) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	return w.session.DeregisterAny(ctx, key.kind, w.have[key])
}

// broken reports whether an error of RegisterAny is not an answer: the call was
// given up, or the session is lost.
func (w *wire) broken(err error) bool {
	select {
	case <-w.session.Done():
		return true
	default:
		return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	}
}
