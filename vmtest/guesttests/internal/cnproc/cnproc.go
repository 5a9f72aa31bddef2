// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package cnproc listens to the kernel's process events connector (include/uapi/linux/cn_proc.h).
package cnproc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// A Kind is what happened to a task.
type Kind uint32

// The kinds that tests name, of enum proc_cn_event.
const (
	Fork Kind = 0x1
	Exec Kind = 0x2
	UID  Kind = 0x4
	GID  Kind = 0x40
	Exit Kind = 0x80000000
)

func (k Kind) String() string {
	names := map[Kind]string{0: "ACK", Fork: "FORK", Exec: "EXEC", UID: "UID", GID: "GID", 0x80: "SID", 0x100: "PTRACE",
		0x200: "COMM", 0x40000000: "COREDUMP", Exit: "EXIT"}
	if n, ok := names[k]; ok {
		return n
	}
	return fmt.Sprintf("kind %#x", uint32(k))
}

// An Event is one of a task.
type Event struct {
	Kind     Kind
	PID      int    // of the task: with FORK the child
	TGID     int    // of its process
	Parent   int    // with FORK, of the process that forked
	Real     uint32 // with UID and GID
	Eff      uint32 // with UID and GID
	ExitCode uint32 // with EXIT, as for wait(2)
}

const (
	idxProc    = 1  // CN_IDX_PROC, the group too
	listen     = 1  // PROC_CN_MCAST_LISTEN
	ignore     = 2  // PROC_CN_MCAST_IGNORE
	headerSize = 20 // struct cn_msg
	dataOff    = 16 // of the event's data in struct proc_event
	buffer     = 16 << 20
)

// A Conn is a listener. It is for one goroutine at a time.
type Conn struct {
	fd  int
	buf [4096]byte
}

// Listen starts to listen. The kernel makes no events while nobody listens.
func Listen() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, fmt.Errorf("open connector: %w", err)
	}
	c := &Conn{fd: fd}
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer); err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: idxProc})
	}
	if err == nil {
		err = c.send(listen)
	}
	if err == nil {
		var e Event
		if e, err = c.Next(5 * time.Second); err == nil && e.Kind != 0 {
			err = fmt.Errorf("the first message is %v, want an acknowledgement", e.Kind)
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen to process events: %w", err)
	}
	return c, nil
}

func (c *Conn) send(op uint32) error {
	order := binary.NativeEndian
	b := make([]byte, unix.SizeofNlMsghdr+headerSize+4)
	order.PutUint32(b, uint32(len(b)))
	order.PutUint16(b[4:], unix.NLMSG_DONE)
	m := b[unix.SizeofNlMsghdr:]
	order.PutUint32(m, idxProc)
	order.PutUint32(m[4:], 1) // CN_VAL_PROC
	order.PutUint16(m[16:], 4)
	order.PutUint32(m[headerSize:], op)
	return unix.Sendto(c.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// Close ends the listening.
func (c *Conn) Close() error { return errors.Join(c.send(ignore), unix.Close(c.fd)) }

// Next returns the next event, or EAGAIN where there is none within the time. Events that were lost are ENOBUFS.
func (c *Conn) Next(wait time.Duration) (Event, error) {
	for deadline := time.Now().Add(wait); ; {
		ms := int(max(0, time.Until(deadline)+time.Millisecond-1) / time.Millisecond)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}, ms)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return Event{}, err
		case n == 0:
			return Event{}, unix.EAGAIN
		}
		n, from, err := unix.Recvfrom(c.fd, c.buf[:], unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR, err == unix.EAGAIN:
			continue
		case err != nil:
			return Event{}, err
		}
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue // anybody may send to a group
		}
		return parse(c.buf[:n])
	}
}

func parse(b []byte) (Event, error) {
	if len(b) < unix.SizeofNlMsghdr+headerSize+dataOff+24 {
		return Event{}, fmt.Errorf("process event of %d bytes", len(b))
	}
	b = b[unix.SizeofNlMsghdr+headerSize:]
	word := func(i int) uint32 { return binary.NativeEndian.Uint32(b[dataOff+4*i:]) }
	e := Event{Kind: Kind(binary.NativeEndian.Uint32(b)), PID: int(word(0)), TGID: int(word(1))}
	switch e.Kind {
	case Fork:
		e.Parent, e.PID, e.TGID = e.TGID, int(word(2)), int(word(3))
	case UID, GID:
		e.Real, e.Eff = word(2), word(3)
	case Exit:
		e.ExitCode = word(2)
	}
	return e, nil
}
