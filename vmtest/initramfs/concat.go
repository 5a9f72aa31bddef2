// SPDX-License-Identifier: Apache-2.0

package initramfs

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Concat writes images, each the path of a cpio archive, and after them the archive, which may be nil, into the file
// dst, and returns its size in bytes. QEMU's -initrd takes one file, and the kernel unpacks what is in it one after the
// other, so that of two files at one path the later stays. Where Concat fails, dst is gone.
func Concat(dst string, archive *Archive, images ...string) (size int64, err error) {
	if archive != nil {
		if _, err := archive.Size(); err != nil {
			return 0, err
		}
	}
	out, err := os.Create(dst)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			os.Remove(dst)
		}
	}()
	for _, image := range images {
		n, err := appendFile(out, image)
		if err != nil {
			return 0, fmt.Errorf("write initramfs: %w", err)
		}
		// The kernel wants each archive to begin at a multiple of 4, and skips zeroes.
		fill, err := out.Write(make([]byte, align(n)-n))
		if err != nil {
			return 0, fmt.Errorf("write initramfs: %w", err)
		}
		size += n + int64(fill)
	}
	if archive != nil {
		n, err := archive.WriteTo(out)
		if err != nil {
			return 0, err
		}
		size += n
	}
	return size, nil
}

// appendFile copies inside the kernel: *os.File has a ReadFrom that uses copy_file_range(2).
func appendFile(out *os.File, path string) (int64, error) {
	in, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	return io.Copy(out, in)
}
