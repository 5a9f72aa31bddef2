// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/vmtest/guest"
)

// A Snapshot is a guest that has said hello and does nothing, on disk. Any number of guests may go on from it, each as if
// it alone had booted: with the same memory, the same time since boot, and the same random numbers to come.
type Snapshot struct {
	m   Machine // that was booted; its Initrd is the snapshot's own
	dir string
}

const (
	stateFile  = "state"       // QEMU's migration stream, of all but the memory
	memoryFile = "memory"      // of the guest, as it was: whoever goes on from it has a copy of what it writes to
	initrdFile = "initrd.cpio" // QEMU maps it again when it starts, and wants it to be of the size that it was
)

// restoreQuiet is how long a restored guest may be silent before that is its end. It has nothing to do but answer.
const restoreQuiet = 5 * time.Second

// saves is how often a guest is saved until a snapshot has been seen to come back.
const saves = 3

// settleTime is for what the guest has under way when it has said its last: QEMU does not restore an interrupt that has
// been raised and not taken yet, at least on pseries.
const settleTime = 50 * time.Millisecond

// ErrNoSnapshot says that a machine is one that has to be booted.
var ErrNoSnapshot = errors.New("no snapshot of such a machine")

// snapshot returns the machine's snapshot: one that was taken before, of the same kernel, initramfs, QEMU and command
// line, byte for byte, or else one that is taken now. boot tells of the guest that was booted for it, and is nil where
// none was. A guest that did not come up, or whose kernel complained on the way, is an *EndError with the verdict.
//
// first is called with the first guest that is restored from a new snapshot, to see whether it comes back; it may put
// files into the snapshot's folder. It may be nil.
func (m Machine) snapshot(ctx context.Context, first useFunc) (s *Snapshot, boot *Guest, err error) {
	measured := m.TSC == 0
	m, a, err := m.resolve()
	switch {
	case err != nil:
		return nil, nil, err
	case m.Icount != nil:
		return nil, nil, fmt.Errorf("%w: with icount every boot counts", ErrNoSnapshot)
	case m.Accel != TCG:
		return nil, nil, fmt.Errorf("%w: only TCG's were tried", ErrNoSnapshot)
	case len(a.firmware) > 0 && m.Firmware != a.firmware[0].name:
		return nil, nil, fmt.Errorf("%w: only the firmware %s was tried", ErrNoSnapshot, a.firmware[0].name)
	}
	c, err := m.cache()
	if err != nil {
		return nil, nil, rig("keep snapshot", err)
	}
	if measured && m.TSC > 0 {
		if m.TSC, err = sameRate(ctx, c, m.TSC); err != nil {
			return nil, nil, rig("identify snapshot", err)
		}
	}
	key, err := m.snapshotKey(ctx)
	if err != nil {
		return nil, nil, rig("identify snapshot", err)
	}
	dir, _, err := c.Fill(ctx, "snapshot", key, func(ctx context.Context, dir string) error {
		for try := 1; ; try++ {
			if boot, err = m.save(ctx, dir); err != nil {
				return err
			}
			err = m.try(ctx, dir, first)
			if err == nil || ctx.Err() != nil {
				return err
			}
			m.Log.Debug("a snapshot did not come back", "try", try, "error", err)
			if try == saves {
				return fmt.Errorf("%w: it was saved %d times and came back from none: %w", ErrNoSnapshot, saves, err)
			}
		}
	})
	if err != nil {
		return nil, boot, err
	}
	m.Initrd = filepath.Join(dir, initrdFile)
	return &Snapshot{m: m, dir: dir}, boot, nil
}

// sameRate returns the rate that the first snapshot since the host's boot was taken with, where it is the same to within a
// MHz. No two measurements agree to the kHz, and each would have a snapshot of its own.
func sameRate(ctx context.Context, c *cache.Cache, khz int64) (int64, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return 0, err
	}
	key := cache.KeyOf("tsc 1", string(boot), strconv.FormatInt((khz+500)/1000, 10))
	dir, _, err := c.Fill(ctx, "tsc", key, func(ctx context.Context, dir string) error {
		return os.WriteFile(filepath.Join(dir, "khz"), []byte(strconv.FormatInt(khz, 10)), 0o644)
	})
	if err != nil {
		return 0, err
	}
	b, err := os.ReadFile(filepath.Join(dir, "khz"))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(b), 10, 64)
}

// snapshotKey names all that a snapshot is bound to, by content.
func (m Machine) snapshotKey(ctx context.Context) (string, error) {
	args, err := m.Args()
	if err != nil {
		return "", err
	}
	_, version, err := QEMU(ctx, m.Arch)
	if err != nil {
		return "", err
	}
	parts := []string{"snapshot 3", m.QEMU, version}
	for _, file := range []string{m.Kernel, m.Initrd} {
		sum, err := cache.HashFile(file)
		if err != nil {
			return "", err
		}
		parts = append(parts, sum)
	}
	for _, a := range args {
		if a != m.Kernel && a != m.Initrd {
			parts = append(parts, a)
		}
	}
	return cache.KeyOf(parts...), nil
}

// save boots the machine and leaves its state in dir.
func (m Machine) save(ctx context.Context, dir string) (*Guest, error) {
	initrd := filepath.Join(dir, initrdFile)
	if err := copyFile(m.Initrd, initrd); err != nil {
		return nil, rig("save guest", err)
	}
	m.Initrd = initrd
	m.memory = &memory{path: filepath.Join(dir, memoryFile), shared: true}
	if err := m.memory.create(m.Memory); err != nil {
		return nil, rig("save guest", err)
	}
	firmware := m.Firmware
	m.Firmware = "" // if the first does not do, Boot tries others, and there is no snapshot
	g, err := m.Boot(ctx)
	if err != nil {
		return nil, err
	}
	if g.m.Firmware != firmware {
		return nil, errors.Join(fmt.Errorf("%w: it took the firmware %s", ErrNoSnapshot, g.m.Firmware), g.Close())
	}
	defer g.Close()
	if err := g.saveTo(ctx, filepath.Join(dir, stateFile)); err != nil {
		return g, rig("save guest", err)
	}
	// It has done what it was booted for: whatever is to be said against it now was on its console.
	g.halt(ending{kind: Pass})
	if v := g.Wait(); v.Kind != Pass {
		return g, &EndError{Verdict: v}
	}
	return g, nil
}

// A useFunc does something with a guest that was restored; dir is the snapshot's.
type useFunc func(ctx context.Context, g *Guest, dir string) error

// try restores the snapshot once: one that was not seen to come back is not kept.
func (m Machine) try(ctx context.Context, dir string, first useFunc) error {
	m.Initrd = filepath.Join(dir, initrdFile)
	g, err := (&Snapshot{m: m, dir: dir}).restore(ctx, filepath.Join(m.Dir, "first"))
	if err != nil {
		return err
	}
	defer g.Close()
	if first == nil {
		return nil
	}
	return first(ctx, g, dir)
}

// saveTo writes the guest's state. Its heart is silenced first, so that nothing is under way.
func (g *Guest) saveTo(ctx context.Context, path string) error {
	if err := g.conn.SetHeartbeat(ctx, guest.NoHeartbeat); err != nil {
		return err
	}
	g.muted.Add(1)
	defer g.muted.Add(-1)
	select {
	case <-time.After(settleTime):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := g.leaveMemory(ctx); err != nil {
		return err
	}
	// The default is meant for networks that others want to use as well.
	if err := g.mon.Execute(ctx, "migrate-set-parameters", map[string]any{"max-bandwidth": int64(8 << 30)}, nil); err != nil {
		return err
	}
	if err := g.mon.Execute(ctx, "stop", nil, nil); err != nil {
		return err
	}
	if err := g.mon.Execute(ctx, "migrate", map[string]any{"uri": "exec:cat >" + shellQuote([]string{path})}, nil); err != nil {
		return err
	}
	for {
		var st struct {
			Status string `json:"status"`
			Error  string `json:"error-desc"`
		}
		if err := g.mon.Execute(ctx, "query-migrate", nil, &st); err != nil {
			return err
		}
		switch st.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("migrate: %s: %s", st.Status, st.Error)
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-g.ended:
			return errors.New("the guest ended while it was saved")
		}
	}
}

// A memory is a file that a guest's memory is in: the file itself while it is shared, else the guest's own copy of each page
// that it writes to. To go on from it takes no longer than to map it.
type memory struct {
	path   string
	shared bool
}

func (f *memory) create(size int64) error {
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := os.Create(f.path)
	if err != nil {
		return err
	}
	return errors.Join(out.Truncate(size), out.Close())
}

// args are QEMU's for a machine with so many bytes of it.
func (f *memory) args(size int64) []string {
	share := map[bool]string{false: "off", true: "on"}[f.shared]
	path := strings.ReplaceAll(f.path, ",", ",,")
	return []string{"-object", fmt.Sprintf("memory-backend-file,id=memory,size=%d,share=%s,mem-path=%s", size, share, path),
		"-machine", "memory-backend=memory"}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// restore starts a guest that goes on from the snapshot, with its logs in dir. It is as Boot's.
func (s *Snapshot) restore(ctx context.Context, dir string) (*Guest, error) {
	g, err := s.load(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := g.goOn(ctx); err != nil {
		return nil, err
	}
	return g, nil
}

// load starts a guest in the snapshot's state, with its logs in dir. It stands still until goOn.
func (s *Snapshot) load(ctx context.Context, dir string) (*Guest, error) {
	m := s.m
	m.Dir, m.memory = dir, &memory{path: filepath.Join(s.dir, memoryFile)}
	if err := m.makeDir(); err != nil {
		return nil, rig("make folder for logs", err)
	}
	state, err := os.Open(filepath.Join(s.dir, stateFile))
	if err != nil {
		return nil, rig("restore guest", err)
	}
	g, err := m.launch(ctx, state)
	if err != nil {
		state.Close()
		return nil, rig("restore guest", err)
	}
	if err := g.notRestored(g.awaitLoaded(ctx)); err != nil {
		return nil, err
	}
	return g, nil
}

// notRestored ends a guest that did not come back; nil stays nil.
func (g *Guest) notRestored(err error) error {
	if err == nil {
		return nil
	}
	g.halt(ending{kind: Rig, reason: strings.TrimPrefix(err.Error(), "guest: "), err: err})
	return &EndError{Verdict: g.Wait(), Err: err}
}

// restoreLimit limits a step of a restore.
func restoreLimit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, wallFactor*restoreQuiet, fmt.Errorf("no answer in %v", wallFactor*restoreQuiet))
}

// leaveMemory has QEMU leave a memory that is shared out of the state, and not look for it there.
func (g *Guest) leaveMemory(ctx context.Context) error {
	type capability struct {
		Name  string `json:"capability"`
		State bool   `json:"state"`
	}
	return g.mon.Execute(ctx, "migrate-set-capabilities", map[string]any{"capabilities": []capability{{"x-ignore-shared", true}}}, nil)
}

// awaitLoaded returns when QEMU has read the state.
func (g *Guest) awaitLoaded(ctx context.Context) error {
	ctx, cancel := restoreLimit(ctx)
	defer cancel()
	select {
	case <-g.ready:
	case <-g.ended:
		return g.orEnd(errors.New("ended"))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := g.leaveMemory(ctx); err != nil {
		return err
	}
	if err := g.mon.Execute(ctx, "migrate-incoming", map[string]any{"uri": fmt.Sprintf("fd:%d", stateFD)}, nil); err != nil {
		return err
	}
	// QEMU takes commands while it still reads the state.
	for {
		var st struct {
			Status string `json:"status"`
		}
		if err := g.mon.Execute(ctx, "query-status", nil, &st); err != nil {
			return err
		}
		if st.Status != "inmigrate" {
			return nil
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// goOn has a restored guest run, and returns when it has said hello again. A guest that does not has ended.
func (g *Guest) goOn(ctx context.Context) error {
	limited, cancel := restoreLimit(ctx)
	defer cancel()
	g.mu.Lock()
	g.goesOn = time.Now()
	g.mu.Unlock()
	err := g.mon.Execute(limited, "cont", nil, nil)
	if err == nil {
		err = g.awaitHello(limited)
	}
	if err == nil {
		err = g.conn.SetHeartbeat(limited, guest.DefaultHeartbeat)
	}
	return g.notRestored(err)
}
