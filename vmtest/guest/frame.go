// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A Type says what a frame is. The values are part of the protocol.
type Type uint8

// What the guest says. The payload is JSON but for stdout, stderr and filedata, which are the bytes themselves.
const (
	TypeHello     Type = 1 + iota // Hello; restarts the sequence
	TypeStart                     // Start
	TypeStdout                    // bytes
	TypeStderr                    // bytes
	TypeTest                      // Test
	TypeBench                     // Bench
	TypeHeartbeat                 // Heartbeat
	TypeFile                      // File; its data follow
	TypeFileData                  // bytes; none means the end of the file
	TypeExit                      // Exit
	TypeCredit                    // Credit: room for that much more standard input
	TypeAck                       // Ack: the answer to put and interval
	TypeError                     // Failure: the agent gives up
	TypeDone                      // Done
)

// What the host says.
const (
	TypeResume   Type = 65 + iota // nothing; asks for a new hello, and restarts the sequence
	TypeRun                       // Command
	TypeSignal                    // SignalRequest
	TypeStdin                     // bytes; none means the end
	TypePut                       // bytes of a cpio archive; none means the end
	TypeInterval                  // IntervalRequest
	TypeWindow                    // Terminal: its new size
	TypePoweroff                  // nothing
	TypeReboot                    // nothing
)

var typeNames = map[Type]string{
	TypeHello: "hello", TypeStart: "start", TypeStdout: "stdout", TypeStderr: "stderr", TypeTest: "test",
	TypeBench: "bench", TypeHeartbeat: "heartbeat", TypeFile: "file", TypeFileData: "filedata", TypeExit: "exit",
	TypeCredit: "credit", TypeAck: "ack", TypeError: "error", TypeDone: "done",
	TypeResume: "resume", TypeRun: "run", TypeSignal: "signal", TypeStdin: "stdin", TypePut: "put",
	TypeInterval: "interval", TypeWindow: "window", TypePoweroff: "poweroff", TypeReboot: "reboot",
}

func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// fromGuest and fromHost tell who may say what.
func (t Type) fromGuest() bool { return t >= TypeHello && t <= TypeDone }
func (t Type) fromHost() bool  { return t >= TypeResume && t <= TypeReboot }

// restarts tells that the frame is the first of a new sequence.
func (t Type) restarts() bool { return t == TypeHello || t == TypeResume }

// Sizes on the wire, in bytes.
const (
	// MaxPayload is the largest payload; a header that announces more is an error before anything is read.
	MaxPayload = 1 << 20
	headerSize = 20
	magic      = 0x53524731 // "SRG1"
)

// A Frame is one message. On the wire it is a header of 20 bytes, big endian, and the payload:
//
//	0   magic "SRG1"
//	4   type
//	5   three zero bytes
//	8   sequence number: the first frame of a direction, and each hello and resume, has 0
//	12  size of the payload
//	16  CRC-32C of bytes 0 to 15 and of the payload
type Frame struct {
	Type    Type
	Seq     uint32
	Payload []byte
}

// What the small requests and answers carry.
type (
	SignalRequest struct {
		ID     uint32 `json:"id"` // Command.ID: a signal that comes late must not hit the next command
		Signal int    `json:"signal"`
	}
	IntervalRequest struct {
		Interval int64 `json:"interval"` // ns, or NoHeartbeat
	}
	Credit struct {
		Bytes int `json:"bytes"`
	}
	Ack struct {
		Of    Type   `json:"of"`
		Error string `json:"error,omitempty"`
	}
)

// StdinWindow is how much standard input the host may send before the guest grants more, in bytes. It bounds what the
// agent holds for a program that does not read, so that a signal always gets through behind it.
const StdinWindow = 64 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendFrame appends the frame's bytes to b.
func AppendFrame(b []byte, f Frame) ([]byte, error) {
	if len(f.Payload) > MaxPayload {
		return b, fmt.Errorf("%w: %v of %d bytes, at most %d", ErrOversize, f.Type, len(f.Payload), MaxPayload)
	}
	var h [headerSize]byte
	binary.BigEndian.PutUint32(h[0:], magic)
	h[4] = byte(f.Type)
	binary.BigEndian.PutUint32(h[8:], f.Seq)
	binary.BigEndian.PutUint32(h[12:], uint32(len(f.Payload)))
	binary.BigEndian.PutUint32(h[16:], checksum(h[:16], f.Payload))
	b = append(b, h[:]...)
	return append(b, f.Payload...), nil
}

func checksum(header, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(header, castagnoli), castagnoli, payload)
}

// An Encoder numbers frames and writes each with one Write. It is not safe for concurrent use.
type Encoder struct {
	w    io.Writer
	next uint32
	buf  []byte
}

// NewEncoder returns an Encoder that writes to w.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: w} }

// Encode writes one frame.
func (e *Encoder) Encode(t Type, payload []byte) error {
	if t.restarts() {
		e.next = 0
	}
	b, err := AppendFrame(e.buf[:0], Frame{Type: t, Seq: e.next, Payload: payload})
	if err != nil {
		return err
	}
	e.buf = b
	e.next++
	_, err = e.w.Write(b)
	return err
}

// A Decoder reads and checks frames. It is not safe for concurrent use.
type Decoder struct {
	r      io.Reader
	from   func(Type) bool
	next   uint32
	frames uint64
	resync bool
	header [headerSize]byte
	buf    []byte
}

// NewGuestDecoder returns a Decoder of what a guest says, and NewHostDecoder one of what a host says. Give them a
// buffered reader.
func NewGuestDecoder(r io.Reader) *Decoder { return &Decoder{r: r, from: Type.fromGuest} }

// NewHostDecoder is the guest's side of NewGuestDecoder.
func NewHostDecoder(r io.Reader) *Decoder { return &Decoder{r: r, from: Type.fromHost} }

// Resync has the decoder take any sequence number until the next frame that restarts the sequence.
func (d *Decoder) Resync() { d.resync = true }

// Decode reads one frame. Its payload is valid until the next call. At the end of the stream the error is io.EOF; a
// frame that breaks the rules gives a *ProtocolError, and a reader's own error is returned as it is.
func (d *Decoder) Decode() (Frame, error) {
	if _, err := io.ReadFull(d.r, d.header[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return Frame{}, d.fail(ErrTruncated)
		}
		return Frame{}, err
	}
	h := d.header[:]
	if got := binary.BigEndian.Uint32(h); got != magic {
		return Frame{}, d.fail(fmt.Errorf("%w %q", ErrMagic, h[:4]))
	}
	f := Frame{Type: Type(h[4]), Seq: binary.BigEndian.Uint32(h[8:])}
	size := binary.BigEndian.Uint32(h[12:])
	if size > MaxPayload {
		return Frame{}, d.fail(fmt.Errorf("%w: %d bytes, at most %d", ErrOversize, size, MaxPayload))
	}
	if cap(d.buf) < int(size) {
		d.buf = make([]byte, size)
	}
	f.Payload = d.buf[:size]
	if _, err := io.ReadFull(d.r, f.Payload); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return Frame{}, d.fail(ErrTruncated)
		}
		return Frame{}, err
	}
	if checksum(h[:16], f.Payload) != binary.BigEndian.Uint32(h[16:]) {
		return Frame{}, d.fail(ErrChecksum)
	}
	if !d.from(f.Type) || h[5]|h[6]|h[7] != 0 {
		return Frame{}, d.fail(fmt.Errorf("%w: %v", ErrType, f.Type))
	}
	if f.Type.restarts() {
		d.next, d.resync = 0, false
	}
	if f.Seq != d.next && !d.resync {
		return Frame{}, d.fail(fmt.Errorf("%w: %v has number %d, want %d", ErrSequence, f.Type, f.Seq, d.next))
	}
	d.next++
	d.frames++
	return f, nil
}

func (d *Decoder) fail(reason error) error { return &ProtocolError{Frame: d.frames, Reason: reason} }
