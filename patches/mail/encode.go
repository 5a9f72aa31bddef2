// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"bytes"
	"fmt"
	netmail "net/mail"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxLine   = 998 // what a line must have at most, without its end (RFC 5322, section 2.1.1)
	foldWidth = 76  // what a header line with an encoded-word must have at most (RFC 2047, section 2); any should have 78
	wordWidth = 66  // what an encoded-word has at most; 75 is the limit, and "Subject: " has to be beside it
)

// checkText refuses what would end a header line early or is no text: nothing that a patch or a series says may add a
// header of its own.
func checkText(what, s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s %q is not UTF-8", what, s)
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		return fmt.Errorf("%s %q has the control character %#02x, which no header may have", what, s, r)
	}
	return nil
}

// checkAddress refuses an address that would be read back as another one.
func checkAddress(what string, a netmail.Address) error {
	if err := checkText(what, a.Name); err != nil {
		return err
	}
	if err := checkText(what, a.Address); err != nil {
		return err
	}
	local, domain, ok := strings.Cut(a.Address, "@")
	if !ok || local == "" || domain == "" || strings.ContainsAny(a.Address, " \t<>,;:\"()[]\\") ||
		strings.Contains(domain, "@") {
		return fmt.Errorf("%s %q is no mail address", what, a.Address)
	}
	if !isASCII(a.Address) {
		return fmt.Errorf("%s %q is not ASCII, which SMTP needs an extension for", what, a.Address)
	}
	return nil
}

// formatAddress renders an address for a header: the name as it is where it is made of atoms, quoted where that is
// enough, and encoded where it is not ASCII. The line may be folded between the pieces.
func formatAddress(a netmail.Address) []string {
	switch {
	case a.Name == "":
		return []string{a.Address}
	case isASCII(a.Name):
		return []string{quoteName(a.Name) + " <" + a.Address + ">"}
	}
	return append(encodeWords(a.Name, true), "<"+a.Address+">")
}

// quoteName quotes a name that is not made of atoms alone. Letters beyond ASCII count as atoms.
func quoteName(name string) string {
	if isPhrase(name) {
		return name
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// isPhrase tells whether a name consists of atoms and single blanks (RFC 5322, section 3.2.3). A full stop is not of
// them, strictly, and read by everybody (section 4.1); but git would not quote it either.
func isPhrase(s string) bool {
	if s != strings.Join(strings.Fields(s), " ") || strings.Contains(s, "=?") {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(" !#$%&'*+-/=?^_`{|}~", r) || r >= utf8.RuneSelf)
	}) < 0
}

// encodeWords encodes a text as encoded-words of at most 75 characters (RFC 2047), none of which splits a character. In
// a phrase only letters and digits may stand for themselves.
func encodeWords(s string, phrase bool) []string {
	var words []string
	var word strings.Builder
	for _, r := range s {
		var enc strings.Builder
		for _, b := range []byte(string(r)) {
			switch {
			case b == ' ':
				enc.WriteByte('_')
			case b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9',
				!phrase && b > ' ' && b < 0x7f && !strings.ContainsRune("=?_", rune(b)):
				enc.WriteByte(b)
			default:
				fmt.Fprintf(&enc, "=%02X", b)
			}
		}
		if word.Len()+enc.Len()+len("=?utf-8?q??=") > wordWidth {
			words = append(words, "=?utf-8?q?"+word.String()+"?=")
			word.Reset()
		}
		word.WriteString(enc.String())
	}
	return append(words, "=?utf-8?q?"+word.String()+"?=")
}

// encodeSubject returns the pieces of a subject between which the line may be folded, and how long it may get. A plain
// subject is not folded before it must be: git and people read it either way, but b4 0.12 fails on a folded subject of a
// local mbox.
func encodeSubject(s string) (pieces []string, width int) {
	plain := isASCII(s) && !strings.Contains(s, "=?")
	for _, w := range strings.Split(s, " ") {
		// Folding needs a blank to fold at, and unfolding gives one blank: anything else has to be encoded.
		plain = plain && w != "" && len(w) < maxLine-len("Subject: ")
	}
	if plain {
		return strings.Split(s, " "), maxLine
	}
	// The prefix stays readable, because mail filters and people look for it. A blank between a plain word and an
	// encoded one counts; one between two encoded ones does not.
	if end := strings.Index(s, "] "); strings.HasPrefix(s, "[") && end > 0 && isASCII(s[:end]) && !strings.Contains(s[:end], "=?") {
		pieces = strings.Split(s[:end+1], " ")
		s = s[end+2:]
	}
	return append(pieces, encodeWords(s, false)...), foldWidth
}

// writeHeader writes a field, folded between its pieces where it would get longer than width.
func writeHeader(b *bytes.Buffer, name string, pieces []string, width int) {
	line := name + ":"
	for i, p := range pieces {
		if i > 0 && len(line)+1+len(p) > width {
			b.WriteString(line + "\n")
			line = ""
		}
		line += " " + p
	}
	b.WriteString(line + "\n")
}

// addressPieces are the pieces of an address list.
func addressPieces(list []netmail.Address) []string {
	var out []string
	for i, a := range list {
		out = append(out, formatAddress(a)...)
		if i < len(list)-1 {
			out[len(out)-1] += ","
		}
	}
	return out
}

// encodeBody chooses the transfer encoding: none where the body can go as it is. Quoted-printable is for lines that mail
// cannot carry (too long, with a carriage return) and for lines that start with "From ", see the package comment.
func encodeBody(body string) (encoding string, data []byte, err error) {
	if strings.IndexByte(body, 0) >= 0 {
		return "", nil, fmt.Errorf("the body has a NUL byte, which no mail may have")
	}
	if !utf8.ValidString(body) {
		return "", nil, fmt.Errorf("the body is not UTF-8")
	}
	encoding = "7bit"
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		if len(line) > maxLine || strings.Contains(line, "\r") || isFromLine(line) {
			return "quoted-printable", quotedPrintable(body), nil
		}
		if !isASCII(line) {
			encoding = "8bit"
		}
	}
	return encoding, []byte(body), nil
}

// isFromLine tells the lines that some reader of mbox files splits at, or changes.
func isFromLine(line string) bool {
	return strings.HasPrefix(strings.TrimLeft(line, ">"), "From ")
}

// quotedPrintable encodes a text (RFC 2045, section 6.7). The standard library's writer does not look at how a line
// starts, and a soft line break can put a "From " there.
func quotedPrintable(body string) []byte {
	const width = 76
	var b bytes.Buffer
	for line := range strings.Lines(body) {
		text, ended := strings.CutSuffix(line, "\n")
		column := 0
		for i := 0; i < len(text); i++ {
			c := text[i]
			token := string(c)
			blank := c == ' ' || c == '\t'
			if c == '=' || c >= 0x7f || c < ' ' && !blank || blank && i == len(text)-1 {
				token = fmt.Sprintf("=%02X", c)
			}
			if column+len(token) >= width {
				b.WriteString("=\n")
				column = 0
			}
			if column == 0 && (c == 'F' || c == '>') {
				token = fmt.Sprintf("=%02X", c)
			}
			b.WriteString(token)
			column += len(token)
		}
		if ended {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}
