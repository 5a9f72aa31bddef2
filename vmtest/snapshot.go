// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	stateFile  = "state"       // QEMU's migration stream
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
	parts := []string{"snapshot 2", m.QEMU, version}
	for _, file := range []string{m.Kernel, m.Initrd} {
		sum, err := hashFile(file)
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

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// save boots the machine and leaves its state in dir.
func (m Machine) save(ctx context.Context, dir string) (*Guest, error) {
	initrd := filepath.Join(dir, initrdFile)
	if err := copyFile(m.Initrd, initrd); err != nil {
		return nil, rig("save guest", err)
	}
	m.Initrd = initrd
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
	m := s.m
	m.Dir = dir
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
	if err = g.goOn(ctx); err == nil {
		return g, nil
	}
	g.halt(ending{kind: Rig, reason: strings.TrimPrefix(err.Error(), "guest: "), err: err})
	return nil, &EndError{Verdict: g.Wait(), Err: err}
}

// goOn has a restored guest run, and returns when it has said hello again.
func (g *Guest) goOn(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, wallFactor*restoreQuiet, fmt.Errorf("no answer in %v", wallFactor*restoreQuiet))
	defer cancel()
	select {
	case <-g.ready:
	case <-g.ended:
		return g.orEnd(errors.New("ended"))
	case <-ctx.Done():
		return context.Cause(ctx)
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
			break
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := g.mon.Execute(ctx, "cont", nil, nil); err != nil {
		return err
	}
	if err := g.awaitHello(ctx); err != nil {
		return err
	}
	return g.conn.SetHeartbeat(ctx, guest.DefaultHeartbeat)
}
