// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/seriesrig/series/patches"
)

// Limits on a source. The largest threads of the kernel's lists have some thousand messages and some MiB.
const (
	maxSource   = 256 << 20 // bytes, decompressed
	maxMessages = 50_000
	maxMessage  = 12 << 20 // bytes: a patch of 10 MiB, with its header and a little more
	maxLine     = 1 << 20  // bytes
)

// maxError bounds what an error quotes of a message, in characters.
const maxError = 500

// A rawMail is a message as it stands in its source.
type rawMail struct {
	file string
	n    int // from 1, in the whole source
	line int // in the file; 1 is the first
	raw  []byte
}

func (r rawMail) errorf(format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	text := strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(strings.TrimSpace(err.Error()), "?"))
	if long := []rune(text); len(long) > maxError {
		text = string(long[:maxError]) + "..."
	}
	return &Error{File: r.file, Message: r.n, Line: r.line, Msg: text, Err: errors.Unwrap(err)}
}

// readSource reads the messages of a file, a maildir or a folder of *.patch and *.eml files.
func readSource(path string) ([]rawMail, error) {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &patches.InputError{File: path, Msg: "no such file or folder, and no range REV..REV", Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	if !fi.IsDir() {
		f, err := openRegular(path, fi)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return splitFile(path, f)
	}
	files, err := listFolder(path)
	if err != nil {
		return nil, err
	}
	var out []rawMail
	total := int64(0)
	for _, name := range files {
		raw, err := readWhole(name)
		if err != nil {
			return nil, err
		}
		if total += int64(len(raw)); total > maxSource || len(out) == maxMessages {
			return nil, fmt.Errorf("import %s: more than %d MiB or %d messages, which is the limit", path, maxSource>>20, maxMessages)
		}
		line := 1
		if bytes.HasPrefix(raw, []byte("From ")) { // what git format-patch writes
			_, raw, _ = bytes.Cut(raw, []byte("\n"))
			line = 2
		}
		out = append(out, rawMail{name, len(out) + 1, line, raw})
	}
	return out, nil
}

// openRegular opens a file, and nothing that could keep its reader waiting.
func openRegular(path string, fi os.FileInfo) (*os.File, error) {
	if !fi.Mode().IsRegular() {
		return nil, &patches.InputError{File: path, Msg: "is neither a file nor a folder"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	return f, nil
}

func readWhole(name string) ([]byte, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	f, err := openRegular(name, fi)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(name, f)
}

// readLimited reads a file, decompressed where gzip has packed it.
func readLimited(name string, r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSource+1))
	if err == nil && bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(data)); err == nil {
			data, err = io.ReadAll(io.LimitReader(z, maxSource+1))
		}
	}
	switch {
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &patches.InputError{File: name, Msg: fmt.Sprintf("is packed by gzip, and broken: %v", err), Err: err}
	case err != nil:
		return nil, fmt.Errorf("import %s: %w", name, err)
	case len(data) > maxSource:
		return nil, &patches.InputError{File: name, Msg: fmt.Sprintf("is larger than %d MiB, which is the limit", maxSource>>20)}
	}
	return data, nil
}

// splitFile reads an mbox, or one saved mail.
func splitFile(name string, r io.Reader) ([]rawMail, error) {
	data, err := readLimited(name, r)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, &patches.InputError{File: name, Msg: "is empty"}
	}
	if !bytes.HasPrefix(bytes.TrimLeft(data, "\n"), []byte("From ")) {
		return []rawMail{{name, 1, 1, data}}, nil
	}
	parts := patches.SplitMbox(data)
	if len(parts) > maxMessages {
		return nil, &patches.InputError{File: name, Msg: fmt.Sprintf("has more than %d messages, which is the limit", maxMessages)}
	}
	// public-inbox writes mboxrd, and says so.
	quoted := bytes.HasPrefix(data, []byte("From mboxrd@z "))
	out := make([]rawMail, 0, len(parts))
	for i, p := range parts {
		if quoted {
			p.Raw = unquote(p.Raw)
		}
		out = append(out, rawMail{name, i + 1, p.Line, p.Raw})
	}
	return out, nil
}

var quotedFrom = regexp.MustCompile(`(?m)^>(>*From )`)

// unquote takes one ">" off the lines of an mboxrd that start with any number of them and "From ".
func unquote(raw []byte) []byte {
	if !bytes.Contains(raw, []byte("\n>")) {
		return raw
	}
	return quotedFrom.ReplaceAll(raw, []byte("$1"))
}

// listFolder returns the files of a maildir, or of a folder with saved mails, in the order of their names. In a maildir
// that is the order in which they came, more or less; the patches are put in order by their numbers.
func listFolder(dir string) ([]string, error) {
	var files []string
	maildir := false
	for _, sub := range []string{"cur", "new"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			continue
		}
		maildir = true
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") && !e.IsDir() {
				files = append(files, filepath.Join(dir, sub, e.Name()))
			}
		}
	}
	if !maildir {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("import: %w", err)
		}
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); ext == ".patch" || ext == ".eml" {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
	}
	if len(files) == 0 {
		return nil, &patches.InputError{File: dir, Msg: "has no mail in it: neither a maildir with cur and new nor a folder with *.patch or *.eml files"}
	}
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return files, nil
}
