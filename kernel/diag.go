// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// A Diagnostic is a warning or an error that a build printed.
type Diagnostic struct {
	File    string `json:"file,omitempty"` // relative to the source, or to the object folder for what was generated there
	Line    int    `json:"line,omitempty"` // 0 means unknown
	Level   string `json:"level"`          // "warning" or "error"
	Message string `json:"message"`
	Flag    string `json:"flag,omitempty"` // the option that asked for it: "-Wunused-variable"
}

func (d Diagnostic) String() string {
	s := d.Level + ": " + d.Message
	if d.Flag != "" {
		s += " [" + d.Flag + "]"
	}
	switch {
	case d.File != "" && d.Line > 0:
		return fmt.Sprintf("%s:%d: %s", d.File, d.Line, s)
	case d.File != "":
		return d.File + ": " + s
	}
	return s
}

// NewWarnings returns those of after that before has not. Lines are not compared, since code moves; of several that are
// alike but for the line, as many are new as there are more of.
func NewWarnings(before, after []Diagnostic) []Diagnostic {
	had := map[Diagnostic]int{}
	for _, d := range before {
		d.Line = 0
		had[d]++
	}
	fresh := []Diagnostic{}
	for _, d := range after {
		k := d
		k.Line = 0
		if had[k]--; had[k] < 0 {
			fresh = append(fresh, d)
		}
	}
	return fresh
}

// What the tools of a build print. Their messages are in English: children run in the C locale.
var (
	// gcc: FILE:LINE:COLUMN: warning: MESSAGE [-WFLAG], and Kconfig's FILE:LINE:warning: MESSAGE
	gccForm = regexp.MustCompile(`^(?:HOSTCC |HOSTLD )?([^\s:][^:]*):(\d+)(?::\d+)?: ?(fatal error|error|warning|internal compiler error): (.*)$`)
	// as: FILE:LINE: Error: MESSAGE
	asForm = regexp.MustCompile(`^([^\s:][^:]*):(\d+): (Error|Warning|Fatal error): (.*)$`)
	// cc1: MESSAGE without a place; gcc's driver when a part of it was killed
	ccForm = regexp.MustCompile(`^(?:cc1|[a-z0-9_-]*gcc): (fatal error|error|warning|all warnings being treated as errors)(?:: )?(.*)$`)
	// ld, of any target
	ldForm = regexp.MustCompile(`^(?:\S*/)?(?:[a-z0-9_]+-linux-gnu-)?ld(?:\.bfd)?: (.*)$`)
	// what ld says after "in function": FILE:(SECTION+OFFSET): undefined reference to ..., or FILE:LINE: with debug info
	undefForm = regexp.MustCompile(`^(?:(?:\S*/)?(?:[a-z0-9_]+-linux-gnu-)?ld(?:\.bfd)?: )?(\S+?):(?:(\d+)|\(\.?[^)]*\)): ((?:undefined reference|multiple definition|relocation truncated).*)$`)
	// modpost: ERROR: modpost: MESSAGE; also depmod and checks of the headers
	modpostForm = regexp.MustCompile(`^(ERROR|WARNING): (?:modpost: )?(.*)$`)
	// objtool: FILE: warning: objtool: MESSAGE
	objtoolForm = regexp.MustCompile(`^(\S+\.o): (warning|error): (objtool: .*)$`)
	// Kconfig: FILE:LINE: syntax error and the like, which have no level
	kconfigForm = regexp.MustCompile(`^((?:\S*/)?Kconfig\S*):(\d+):? ?(.+)$`)
	kconfForm   = regexp.MustCompile(`^(error|warning): (recursive dependency detected!|override: .*)$`)
	// make: *** [FILE:LINE: TARGET] Error 2, and *** No rule to make target ...
	makeForm  = regexp.MustCompile(`^make(?:\[\d+\])?: \*\*\* (.*?)$`)
	recipeEnd = regexp.MustCompile(`^\[(?:(\S+?):(\d+): )?(\S+?)\] (?:Error (\d+)|(.*))$`)
	makeAt    = regexp.MustCompile(`^(\S+?):(\d+): \*\*\* (.*?)$`)
	shellForm = regexp.MustCompile(`^(?:/bin/)?(?:ba|da)?sh: (?:line )?\d+: (.*: (?:not found|command not found|Permission denied))$`)
	// gcc: the way from a header up to the file that is compiled, which comes last
	includeForm = regexp.MustCompile(`^(?:In file included|  +) *from ([^:]+):\d+(?::\d+)?[:,]$`)
	flagForm    = regexp.MustCompile(`^(.*?) \[(-W[^\]]+)\]$`)
	// kbuild: "  CC      kernel/fork.o", "  CC [M]  fs/x.o"
	ruleForm = regexp.MustCompile(`^  ([A-Z0-9_]+)(?: \[M\])? +(\S+)$`)
)

// A logParser takes make's output, line by line, and collects what matters.
type logParser struct {
	tree, obj string // folders
	onRule    func(n int, target string)

	part     []byte // of a line
	seen     map[Diagnostic]bool
	warnings []carried
	errors   []Diagnostic
	includer string          // the file at the end of the last "In file included from"
	fallback []Diagnostic    // make's own errors: they only say that something failed
	rules    int             // how many targets were made
	rebuilt  map[string]bool // object files
	rig      string          // a line that shows that the machine, and not the source, is at fault
	killed   bool            // some recipe was ended by a signal
}

func newLogParser(tree, obj string) *logParser {
	return &logParser{tree: tree, obj: obj, seen: map[Diagnostic]bool{}, rebuilt: map[string]bool{}}
}

func (p *logParser) Write(b []byte) (int, error) {
	n := len(b)
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			if len(p.part) < 1<<20 {
				p.part = append(p.part, b...)
			}
			return n, nil
		}
		p.line(strings.TrimRight(string(append(p.part, b[:i]...)), "\r"))
		p.part = p.part[:0]
		b = b[i+1:]
	}
}

// end takes the last line, if it has no newline.
func (p *logParser) end() {
	if len(p.part) > 0 {
		p.Write([]byte{'\n'})
	}
}

// rigSigns are what a machine in trouble says. A patch cannot be blamed for it.
var rigSigns = []string{"No space left on device", "Disk quota exceeded", "Cannot allocate memory", "virtual memory exhausted",
	"Killed signal terminated program", "Terminated signal terminated program", "out of memory allocating", "Input/output error",
	"Read-only file system", "Too many open files", "Resource temporarily unavailable", "memory exhausted", "internal compiler error: Killed"}

func (p *logParser) line(s string) {
	if m := ruleForm.FindStringSubmatch(s); m != nil {
		p.rules++
		if strings.HasSuffix(m[2], ".o") {
			p.rebuilt[m[2]] = true
		}
		if p.onRule != nil {
			p.onRule(p.rules, m[2])
		}
		return
	}
	if p.rig == "" {
		for _, sign := range rigSigns {
			if strings.Contains(s, sign) {
				p.rig = strings.TrimSpace(s)
			}
		}
	}
	if m := includeForm.FindStringSubmatch(s); m != nil {
		p.includer = p.rel(m[1])
		return
	}
	if m := makeForm.FindStringSubmatch(s); m != nil {
		p.makeLine(m[1])
		return
	}
	if d, ok := parseDiagnostic(s); ok {
		p.take(d)
	}
}

func (p *logParser) makeLine(s string) {
	m := recipeEnd.FindStringSubmatch(s)
	if m == nil {
		if strings.HasPrefix(s, "Waiting for unfinished jobs") || strings.HasPrefix(s, "Deleting file") {
			return
		}
		p.fallback = append(p.fallback, Diagnostic{Level: "error", Message: strings.TrimSuffix(s, "  Stop.")})
		return
	}
	code, _ := strconv.Atoi(m[4])
	if code >= 128 || code == 0 {
		p.killed = true
	}
	line, _ := strconv.Atoi(m[2])
	p.fallback = append(p.fallback, Diagnostic{File: p.rel(m[1]), Line: line, Level: "error", Message: "making " + p.rel(m[3]) + " failed: " + strings.TrimSpace(s[strings.Index(s, "] ")+2:])})
}

// parseDiagnostic reads one line. Its path is as it stands there.
func parseDiagnostic(s string) (Diagnostic, bool) {
	at := func(file, line, level, msg string) (Diagnostic, bool) {
		n, _ := strconv.Atoi(line)
		d := Diagnostic{File: file, Line: n, Level: "error", Message: msg}
		if strings.EqualFold(level, "warning") {
			d.Level = "warning"
		}
		if f := flagForm.FindStringSubmatch(msg); f != nil {
			d.Message, d.Flag = f[1], f[2]
		}
		return d, true
	}
	if m := undefForm.FindStringSubmatch(s); m != nil {
		return at(m[1], m[2], "error", m[3])
	}
	if m := gccForm.FindStringSubmatch(s); m != nil {
		return at(m[1], m[2], m[3], m[4])
	}
	if m := asForm.FindStringSubmatch(s); m != nil {
		return at(m[1], m[2], m[3], m[4])
	}
	if m := objtoolForm.FindStringSubmatch(s); m != nil {
		return at(m[1], "", m[2], m[3])
	}
	if m := ccForm.FindStringSubmatch(s); m != nil {
		if m[2] == "" {
			return Diagnostic{}, false // "all warnings being treated as errors": the warning has said it
		}
		return at("", "", m[1], m[2])
	}
	if m := ldForm.FindStringSubmatch(s); m != nil {
		return parseLd(m[1])
	}
	if m := modpostForm.FindStringSubmatch(s); m != nil {
		return at("", "", strings.ToLower(m[1]), m[2])
	}
	if m := kconfForm.FindStringSubmatch(s); m != nil {
		return at("", "", m[1], m[2])
	}
	if m := makeAt.FindStringSubmatch(s); m != nil {
		return at(m[1], m[2], "error", strings.TrimSuffix(m[3], "  Stop."))
	}
	if m := kconfigForm.FindStringSubmatch(s); m != nil && !strings.Contains(m[3], "depends on") && !strings.Contains(m[3], "symbol ") {
		return at(m[1], m[2], "error", m[3])
	}
	if m := shellForm.FindStringSubmatch(s); m != nil {
		return at("", "", "error", m[1])
	}
	return Diagnostic{}, false
}

// parseLd reads what ld says after its name.
func parseLd(s string) (Diagnostic, bool) {
	if rest, ok := strings.CutPrefix(s, "warning: "); ok {
		if strings.HasPrefix(rest, "-z ") { // of the options, not of what is linked
			return Diagnostic{}, false
		}
		return Diagnostic{Level: "warning", Message: rest}, true
	}
	if strings.Contains(s, ": in function `") || strings.HasPrefix(s, "NOTE: ") || strings.HasSuffix(s, ":") {
		return Diagnostic{}, false
	}
	if file, rest, ok := strings.Cut(s, ": warning: "); ok {
		return Diagnostic{File: file, Level: "warning", Message: rest}, true
	}
	if file, rest, ok := strings.Cut(s, ":"); ok {
		if line, msg, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(line); err == nil {
				return Diagnostic{File: file, Line: n, Level: "error", Message: msg}, true
			}
		}
	}
	return Diagnostic{Level: "error", Message: s}, true
}

func (p *logParser) take(d Diagnostic) {
	d.File = p.rel(d.File)
	d.Message = strings.ReplaceAll(strings.ReplaceAll(d.Message, p.tree+"/", ""), p.obj+"/", "")
	if p.seen[d] {
		return
	}
	p.seen[d] = true
	if d.Level == "warning" {
		c := carried{Diagnostic: d, Origin: d.File}
		if strings.HasSuffix(d.File, ".h") {
			c.Origin = p.includer
		}
		p.warnings = append(p.warnings, c)
	} else {
		p.errors = append(p.errors, d)
	}
}

// rel makes a path that a tool printed, which runs in the object folder, relative to the source.
func (p *logParser) rel(name string) string {
	if name == "" || strings.HasPrefix(name, "<") {
		return name
	}
	if !filepath.IsAbs(name) {
		if !strings.HasPrefix(name, "../") {
			return path.Clean(name)
		}
		name = filepath.Join(p.obj, name)
	}
	for _, root := range []string{p.obj, p.tree} {
		if rest, ok := strings.CutPrefix(filepath.Clean(name), root+"/"); ok {
			return rest
		}
	}
	return name
}

// A carried warning is one that a later build in the same object folder does not print again, as long as the file whose
// compilation printed it is not compiled again.
type carried struct {
	Diagnostic
	Origin string `json:"origin,omitempty"` // the file that was compiled: d.File, or what includes it
}

// carry returns the warnings that a build from nothing would print: those of now, and those of earlier builds in the
// same object folder whose files were not compiled again. What ld and modpost say is said anew each time.
func (p *logParser) carry(earlier []carried) []carried {
	all := append([]carried{}, p.warnings...)
	for _, c := range earlier {
		if object := c.object(); object == "" || p.seen[c.Diagnostic] || p.rebuilt[object] {
			continue
		}
		all = append(all, c)
	}
	return all
}

// object is the object file with whose making a warning came, "" where it was not that of an object.
func (c carried) object() string {
	switch ext := path.Ext(c.Origin); ext {
	case ".c", ".S":
		return strings.TrimSuffix(c.Origin, ext) + ".o"
	case ".o": // objtool's
		return c.Origin
	}
	return ""
}

// follow takes over what a make had to say that this one came after: an object that it made need not be made again.
func (p *logParser) follow(first *logParser) {
	if first == nil {
		return
	}
	for _, c := range first.warnings {
		if object := c.object(); object != "" && !p.seen[c.Diagnostic] && !p.rebuilt[object] {
			p.seen[c.Diagnostic] = true
			p.warnings = append(p.warnings, c)
		}
	}
	for object := range first.rebuilt {
		p.rebuilt[object] = true
	}
	p.rules += first.rules
}

var _ io.Writer = (*logParser)(nil)
