package libvirttest

import (
	"context"
	"encoding/binary"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

// keepQueue is the largest buffer that a client keeps while it has nothing to write,
// unless a firehose is on it.
const keepQueue = 4 << 10

// frameOverhead is the size of a frame without payload.
const frameOverhead = wire.LengthSize + wire.HeaderSize

// queueFrame queues one frame that is neither reply nor event.
func (c *Client) queueFrame(h wire.Header, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.roomLocked(frameOverhead + len(payload)) {
		c.out = wire.AppendFrame(c.out, h, payload)
		c.wakeLocked()
	}
}

// queueReply queues the reply to a call. The one to virConnectClose is followed by the
// end of the connection (delayedClose in libvirtd).
func (c *Client) queueReply(h wire.Header, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.Program == wire.ProgramRemote && h.Procedure == wire.ProcConnectClose && h.Status == wire.StatusOK {
		c.closing = ClosedByCall
	}
	if c.roomLocked(frameOverhead + len(payload)) {
		c.out = wire.AppendFrame(c.out, h, payload)
		c.outReplies++
		c.wakeLocked()
	}
}

// queueEvent queues one event message: callback and the fields that follow it.
func (c *Client) queueEvent(procedure, callback int32, fields []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.roomLocked(frameOverhead + 4 + len(fields)) {
		return
	}
	c.out = appendEvent(c.out, procedure, callback, fields)
	c.wakeLocked()
}

// queueRaw queues bytes as they are.
func (c *Client) queueRaw(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.roomLocked(len(b)) {
		c.out = append(c.out, b...)
		c.wakeLocked()
	}
}

// appendEvent appends an event's frame. libvirtd sends events with serial 1.
func appendEvent(dst []byte, procedure, callback int32, fields []byte) []byte {
	start := len(dst)
	dst = wire.AppendFrame(dst, wire.Header{
		Program: wire.ProgramRemote, Version: wire.ProgramVersion, Procedure: procedure,
		Type: wire.TypeMessage, Serial: 1,
	}, nil)
	dst = binary.BigEndian.AppendUint32(dst, uint32(callback))
	dst = append(dst, fields...)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst
}

// roomLocked reports whether n more bytes may be queued. It cuts off a client whose queue
// is over its bound.
func (c *Client) roomLocked(n int) bool {
	if c.closed {
		return false
	}
	if len(c.out)+c.inWrite+n > c.server.opts.MaxQueue {
		c.closeLocked(ClosedByOverrun)
		return false
	}
	return true
}

// wakeLocked starts the writer if there is none. The server's WaitGroup cannot be at zero
// here: a client that is not closed has a reader.
func (c *Client) wakeLocked() {
	if c.writing {
		return
	}
	c.writing = true
	c.server.wg.Go(c.write)
}

// write writes the queue until it is empty or the connection is closed.
func (c *Client) write() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.out) > 0 && !c.closed {
		if c.stalled {
			c.changed.Wait()
			continue
		}
		c.writeLocked()
	}
	c.writing = false
	c.trimLocked()
	if c.closing != "" {
		c.closeLocked(c.closing)
	}
}

// trimLocked lets go of large buffers that are not in use.
func (c *Client) trimLocked() {
	if len(c.out) == 0 && cap(c.out) > c.keep {
		c.out = nil
	}
	if cap(c.spare) > c.keep {
		c.spare = nil
	}
}

// writeLocked writes what is queued, with c.mu released meanwhile.
func (c *Client) writeLocked() {
	buf, replies := c.out, c.outReplies
	c.out, c.spare, c.outReplies = c.spare[:0], nil, 0
	cut := false
	if c.cutAfter >= 0 {
		var end, n int
		end, n = frameEnd(buf, c.cutAfter)
		c.cutAfter -= n
		cut = c.cutAfter == 0
		buf = buf[:end]
	}
	c.inWrite = len(buf)
	c.mu.Unlock()
	n, err := c.conn.Write(buf)
	c.mu.Lock()
	c.inWrite = 0
	events, frames := countFrames(buf[:n])
	c.events += uint64(events)
	c.frames += uint64(frames)
	c.waiting -= replies
	if !c.closed && cap(buf) > 0 {
		c.spare = buf[:0]
	}
	switch {
	case cut:
		c.closeLocked(ClosedByCut)
	case err != nil:
		c.closeLocked(ClosedByClient)
	}
	c.changed.Broadcast()
}

// countFrames returns how many whole frames b starts with, and how many of them are
// events.
func countFrames(b []byte) (events, frames int) {
	for len(b) >= frameOverhead {
		length := int(binary.BigEndian.Uint32(b))
		if length < frameOverhead || length > len(b) {
			break
		}
		program, kind := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[16:])
		if program == wire.ProgramRemote && kind == uint32(wire.TypeMessage) {
			events++
		}
		frames++
		b = b[length:]
	}
	return events, frames
}

// frameEnd returns where the first limit frames of b end and how many they are. Bytes
// that are no frame belong to the frame before them.
func frameEnd(b []byte, limit int) (end, frames int) {
	for end < len(b) && frames < limit {
		if len(b)-end < wire.LengthSize {
			return len(b), frames
		}
		length := int(binary.BigEndian.Uint32(b[end:]))
		if length < frameOverhead || length > len(b)-end {
			return len(b), frames
		}
		end += length
		frames++
	}
	return end, frames
}

// hasLifecycle is called with server.mu held.
func (c *Client) hasLifecycle() bool {
	for i := range c.registrations {
		if c.registrations[i].eventID == 0 {
			return true
		}
	}
	return false
}

// isClosed is true from the end of the connection on, which the reader may not have
// noticed yet.
func (c *Client) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// waitQueued waits until at most n bytes wait to be written, or the connection is closed.
func (c *Client) waitQueued(ctx context.Context, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed && len(c.out)+c.inWrite > n {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.changed.Wait()
	}
	return nil
}
