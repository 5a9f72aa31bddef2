// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/seriesrig/series/internal/cache"
)

// A known record says which source something gave: a package, a tree object, an archive. It is a memory only: a record
// that is lost costs time, and one whose source is gone is not used.
type known struct {
	Key     string    `json:"key"` // what it is about, in full: the file's name is its hash
	Hash    string    `json:"hash"`
	Commit  string    `json:"commit,omitempty"`
	Package string    `json:"package,omitempty"`
	Tag     string    `json:"tag,omitempty"` // an HTTP server's ETag, or the fingerprint of what the record was made from
	Time    time.Time `json:"time"`
}

func (s *Store) knownPath(key string) string { return s.src(".known", cache.KeyOf(key)+".json") }

// recall returns the record of key, if its source is still there.
func (s *Store) recall(key string) (known, bool) {
	data, err := os.ReadFile(s.knownPath(key))
	var k known
	if err != nil || json.Unmarshal(data, &k) != nil || k.Key != key || !s.has(k.Hash) {
		return known{}, false
	}
	return k, true
}

func (s *Store) remember(k known) error {
	k.Time = time.Now().UTC().Truncate(time.Second)
	return writeJSON(s.knownPath(k.Key), k)
}

// writeJSON writes a value to a file, complete or not at all.
func writeJSON(name string, v any) error {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return writeFile(name, append(data, '\n'))
}

// writeFile replaces a file by rename, and returns when it is on disk.
func writeFile(name string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}

// A stamp is what changes when a file does. The change time is in it since a program can set the others back.
type stamp struct {
	Size  int64  `json:"size"`
	Mtime int64  `json:"mtime"` // ns since 1970
	Ctime int64  `json:"ctime"`
	Inode uint64 `json:"inode"`
}

func stampOf(fi fs.FileInfo) stamp {
	st := fi.Sys().(*syscall.Stat_t)
	return stamp{Size: fi.Size(), Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(), Inode: st.Ino}
}

func (st stamp) String() string {
	return fmt.Sprintf("%d.%d.%d.%d", st.Size, st.Mtime, st.Ctime, st.Inode)
}

// fresh tells whether the file was changed so shortly before now that a second change could have left the same times:
// they tick with the timer interrupt. Such a stamp proves nothing.
func (st stamp) fresh(now time.Time) bool {
	return max(st.Mtime, st.Ctime) > now.Add(-time.Second).UnixNano()
}
