// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/seriesrig/series/vmtest/guest"
)

// A stamp changes when a file is written or replaced.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime syscall.Timespec
}

// stock is what there was of the files to collect before the command ran.
type stock map[string]stamp

// takeStock also makes the folders that the paths are in: on the host, where go test made the paths up, there is one.
func takeStock(paths []string) (stock, error) {
	for _, path := range paths {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
	}
	s := make(stock)
	walk(paths, func(path string, st stamp, _ fs.FileInfo) { s[path] = st })
	return s, nil
}

// walk calls f for every regular file among paths and below those that are folders, in lexical order. Symbolic links are
// not followed. What is not there is left out.
func walk(paths []string, f func(path string, st stamp, fi fs.FileInfo)) (errs []error) {
	seen := make(map[string]bool)
	for _, root := range paths {
		filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.Type().IsRegular() {
				return nil
			}
			var fi fs.FileInfo
			if err == nil {
				fi, err = d.Info()
			}
			if err != nil {
				if !errors.Is(err, fs.ErrNotExist) {
					errs = append(errs, err)
				}
				return nil
			}
			if seen[path] {
				return nil
			}
			seen[path] = true
			sys := fi.Sys().(*syscall.Stat_t)
			f(path, stamp{uint64(sys.Dev), sys.Ino, sys.Size, sys.Mtim, sys.Ctim}, fi)
			return nil
		})
	}
	return errs
}

// collect brings back the files that the command wrote, and returns what it could not bring.
func (a *agent) collect(spec guest.Command, before stock) (warnings []string) {
	left := spec.CollectLimit
	if left <= 0 {
		left = guest.DefaultCollectLimit
	}
	full := false
	errs := walk(spec.Collect, func(path string, st stamp, fi fs.FileInfo) {
		if old, ok := before[path]; ok && old == st || full {
			return
		}
		n, err := a.bring(path, fi, left)
		left -= n
		if errors.Is(err, errFull) {
			full = true
		}
		if err != nil {
			warnings = append(warnings, err.Error())
		}
	})
	for _, err := range errs {
		warnings = append(warnings, err.Error())
	}
	return warnings
}

var errFull = errors.New("more than may be brought back")

// bring sends one file, of at most limit bytes, and returns how many it sent.
func (a *agent) bring(path string, fi fs.FileInfo, limit int64) (sent int64, err error) {
	if fi.Size() > limit {
		return 0, fmt.Errorf("bring back %s (%d bytes): %w", path, fi.Size(), errFull)
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	head := guest.File{Path: path, Mode: fi.Mode().Perm(), Size: fi.Size(), Mtime: fi.ModTime().Round(time.Microsecond)}
	if err := a.sendJSON(guest.TypeFile, head); err != nil {
		return 0, err
	}
	b := make([]byte, 256<<10)
	r := io.LimitReader(f, limit)
	for err == nil {
		var n int
		n, err = r.Read(b)
		if n > 0 {
			sent += int64(n)
			if e := a.send(guest.TypeFileData, b[:n]); e != nil {
				return sent, e
			}
		}
	}
	if err == io.EOF {
		err = nil
	}
	if e := a.send(guest.TypeFileData, nil); e != nil { // the end
		return sent, e
	}
	return sent, err
}
