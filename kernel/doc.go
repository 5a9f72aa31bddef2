// SPDX-License-Identifier: Apache-2.0

// Package kernel takes a kernel source to a vmlinux.
//
// A [Base] names a source: a Debian package, a git revision, an archive or a folder. A [Store] resolves it to a [Source]:
// an unpacked, read-only folder with a content hash that does not depend on where the files came from. A [Tree] is a
// working copy of a source with some files changed; it shares every other file with the source by hard link, and only
// files that differ from what is on disk are rewritten, so that kbuild, which goes by time stamps, recompiles only what
// it must. A [Builder] configures and builds a [Job], and keeps what it made under a hash of everything that can change
// the output.
//
// All of it lives in a work folder, and any process that works in it may be killed at any time: a folder under its final
// name is complete, and everything else is thrown away or mended by the next process.
package kernel
