package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Programs and their versions.
const (
	ProgramRemote    uint32 = 0x20008086
	ProgramQEMU      uint32 = 0x20008087
	ProgramKeepalive uint32 = 0x6b656570

	ProgramVersion uint32 = 1
)

// MessageType is virNetMessageType.
type MessageType int32

// The message types. Events and keepalive are [TypeMessage]; their serial says nothing
// (libvirtd sends events with serial 1), so frames are routed by type first.
const (
	TypeCall         MessageType = 0
	TypeReply        MessageType = 1
	TypeMessage      MessageType = 2
	TypeStream       MessageType = 3
	TypeCallWithFDs  MessageType = 4
	TypeReplyWithFDs MessageType = 5
	TypeStreamHole   MessageType = 6
)

// Status is virNetMessageStatus.
type Status int32

// The statuses of a reply.
const (
	StatusOK       Status = 0
	StatusError    Status = 1
	StatusContinue Status = 2
)

// Frame sizes in bytes.
const (
	// LengthSize is the length word, which counts itself.
	LengthSize = 4
	// HeaderSize is the header without the length word.
	HeaderSize = 24
	// MaxFrame is the largest length word that libvirtd accepts: VIR_NET_MESSAGE_MAX (32
	// MiB) and the word itself (measured: one more closes the connection).
	MaxFrame = 32<<20 + LengthSize
	// minFrame is the smallest: a header and no payload.
	minFrame = LengthSize + HeaderSize
)

// Header is virNetMessageHeader.
type Header struct {
	Program   uint32
	Version   uint32
	Procedure int32
	Type      MessageType
	Serial    uint32
	Status    Status
}

// AppendFrame appends a whole frame, length word and header included, to dst. payload
// must be XDR, so a multiple of 4 bytes, and fit [MaxFrame].
func AppendFrame(dst []byte, h Header, payload []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(minFrame+len(payload)))
	dst = binary.BigEndian.AppendUint32(dst, h.Program)
	dst = binary.BigEndian.AppendUint32(dst, h.Version)
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.Procedure))
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.Type))
	dst = binary.BigEndian.AppendUint32(dst, h.Serial)
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.Status))
	return append(dst, payload...)
}

func parseHeader(b []byte) Header {
	return Header{
		Program:   binary.BigEndian.Uint32(b[0:]),
		Version:   binary.BigEndian.Uint32(b[4:]),
		Procedure: int32(binary.BigEndian.Uint32(b[8:])),
		Type:      MessageType(binary.BigEndian.Uint32(b[12:])),
		Serial:    binary.BigEndian.Uint32(b[16:]),
		Status:    Status(binary.BigEndian.Uint32(b[20:])),
	}
}

// ErrFrameLength is returned when a length word is below a bare header or above
// [MaxFrame]: the stream is not libvirt's, or out of step. The connection cannot go on.
var ErrFrameLength = errors.New("frame length out of range")

const (
	initialBuffer = 4 << 10
	// keepBuffer is the most that is kept after a large frame, so that an idle connection
	// stays small.
	keepBuffer = 8 << 10
	// largeBuffer is the most that is kept while smaller frames follow without a pause.
	largeBuffer = 256 << 10
)

// Reader splits a byte stream into frames. It reads as much as the stream has ready, so
// that a burst of small frames costs one read. Not safe for concurrent use.
type Reader struct {
	src        io.Reader
	buf        []byte
	start, end int
}

// NewReader returns a Reader of src. Nothing is read or allocated before the first Next.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

// Next blocks until a frame is there and returns it. The payload is valid until the next
// call. The error is io.EOF at the end between frames, io.ErrUnexpectedEOF inside one,
// [ErrFrameLength], or the stream's own. Where the bytes show what the peer speaks
// instead of libvirt's protocol, a [*ForeignError] wraps ErrFrameLength.
//
// Whatever pieces it comes in, a frame costs at most 3 times its size in allocations. A
// length word alone costs nothing: where fewer bytes come, it is at most 4 times those,
// and 4 KiB.
func (r *Reader) Next() (Header, []byte, error) {
	if err := r.fill(LengthSize); err != nil {
		return Header{}, nil, err
	}
	length := int64(binary.BigEndian.Uint32(r.buf[r.start:]))
	if length < minFrame || length > MaxFrame {
		if foreign := recognise(r.buf[r.start:r.end]); foreign != nil {
			return Header{}, nil, foreign
		}
		return Header{}, nil, fmt.Errorf("%w: %d bytes, want %d to %d", ErrFrameLength, length, minFrame, MaxFrame)
	}
	if err := r.fill(int(length)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Header{}, nil, err
	}
	frame := r.buf[r.start : r.start+int(length)]
	r.start += int(length)
	return parseHeader(frame[LengthSize:]), frame[minFrame:], nil
}

// Ready reports whether Next has a whole frame without reading (or a length that it will
// refuse).
func (r *Reader) Ready() bool {
	have := int64(r.end - r.start)
	if have < LengthSize {
		return false
	}
	length := int64(binary.BigEndian.Uint32(r.buf[r.start:]))
	return length > MaxFrame || have >= length
}

// fill makes at least n bytes available at r.start.
func (r *Reader) fill(n int) error {
	for r.end-r.start < n {
		r.makeRoom(n)
		read, err := r.src.Read(r.buf[r.end:])
		r.end += read
		if err != nil && r.end-r.start < n {
			if errors.Is(err, io.EOF) && r.end > r.start {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// makeRoom leaves free space behind r.end, by moving what is unread to the front and by
// growing towards n bytes. The buffer doubles when it is full, so it is never larger than
// twice what was read, and all buffers together are less than three times the frame.
func (r *Reader) makeRoom(n int) {
	unread := r.end - r.start
	size := len(r.buf)
	switch {
	case unread == size:
		size = max(initialBuffer, min(2*size, n))
	case unread == 0 && size > keepBuffer && n <= keepBuffer:
		size = initialBuffer
	case unread <= keepBuffer && size > largeBuffer && n <= largeBuffer:
		size = max(initialBuffer, 2*unread)
	}
	if size != len(r.buf) {
		resized := make([]byte, size)
		copy(resized, r.buf[r.start:r.end])
		r.buf, r.start, r.end = resized, 0, unread
		return
	}
	if r.start > 0 && (unread == 0 || r.end == size) {
		copy(r.buf, r.buf[r.start:r.end])
		r.start, r.end = 0, unread
	}
}
