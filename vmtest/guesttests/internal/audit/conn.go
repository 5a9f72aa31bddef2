// SPDX-License-Identifier: Apache-2.0

// Package audit talks to the kernel's audit subsystem as auditd does, for tests that run inside a guest.
//
// The commands (status, limits, rules) are go-libaudit's, over a socket of this package: go-libaudit's own can neither
// be given a large receive buffer nor wait for an answer with a deadline.
package audit

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/elastic/go-libaudit/v2"
	"golang.org/x/sys/unix"
)

// maxRecord is more than the kernel puts into one record (MAX_AUDIT_MESSAGE_LENGTH, 8970 bytes).
const maxRecord = 16 << 10

// replyWait is how long one non-blocking read waits for data. go-libaudit asks ten times for an answer.
const replyWait = 500 * time.Millisecond

// groupReadlog is AUDIT_NLGRP_READLOG, the multicast group that gets a copy of each record.
const groupReadlog = 1

// A Conn is a netlink socket of the audit family. It satisfies libaudit.NetlinkSendReceiver.
type Conn struct {
	fd   int
	port uint32
	seq  atomic.Uint32
	buf  []byte
}

var _ libaudit.NetlinkSendReceiver = (*Conn)(nil)

// Dial opens a socket. One with multicast set gets a copy of every record; the kernel logs the bind of such a socket.
// The receive buffer is at least buffer bytes, or the default where buffer is 0.
func Dial(multicast bool, buffer int) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		return nil, fmt.Errorf("open audit socket: %w", err)
	}
	c := &Conn{fd: fd, buf: make([]byte, maxRecord)}
	if err := c.open(multicast, buffer); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open audit socket: %w", err)
	}
	return c, nil
}

func (c *Conn) open(multicast bool, buffer int) error {
	if buffer > 0 {
		if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer); err != nil {
			return fmt.Errorf("receive buffer of %d bytes: %w", buffer, err)
		}
	}
	addr := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if multicast {
		addr.Groups = groupReadlog
	}
	if err := unix.Bind(c.fd, addr); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	self, err := unix.Getsockname(c.fd)
	if err != nil {
		return err
	}
	c.port = self.(*unix.SockaddrNetlink).Pid
	return nil
}

// Send sends a message to the kernel. The kernel handles it before Send returns, and a sender that finds the backlog
// over its limit sleeps in here.
func (c *Conn) Send(msg syscall.NetlinkMessage) (uint32, error) { return c.send(msg, 0) }

// SendNoWait is Send with MSG_DONTWAIT.
func (c *Conn) SendNoWait(msg syscall.NetlinkMessage) (uint32, error) {
	return c.send(msg, unix.MSG_DONTWAIT)
}

func (c *Conn) send(msg syscall.NetlinkMessage, flags int) (uint32, error) {
	msg.Header.Pid = c.port
	msg.Header.Seq = c.seq.Add(1)
	msg.Header.Len = uint32(unix.SizeofNlMsghdr + len(msg.Data))
	b := append(headerBytes(msg.Header), msg.Data...)
	for {
		err := unix.Sendto(c.fd, b, flags, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if err != unix.EINTR {
			return msg.Header.Seq, err
		}
	}
}

// Receive reads one message; the slice that parse gets is good until the next Receive. A non-blocking Receive waits
// for half a second before it gives up with EAGAIN.
func (c *Conn) Receive(nonBlocking bool, parse libaudit.NetlinkParser) ([]syscall.NetlinkMessage, error) {
	wait := time.Duration(-1)
	if nonBlocking {
		wait = replyWait
	}
	b, err := c.read(wait)
	if err != nil {
		return nil, err
	}
	return parse(b)
}

// read returns the next datagram, or EAGAIN when there is none within wait; a negative wait has no end.
func (c *Conn) read(wait time.Duration) ([]byte, error) {
	for deadline := time.Now().Add(wait); ; {
		ms := -1
		if wait >= 0 {
			ms = int(max(0, time.Until(deadline)+time.Millisecond-1) / time.Millisecond)
		}
		fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
		switch n, err := unix.Poll(fds, ms); {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		case n == 0:
			return nil, unix.EAGAIN
		}
		n, _, flags, from, err := unix.Recvmsg(c.fd, c.buf, nil, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR, err == unix.EAGAIN:
			continue
		case err != nil:
			return nil, err
		case flags&unix.MSG_TRUNC != 0:
			return nil, fmt.Errorf("audit message of more than %d bytes", len(c.buf))
		case n < unix.SizeofNlMsghdr:
			return nil, fmt.Errorf("audit message of %d bytes", n)
		}
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			return nil, errors.New("audit message that is not from the kernel")
		}
		return c.buf[:n], nil
	}
}

// Close closes the socket. The kernel notices that auditd is gone when it next has a record for it.
func (c *Conn) Close() error { return unix.Close(c.fd) }
