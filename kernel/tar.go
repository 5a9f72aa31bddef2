// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"strings"

	"github.com/seriesrig/series/internal/run"
)

func (s *Store) resolveTar(ctx context.Context, b Base) (*Source, error) {
	if b.Remote() {
		return s.resolveURL(ctx, b)
	}
	name, err := b.path()
	if err != nil {
		return nil, b.errorf(err, "bad path")
	}
	fi, err := os.Stat(name)
	if err != nil {
		return nil, b.errorf(underlying(err), "cannot be read")
	}
	if !fi.Mode().IsRegular() {
		return nil, b.errorf(nil, "not a file")
	}
	key := "tar " + name + " " + stampOf(fi).String()
	k, ok := s.recall(key)
	if !ok {
		k, err = s.unpack(ctx, b, known{Key: key}, true, func(u *unpacker) error { return untarFile(u, name) })
		if err != nil {
			return nil, err
		}
	}
	return newSource(b, s.src(k.Hash), k.Hash)
}

func untarFile(u *unpacker, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return untarCompressed(u, f)
}

func untarCompressed(u *unpacker, r io.Reader) error {
	d, err := decompress(u.ctx, r)
	if err != nil {
		return err
	}
	err = untar(u, d)
	if err == nil {
		// What follows the archive's end is read too: the checksum is at the end of the stream.
		_, err = io.Copy(io.Discard, d)
	}
	return errors.Join(err, d.Close())
}

// untar unpacks an archive. What is hostile, or cannot be in a kernel source, is an error: a path or link that leads
// out, devices, pipes, a file below a link.
func untar(u *unpacker, r io.Reader) error {
	t := tar.NewReader(r)
	content := map[string]*entry{} // what a hard link may lead to
	for {
		h, err := t.Next()
		if err == io.EOF {
			if len(u.list) == 0 {
				return errors.New("an archive without files")
			}
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeXGlobalHeader { // git archive writes the commit's name there
			continue
		}
		for strings.HasPrefix(h.Name, "./") {
			h.Name = strings.TrimLeft(h.Name[2:], "/")
		}
		name := strings.TrimSuffix(h.Name, "/")
		if name == "" || name == "." {
			continue
		}
		if strings.HasPrefix(name, "/") || path.Clean(name) != name || name == ".." || strings.HasPrefix(name, "../") {
			return hostile(h.Name, "leads out of the archive's folder")
		}
		if inGit(name) {
			continue
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = u.mkdir(name)
		case tar.TypeReg:
			if err = u.file(name, h.FileInfo().Mode()&0o100 != 0, h.Size, t); err == nil {
				content[name] = u.list[len(u.list)-1]
			}
		case tar.TypeSymlink:
			err = u.symlink(name, h.Linkname)
		case tar.TypeLink:
			err = u.hardlink(name, strings.TrimPrefix(h.Linkname, "./"), content)
		default:
			err = hostile(name, "type %q: neither file, folder nor link", h.Typeflag)
		}
		if err != nil {
			return err
		}
	}
}

// inGit tells whether a path belongs to git's own folder.
func inGit(name string) bool {
	return name == ".git" || strings.HasPrefix(name, ".git/") || strings.Contains(name, "/.git/") || strings.HasSuffix(name, "/.git")
}

// hardlink takes a file that is a second name of an earlier one.
func (u *unpacker) hardlink(name, target string, content map[string]*entry) error {
	first := content[target]
	if first == nil {
		return hostile(name, "hard link to %q, which is no earlier file of the archive", target)
	}
	data, err := u.reread(first)
	if err != nil {
		return err
	}
	if err := u.file(name, first.mode == modeExec, int64(len(data)), bytes.NewReader(data)); err != nil {
		return err
	}
	content[name] = u.list[len(u.list)-1]
	return nil
}

// decompress finds out by its first bytes how r is compressed.
func decompress(ctx context.Context, r io.Reader) (io.ReadCloser, error) {
	br := bufio.NewReaderSize(r, 1<<20)
	magic, _ := br.Peek(6)
	switch {
	case bytes.HasPrefix(magic, []byte("\x1f\x8b")):
		return gzip.NewReader(br)
	case bytes.HasPrefix(magic, []byte("BZh")):
		return io.NopCloser(bzip2.NewReader(br)), nil
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		return pipeThrough(ctx, run.Cmd{Name: "xz", Args: []string{"-dc", "-T0"}, Stdin: br})
	case bytes.HasPrefix(magic, []byte("\x28\xb5\x2f\xfd")):
		return pipeThrough(ctx, run.Cmd{Name: "zstd", Args: []string{"-dcq"}, Stdin: br})
	}
	return io.NopCloser(br), nil
}

// A pipe reads a command's standard output. Reading ends with the command's error, if it ends with one, so that a
// stream that was cut short is not taken for a whole one.
type pipe struct {
	p *run.Process
	r *os.File
}

func pipeThrough(ctx context.Context, c run.Cmd) (*pipe, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.Stdout = w
	p, err := c.Start(ctx)
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	return &pipe{p, r}, nil
}

func (p *pipe) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if n == 0 && err == io.EOF {
		if err := p.p.Wait(); err != nil {
			return 0, err
		}
	}
	return n, err
}

// Close ends the command, if it still runs.
func (p *pipe) Close() error {
	p.r.Close()
	p.p.Stop()
	return nil
}
