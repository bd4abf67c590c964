package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// dialSSH logs in and runs the remote command, or, where the server lets nothing be run,
// has it forward the daemon's socket. Whether the command can reach the daemon shows only
// when it is spoken to: a read then returns an [*Error].
func (d Dialer) dialSSH(ctx context.Context, u *URI) (*Conn, error) {
	user, err := loginName(u)
	if err != nil {
		return nil, err
	}
	keys, err := hostKeysFor(u)
	if err != nil {
		return nil, err
	}
	id, err := identityFor(ctx, u)
	if err != nil {
		return nil, err
	}
	defer id.Close()
	conn, err := d.connect(ctx, u)
	if err != nil {
		return nil, err
	}
	release := guard(ctx, conn)
	client, err := u.login(conn, user, keys, id)
	if err != nil {
		_ = release()
		_ = conn.Close()
		return nil, err
	}
	stream, err := u.run(client)
	if cause := release(); cause != nil && err == nil {
		_ = stream.Close()
		return nil, u.fail("ssh", cause, "")
	}
	if err != nil {
		closeClient(client)
		return nil, err
	}
	return &Conn{Conn: stream, Kind: SSH, Encrypted: true, Via: "ssh " + user + "@" + u.address()}, nil
}

// closeClient ends an SSH connection and waits for it.
func closeClient(client *ssh.Client) {
	_ = client.Close()
	_ = client.Wait()
}

// run starts the remote command, or forwards the socket if the server refuses commands.
func (u *URI) run(client *ssh.Client) (*bridge, error) {
	stream, err := u.startCommand(client)
	if err == nil || u.remoteProxy() != ProxyAuto {
		return stream, err
	}
	socket, forwardErr := client.Dial("unix", u.remoteSocket())
	if forwardErr != nil {
		return nil, u.fail("ssh", fmt.Errorf("%w; and forward %s: %w", err, u.remoteSocket(), forwardErr),
			"the server must allow a command or the forwarding of the socket to this user")
	}
	return newBridge(socket, socket, func() { closeClient(client) }, func() error { return nil }), nil
}

func (u *URI) startCommand(client *ssh.Client) (*bridge, error) {
	session, err := client.NewSession()
	if err != nil {
		return nil, u.fail("ssh", fmt.Errorf("open session: %w", err), "")
	}
	remote := &remoteProgram{uri: u, session: session, done: make(chan struct{})}
	session.Stderr = &remote.stderr
	toRemote, err := session.StdinPipe()
	if err != nil {
		return nil, u.fail("ssh", err, "")
	}
	fromRemote, err := session.StdoutPipe()
	if err != nil {
		return nil, u.fail("ssh", err, "")
	}
	if err := session.Start(u.remoteCommand()); err != nil {
		_ = session.Close()
		return nil, u.fail("ssh", fmt.Errorf("start the remote command: %w", err), "the server must allow commands to this user")
	}
	go remote.wait() // Ends when the connection does, which hangUp waits for.
	hangUp := func() {
		closeClient(client)
		<-remote.done
	}
	return newBridge(fromRemote, toRemote, hangUp, remote.explain), nil
}

// remoteProgram is the command that runs at the far end.
type remoteProgram struct {
	uri     *URI
	session *ssh.Session
	stderr  tail

	// done is closed once err is set.
	done chan struct{}
	err  error
}

func (r *remoteProgram) wait() {
	r.err = r.session.Wait()
	close(r.done)
}

// settle is how long the exit status may take after the end of the output.
const settle = time.Second

// explain says how the program ended, or returns nil if it ended well or has not ended.
func (r *remoteProgram) explain() error {
	timer := time.NewTimer(settle)
	defer timer.Stop()
	select {
	case <-r.done:
	case <-timer.C:
		return nil
	}
	said := strings.TrimSpace(r.stderr.String())
	var exit *ssh.ExitError
	if !errors.As(r.err, &exit) && said == "" {
		return nil // Ended well, or the connection was lost under it.
	}
	status := "ended"
	if exit != nil {
		status = fmt.Sprintf("ended with status %d", exit.ExitStatus())
	}
	if said != "" {
		status += ", saying: " + strings.Join(strings.Fields(said), " ")
	}
	return r.uri.fail("ssh", &endedError{"the remote command " + status}, remoteHint(exit))
}

func remoteHint(exit *ssh.ExitError) string {
	if exit != nil && exit.ExitStatus() == 127 {
		return "virt-ssh-helper and netcat may be missing on the host; install libvirt there, or name the netcat program with netcat="
	}
	return "is libvirt running on the host, and may the user who logs in use its socket (group libvirt)?"
}

// endedError is an io.EOF with its reason.
type endedError struct{ reason string }

func (e *endedError) Error() string { return e.reason }

func (e *endedError) Unwrap() error { return io.EOF }

// tailSize is how much of what a remote program says is kept, in bytes: the last.
const tailSize = 1 << 10

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex // Guards buf.
	buf []byte
}

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if extra := len(t.buf) - tailSize; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
