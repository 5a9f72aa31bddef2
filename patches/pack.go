// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/sync/errgroup"
)

// encode writes the objects as a pack (gitformat-pack(5), version 2, no deltas) and returns its checksum. go-git's
// encoder does the same one object after the other and at zlib's default level, which for a hundred patches is half of
// the whole work; here the objects are compressed side by side, and fast.
func (b *builder) encode() (pack *bytes.Buffer, sum plumbing.Hash, err error) {
	entries := make([]bytes.Buffer, len(b.order))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, h := range b.order {
		o, err := b.store.EncodedObject(plumbing.AnyObject, h)
		if err != nil {
			return nil, sum, fmt.Errorf("encode pack: %w", err)
		}
		g.Go(func() error { return packEntry(&entries[i], o) })
	}
	if err := g.Wait(); err != nil {
		return nil, sum, fmt.Errorf("encode pack: %w", err)
	}
	pack = &bytes.Buffer{}
	pack.WriteString("PACK")
	pack.Write(binary.BigEndian.AppendUint32(nil, 2))
	pack.Write(binary.BigEndian.AppendUint32(nil, uint32(len(entries))))
	for i := range entries {
		pack.Write(entries[i].Bytes())
	}
	sum = plumbing.Hash(sha1.Sum(pack.Bytes()))
	pack.Write(sum[:])
	return pack, sum, nil
}

// packEntry writes one object: its type and size, seven bits a byte but for four in the first, and its data compressed.
func packEntry(w *bytes.Buffer, o plumbing.EncodedObject) error {
	size := uint64(o.Size())
	c := byte(o.Type())<<4 | byte(size&0xf)
	for size >>= 4; size > 0; size >>= 7 {
		w.WriteByte(c | 0x80)
		c = byte(size & 0x7f)
	}
	w.WriteByte(c)
	r, err := o.Reader()
	if err != nil {
		return err
	}
	defer r.Close()
	z, err := zlib.NewWriterLevel(w, zlib.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, r); err != nil {
		return err
	}
	return z.Close()
}
