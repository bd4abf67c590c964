package libvirttest

import (
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

// Keepalive as in src/rpc/virkeepalive.c: a client that asked for it (SUPPORTS_FEATURE
// 10) and sent nothing for an interval gets a PING; after Options.KeepaliveCount of them
// without any frame from the client, and one interval more, it is cut off. PINGs of the
// client are answered whether it asked or not.

func keepaliveHeader(procedure int32) wire.Header {
	return wire.Header{
		Program: wire.ProgramKeepalive, Version: wire.ProgramVersion,
		Procedure: procedure, Type: wire.TypeMessage,
	}
}

func (c *Client) startKeepalive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.keepalive != nil || c.server.opts.KeepaliveInterval < 0 {
		return
	}
	c.lastReceive = time.Now()
	c.pingsLeft = c.server.opts.KeepaliveCount
	c.armKeepalive(c.server.opts.KeepaliveInterval)
}

// armKeepalive starts the timer, which the server's WaitGroup counts until it has run or
// was stopped.
func (c *Client) armKeepalive(d time.Duration) {
	c.server.wg.Add(1)
	c.keepalive = time.AfterFunc(d, c.keepaliveTick)
}

func (c *Client) stopKeepalive() {
	if c.keepalive != nil && c.keepalive.Stop() {
		c.server.wg.Done()
	}
	c.keepalive = nil
}

// sawLife is called with c.mu held for every frame received.
func (c *Client) sawLife() {
	if c.keepalive != nil {
		c.lastReceive = time.Now()
		c.pingsLeft = c.server.opts.KeepaliveCount
	}
}

func (c *Client) keepaliveTick() {
	defer c.server.wg.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	interval := c.server.opts.KeepaliveInterval
	if wait := interval - time.Since(c.lastReceive); wait > 0 {
		c.armKeepalive(wait)
		return
	}
	if c.pingsLeft == 0 {
		c.closeLocked(ClosedByKeepalive)
		return
	}
	c.pingsLeft--
	c.lastReceive = time.Now()
	c.armKeepalive(interval)
	if c.roomLocked(frameOverhead) {
		c.out = wire.AppendFrame(c.out, keepaliveHeader(wire.ProcKeepalivePing), nil)
		c.wakeLocked()
	}
}
