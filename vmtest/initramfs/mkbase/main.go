// SPDX-License-Identifier: Apache-2.0

// Command mkbase writes the base initramfs: u-root's commands, built as one program. Package initramfs carries its
// source and runs it in a module of its own, under internal/run, because mkuimage starts compilers that know no context
// and takes the environment that it finds.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/u-root/gobusybox/src/pkg/golang"
	"github.com/u-root/mkuimage/cpio"
	"github.com/u-root/mkuimage/uimage"
	"github.com/u-root/uio/llog"
)

// records are in the image beside the commands: what programs look up without a network, and the console and the null
// device for what runs before devtmpfs is there.
var records = []cpio.Record{
	cpio.Directory("bin", 0o755),
	cpio.Directory("dev", 0o755),
	cpio.Directory("etc", 0o755),
	cpio.Directory("proc", 0o755),
	cpio.Directory("root", 0o700),
	cpio.Directory("run", 0o755),
	cpio.Directory("series", 0o755),
	cpio.Directory("sys", 0o755),
	cpio.Directory("tmp", 0o777),
	cpio.Directory("var", 0o755),
	cpio.Directory("var/log", 0o755),
	cpio.CharDev("dev/console", 0o600, 5, 1),
	cpio.CharDev("dev/null", 0o666, 1, 3),
	cpio.StaticFile("etc/passwd", "root:x:0:0:root:/root:/bbin/gosh\nnobody:x:65534:65534:nobody:/:/bbin/gosh\n", 0o644),
	cpio.StaticFile("etc/group", "root:x:0:\nnogroup:x:65534:\n", 0o644),
	cpio.StaticFile("etc/hosts", "127.0.0.1 localhost series\n::1 localhost\n", 0o644),
	cpio.StaticFile("etc/nsswitch.conf", "hosts: files\n", 0o644),
}

func main() {
	goroot := flag.String("goroot", "", "the Go tree to build with")
	goarch := flag.String("goarch", "", "the guest's architecture")
	out := flag.String("o", "", "write the image to this `file`")
	tmp := flag.String("tmp", "", "an existing `folder` for what is only needed meanwhile")
	commands := flag.String("commands", "", "packages of the commands, with commas between")
	flag.Parse()
	if err := build(*goroot, *goarch, *out, *tmp, strings.Split(*commands, ",")); err != nil {
		fmt.Fprintf(os.Stderr, "mkbase: %v\n", err)
		os.Exit(1)
	}
}

func build(goroot, goarch, out, tmp string, commands []string) error {
	base, err := cpio.ArchiveFromRecords(records)
	if err != nil {
		return err
	}
	return uimage.Create(llog.Default(),
		// The default line editor of gosh asks the terminal for its colours and cursor, and waits for answers that not
		// every terminal gives; what it links in costs every command 0.1 s under TCG.
		uimage.WithEnv(golang.DisableCGO(), golang.WithGOOS("linux"), golang.WithGOARCH(goarch), golang.WithGOROOT(goroot),
			golang.WithBuildTag("goshliner")),
		uimage.WithBusyboxCommands(commands...),
		uimage.WithBaseArchive(base),
		uimage.WithTempDir(tmp),
		uimage.WithSkipLDD(),
		uimage.WithInit("init"),
		uimage.WithShell("gosh"),
		uimage.WithCPIOOutput(out),
	)
}
