// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seriesrig/series/vmtest/guest"
)

// A port is the descriptor that leads to the host. It is blocking and close-on-exec and not known to Go's poller: a
// virtio port that the poller waits for, and that a child has as well, can lose a wakeup.
type port struct {
	fd int
	// returned gets a signal when the host may have come back after it had gone, as with a snapshot; nil where it cannot.
	// A read from a virtio port whose host is away returns 0 at once, and poll does not wait either.
	returned chan os.Signal
}

// awayPoll is for a signal that was lost. Time alone would not do: QEMU before 8.1 restores a ppc64 guest without its
// decrementer, so that whatever the guest slept for has no end until an interrupt has woken the processor.
const awayPoll = 20 * time.Millisecond

// awaitHost asks for a signal when the host comes or goes.
func (p *port) awaitHost() error {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGIO)
	if _, err := fcntl(p.fd, syscall.F_SETOWN, os.Getpid()); err != nil {
		return fmt.Errorf("own port: %w", err)
	}
	flags, err := fcntl(p.fd, syscall.F_GETFL, 0)
	if err == nil {
		_, err = fcntl(p.fd, syscall.F_SETFL, flags|syscall.O_ASYNC)
	}
	if err != nil {
		return fmt.Errorf("ask port for signals: %w", err)
	}
	p.returned = c
	return nil
}

func fcntl(fd, cmd, arg int) (int, error) {
	r, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), uintptr(cmd), uintptr(arg))
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

func (p *port) Read(b []byte) (int, error) {
	for {
		n, err := syscall.Read(p.fd, b)
		switch {
		case errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.EAGAIN):
			continue
		case err != nil:
			return 0, fmt.Errorf("read port: %w", err)
		case n == 0 && p.returned != nil:
			select {
			case <-p.returned:
			case <-time.After(awayPoll):
			}
			continue
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

func (p *port) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n, err := syscall.Write(p.fd, b[done:]) // the driver takes 32 KiB at a time
		if errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.EAGAIN) {
			continue
		}
		if err != nil {
			return done, fmt.Errorf("write port: %w", err)
		}
		done += n
	}
	return done, nil
}

const portsDir = "/sys/class/virtio-ports"

// openPort opens the virtio port with our name. The driver learns the names of its ports from the device, and that may
// be after init has started.
func openPort(limit time.Duration) (*port, error) {
	deadline := time.Now().Add(limit)
	for wait := 500 * time.Microsecond; ; wait = min(2*wait, 20*time.Millisecond) {
		dev, err := findPort()
		if dev != "" {
			return openDevice(dev)
		}
		if time.Now().After(deadline) {
			if err == nil {
				err = errors.New("none has this name")
			}
			return nil, fmt.Errorf("find virtio port %s: %w", guest.PortName, err)
		}
		time.Sleep(wait)
	}
}

func findPort() (dev string, err error) {
	ports, err := os.ReadDir(portsDir)
	if err != nil {
		return "", err
	}
	for _, p := range ports {
		name, err := os.ReadFile(portsDir + "/" + p.Name() + "/name")
		if err == nil && strings.TrimSpace(string(name)) == guest.PortName {
			return p.Name(), nil
		}
	}
	return "", nil
}

// openDevice opens /dev/NAME, and where there is no such node, because there is no devtmpfs, one of our own.
func openDevice(name string) (*port, error) {
	path := "/dev/" + name
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if errors.Is(err, syscall.ENOENT) {
		var dev int
		if dev, err = deviceNumber(portsDir + "/" + name + "/dev"); err == nil {
			path = "/series." + name
			if err = syscall.Mknod(path, syscall.S_IFCHR|0o600, dev); err == nil || errors.Is(err, syscall.EEXIST) {
				fd, err = syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	p := &port{fd: fd}
	return p, p.awaitHost()
}

func deviceNumber(path string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	major, minor, ok := strings.Cut(strings.TrimSpace(string(b)), ":")
	a, err1 := strconv.Atoi(major)
	c, err2 := strconv.Atoi(minor)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("%s: %q is not a device number", path, b)
	}
	return (c & 0xff) | (a&0xfff)<<8 | (c&^0xff)<<12, nil // makedev(3)
}
