// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seriesrig/series/vmtest/guest"
)

// An ahead is a command that runs before hello, and what there is to tell of it.
type ahead struct {
	spec    guest.Command
	running bool // guarded by the agent's wmu
	frames  []guest.Frame
	size    int
}

// hold keeps a frame that would have been sent, as long as there is room; the command goes on either way, as one that
// nobody reads from would never end.
func (h *ahead) hold(t guest.Type, payload []byte) {
	if h.size += len(payload); h.size <= guest.AheadLimit {
		h.frames = append(h.frames, guest.Frame{Type: t, Payload: bytes.Clone(payload)})
	}
}

// runAhead runs the command that the initramfs brought, if it did.
func (a *agent) runAhead() error {
	b, err := os.ReadFile(filepath.Join(a.root, guest.AheadPath))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	h := &ahead{running: true}
	if err == nil {
		err = json.Unmarshal(b, &h.spec)
	}
	if err == nil && (h.spec.Stdin || h.spec.Terminal != nil) {
		err = errors.New("it wants to hear from the host")
	}
	if err != nil {
		return fmt.Errorf("run ahead: %s: %w", guest.AheadPath, err)
	}
	a.ahead = h
	c, err := a.begin(h.spec)
	if err != nil {
		return err
	}
	<-c.over
	a.wmu.Lock()
	defer a.wmu.Unlock()
	h.running = false
	if h.size > guest.AheadLimit {
		return fmt.Errorf("run ahead: more than %d bytes to tell", guest.AheadLimit)
	}
	return nil
}

// tellAhead tells the host of the command that it asks for, once.
func (a *agent) tellAhead(spec guest.Command) error {
	h := a.ahead
	if h == nil || h.frames == nil {
		return errors.New("run from host: no command was run ahead")
	}
	spec.ID, spec.Ahead = h.spec.ID, h.spec.Ahead
	asked, err1 := json.Marshal(spec)
	ran, err2 := json.Marshal(h.spec)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if !bytes.Equal(asked, ran) {
		return fmt.Errorf("run from host: another command was run ahead: %s", ran)
	}
	for _, f := range h.frames {
		if err := a.send(f.Type, f.Payload); err != nil {
			return err
		}
	}
	h.frames = nil
	return nil
}
