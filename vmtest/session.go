// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"github.com/seriesrig/series/vmtest/guest"
	"github.com/seriesrig/series/vmtest/initramfs"
)

const (
	jobFolder     = "/series/job" // in the guest
	defaultOutput = 64 * mib
)

// ErrOutput says that a program printed more than Job.Output.
var ErrOutput = errors.New("flooded its output")

// A session is a guest that was booted for one job.
type session struct {
	*Guest
	job   Job
	ahead *guest.Command // that the guest runs before it says hello; nil: none
	start time.Time
	took  time.Duration // to prepare

	mu    sync.Mutex
	files []string // brought back, on the host
}

// open makes the job's initramfs and boots. The folder of the logs is known even if that fails. With icount, a guest that
// needs no input is given the command along, as it would otherwise hear of it sooner or later, depending on the host.
func open(ctx context.Context, m *Machine, j Job, cmd func(*Job) guest.Command) (*session, error) {
	temp := m.Dir == ""
	s := newSession(j)
	if m.Icount != nil && j.Stdin == nil {
		c := cmd(&s.job)
		c.Ahead, c.CollectLimit = true, guest.DefaultCollectLimit
		if c.Wall == 0 {
			c.Wall = life(*m) // nobody else looks after its tests
		}
		s.ahead = &c
	}
	if err := s.prepare(ctx, m); err != nil {
		return nil, err
	}
	if s.ahead != nil && m.Quiet == 0 {
		m.Quiet = life(*m) + icountQuiet // silence is what was asked for
	}
	defer os.Remove(m.Initrd) // QEMU has read it when it starts the kernel
	g, err := m.Boot(ctx)
	if err != nil {
		return s, err
	}
	g.temp = temp
	s.Guest = g
	return s, nil
}

// life is how long a guest may live, in its own time.
func life(m Machine) time.Duration {
	if m.Limit == 0 {
		return defaultLimit
	}
	return m.Limit
}

func newSession(j Job) *session {
	if j.Output == 0 {
		j.Output = defaultOutput
	}
	if j.Dir == "" {
		j.Dir = "/tmp"
	}
	return &session{job: j, start: time.Now()}
}

// prepare makes the job's initramfs, in the folder of the logs, and points the machine at it.
func (s *session) prepare(ctx context.Context, m *Machine) error {
	j := &s.job
	if j.Binary == "" {
		return errors.New("job: no binary")
	}
	if len(j.Collect) > 0 && j.CollectTo == nil && m.Dir == "" {
		return errors.New("job: nowhere to bring files back to: neither Machine.Dir nor CollectTo")
	}
	if _, _, err := m.withDefaults(); err != nil {
		return err
	}
	if err := m.makeDir(); err != nil {
		return rig("make folder for logs", err)
	}
	image := filepath.Join(m.Dir, "initrd.cpio")
	if err := s.makeImage(ctx, m, image); err != nil {
		os.Remove(image)
		return err
	}
	m.Initrd = image
	s.took = time.Since(s.start)
	return nil
}

// makeImage writes the guest's initramfs: the base image, and what the job brings.
func (s *session) makeImage(ctx context.Context, m *Machine, image string) error {
	base := m.Initrd
	if base == "" {
		c, err := m.cache()
		if err != nil {
			return rig("prepare initramfs", err)
		}
		if base, err = initramfs.Image(ctx, c, string(m.Arch)); err != nil {
			return rig("prepare initramfs", err)
		}
	}
	archive, err := s.job.archive()
	if err != nil {
		return err
	}
	if s.ahead != nil {
		spec, err := json.Marshal(s.ahead)
		if err == nil {
			err = archive.Add(guest.AheadPath, spec, 0o600)
		}
		if err != nil {
			return fmt.Errorf("job: %w", err)
		}
	}
	size, err := initramfs.Concat(image, archive, base)
	if err != nil {
		return rig("prepare initramfs", err)
	}
	if m.Memory == 0 {
		// The archive itself, what is unpacked from it, and room to work.
		m.Memory = max(defaultMemory, (3*size+256*mib+mib-1)/mib*mib)
	}
	return nil
}

func (j *Job) archive() (*initramfs.Archive, error) {
	a := &initramfs.Archive{}
	if err := a.AddFile(j.path(), j.Binary); err != nil {
		return nil, fmt.Errorf("job: %w", err)
	}
	if err := a.AddDir(j.Dir, 0o1777); err != nil {
		return nil, fmt.Errorf("job: %w", err)
	}
	for _, dir := range j.Folders {
		if fi, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("job: %w", err)
		} else if !fi.IsDir() {
			return nil, fmt.Errorf("job: %s: not a directory", dir)
		}
		if err := a.AddTree(dir, dir, nil); err != nil {
			return nil, fmt.Errorf("job: %w", err)
		}
	}
	for _, f := range j.Files {
		if err := f.addTo(a); err != nil {
			return nil, fmt.Errorf("job: %w", err)
		}
	}
	return a, nil
}

func (f File) addTo(a *initramfs.Archive) error {
	data := f.Data
	switch {
	case f.From != "" && f.Mode == 0:
		return a.AddFile(f.Path, f.From)
	case f.From != "":
		var err error
		if data, err = os.ReadFile(f.From); err != nil {
			return err
		}
	case f.Mode == 0:
		f.Mode = 0o644
	}
	return a.Add(f.Path, data, f.Mode)
}

// path is where the program is in the guest.
func (j *Job) path() string { return path.Join(jobFolder, filepath.Base(j.Binary)) }

func (j *Job) command(args ...string) guest.Command {
	return guest.Command{Argv: append(append([]string{j.path()}, args...), j.Args...), Env: j.Env, Dir: j.Dir,
		Wall: j.Wall, Collect: j.Collect}
}

func (j *Job) plainCommand() guest.Command { return j.command() }

// command is what the guest is to run, or has run.
func (s *session) command(of func(*Job) guest.Command) guest.Command {
	if s.ahead != nil {
		return *s.ahead
	}
	return of(&s.job)
}

// times is to be called when the guest has ended.
func (s *session) times() Times {
	t := Times{}
	if s.Guest != nil {
		t = s.Guest.Times()
	}
	t.Prepare, t.Total = s.took, time.Since(s.start)
	return t
}

// file says where a file goes that the guest brings back.
func (s *session) file(f guest.File) (io.WriteCloser, error) {
	to := s.job.CollectTo
	if to == nil {
		to = func(p string) (string, error) {
			host := filepath.Join(s.Dir(), "files", filepath.FromSlash(p))
			return host, os.MkdirAll(filepath.Dir(host), 0o755)
		}
	}
	host, err := to(f.Path)
	if err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(host), "."+filepath.Base(host)+".*")
	if err != nil {
		return nil, err
	}
	return &collected{File: tmp, s: s, to: host, mode: f.Mode & 0o777}, nil
}

// A collected file has its name only when it is complete.
type collected struct {
	*os.File
	s    *session
	to   string
	mode os.FileMode
}

func (c *collected) Close() error {
	err := c.Chmod(c.mode)
	if e := c.File.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(c.Name(), c.to)
	}
	if err != nil {
		os.Remove(c.Name())
		return err
	}
	c.s.mu.Lock()
	c.s.files = append(c.s.files, c.to)
	c.s.mu.Unlock()
	return nil
}

func (c *collected) Abort() {
	c.File.Close()
	os.Remove(c.Name())
}

// A relay writes to a writer that may block for ever, such as a pipe that nobody reads, on behalf of one that must not.
type relay struct {
	ctx  context.Context
	in   chan []byte
	done chan struct{}
	err  error // valid when done is closed
}

func newRelay(ctx context.Context, w io.Writer) *relay {
	r := &relay{ctx: ctx, in: make(chan []byte, 16), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for p := range r.in {
			if _, err := w.Write(p); err != nil {
				r.err = err
				return
			}
		}
	}()
	return r
}

func (r *relay) Write(p []byte) (int, error) {
	select {
	case r.in <- append([]byte(nil), p...):
		return len(p), nil
	case <-r.done:
		return 0, r.err
	case <-r.ctx.Done():
		return 0, context.Cause(r.ctx)
	}
}

// Close waits for what is still to be written, but not for longer than the context lives.
func (r *relay) Close() error {
	close(r.in)
	select {
	case <-r.done:
		return r.err
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}

// A meter fails when more is written through it than it may take.
type meter struct {
	w    io.Writer
	left *int64
}

func (m meter) Write(p []byte) (int, error) {
	if *m.left -= int64(len(p)); *m.left < 0 {
		return 0, ErrOutput
	}
	return m.w.Write(p)
}
