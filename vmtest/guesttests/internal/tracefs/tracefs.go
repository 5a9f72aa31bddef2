// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package tracefs uses trace events as a person does with echo and cat, for tests that run inside a guest: it enables them in
// an instance of its own, with a filter or a trigger, and reads what comes.
package tracefs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const root = "/sys/kernel/tracing"

// Mount mounts tracefs where it is not.
func Mount() error {
	_, err := os.Stat(filepath.Join(root, "events"))
	if errors.Is(err, fs.ErrNotExist) {
		err = unix.Mount("tracefs", root, "tracefs", 0, "")
	}
	if err != nil {
		return fmt.Errorf("mount tracefs: %w", err)
	}
	return nil
}

// Folder is where an event is, such as "audit/audit_syscall_entry".
func Folder(event string) string { return filepath.Join(root, "events", event) }

// Exists tells whether the kernel has an event.
func Exists(event string) bool {
	_, err := os.Stat(filepath.Join(Folder(event), "format"))
	return err == nil
}

// An Instance is a trace with a buffer and events of its own.
type Instance struct {
	dir    string
	events []string // that were changed, and are put back by Close
}

// New makes an instance whose buffer has so many KiB for each CPU.
func New(name string, kib int) (*Instance, error) {
	if err := Mount(); err != nil {
		return nil, err
	}
	i := &Instance{dir: filepath.Join(root, "instances", name)}
	if err := os.Mkdir(i.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make trace instance: %w", err)
	}
	if err := os.WriteFile(filepath.Join(i.dir, "buffer_size_kb"), fmt.Append(nil, kib), 0); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

// Set writes a file of an event: "enable", "filter" or "trigger".
func (i *Instance) Set(event, file, value string) error {
	i.events = append(i.events, event)
	if err := os.WriteFile(filepath.Join(i.dir, "events", event, file), []byte(value), 0); err != nil {
		return fmt.Errorf("trace event %s: write %q: %w", event, value, err)
	}
	return nil
}

// Enable enables an event, or disables it.
func (i *Instance) Enable(event string, on bool) error {
	if on {
		return i.Set(event, "enable", "1")
	}
	return i.Set(event, "enable", "0")
}

// Get reads a file of an event, such as "hist".
func (i *Instance) Get(event, file string) (string, error) {
	b, err := os.ReadFile(filepath.Join(i.dir, "events", event, file))
	return string(b), err
}

// Lines returns the trace, a line for each event, and how many events were overwritten before anybody could see them. Nothing is
// traced meanwhile: to read the trace takes syscalls, and a trace of those has no end.
func (i *Instance) Lines() (lines []string, overrun int, err error) {
	if err := i.on("0"); err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, i.on("1")) }()
	b, err := os.ReadFile(filepath.Join(i.dir, "trace"))
	if err != nil {
		return nil, 0, err
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	files, err := filepath.Glob(filepath.Join(i.dir, "per_cpu/cpu*/stats"))
	if err != nil || len(files) == 0 {
		return nil, 0, fmt.Errorf("%s: no trace statistics (%v)", i.dir, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, 0, err
		}
		for line := range strings.Lines(string(b)) {
			if value, ok := strings.CutPrefix(line, "overrun: "); ok {
				n := 0
				if _, err := fmt.Sscan(value, &n); err != nil {
					return nil, 0, fmt.Errorf("%s: %q: %w", f, line, err)
				}
				overrun += n
			}
		}
	}
	return lines, overrun, nil
}

func (i *Instance) on(value string) error {
	return os.WriteFile(filepath.Join(i.dir, "tracing_on"), []byte(value), 0)
}

// Fill writes notes to the trace, of that many bytes in all, on the CPU that runs.
func (i *Instance) Fill(bytes int) error {
	f, err := os.OpenFile(filepath.Join(i.dir, "trace_marker"), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("fill trace: %w", err)
	}
	defer f.Close()
	for note := []byte(strings.Repeat("x", 512)); bytes > 0; {
		n, err := f.Write(note)
		if err != nil {
			return fmt.Errorf("fill trace: %w", err)
		}
		bytes -= n
	}
	return nil
}

// Clear empties the trace.
func (i *Instance) Clear() error {
	// Opening for writing with O_TRUNC is what empties it.
	return os.WriteFile(filepath.Join(i.dir, "trace"), nil, 0o644)
}

// Close disables the events, takes filters and triggers away, and removes the instance.
func (i *Instance) Close() error {
	var errs []error
	done := map[string]bool{}
	for _, e := range i.events {
		if done[e] {
			continue
		}
		done[e] = true
		errs = append(errs, i.Enable(e, false), i.Set(e, "filter", "0"), i.dropTriggers(e))
	}
	return errors.Join(append(errs, os.Remove(i.dir))...)
}

// dropTriggers writes each trigger back with a "!" before it.
func (i *Instance) dropTriggers(event string) error {
	text, err := i.Get(event, "trigger")
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		trigger, _, _ := strings.Cut(line, " [")
		if err := i.Set(event, "trigger", "!"+trigger); err != nil {
			return err
		}
	}
	return nil
}

// readFormat reads what the kernel says about an event.
func readFormat(event string) ([]byte, error) {
	if err := Mount(); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(root, "events", event, "format"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the kernel has no trace event %s", event)
	}
	return bytes.TrimSpace(b), err
}
