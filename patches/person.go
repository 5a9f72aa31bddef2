// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"fmt"
	"net/mail"
	"regexp"
	"strings"
)

// emailForm is an address that git am and the standard see alike.
var emailForm = regexp.MustCompile(`^[^\s@<>(),:;"\\\[\]]+@[^\s@<>(),:;"\\\[\]]+$`)

// parsePerson reads the value of a From: in a header or at the top of a body as git am does: it is decoded first, then
// quotes and backslashes go, and the word around the @ is the address and all the rest the name, so that a raw
// `Doe, Jane <jane@example.org>` is somebody. What git and RFC 5322 take for different addresses is refused, as is what
// neither can read. One difference is left: of an encoded name git am loses the quotes, which git format-patch had encoded
// because they are part of it; here they stay.
func parsePerson(v string) (Person, error) {
	text, err := decode(v)
	if err != nil {
		return Person{}, err
	}
	refuse := func(why string) (Person, error) {
		return Person{}, fmt.Errorf("%q is no address: %s", shorten(v), why)
	}
	plain, err := unquotePerson(text)
	if err != nil {
		return refuse(err.Error())
	}
	name, email := cutAddress(plain)
	email = crud(email)
	standard, err := mail.ParseAddress(v)
	switch {
	case err == nil && crud(standard.Address) != email:
		return refuse(fmt.Sprintf("it is %s, but git am takes %q for it", standard.Address, shorten(email)))
	case err != nil && (!emailForm.MatchString(email) || strings.ContainsAny(name, "@<>")):
		return refuse(strings.TrimPrefix(err.Error(), "mail: "))
	}
	if err == nil && strings.Contains(v, "=?") {
		name = strings.Join(strings.Fields(standard.Name), " ")
	}
	if len(name) > maxPersonName || strings.ContainsAny(name, "@<>") || crud(name) == "" {
		name = email // as git am does
	}
	return Person{Name: crud(name), Email: email}, nil
}

// maxPersonName is the number of bytes from which git am takes a name for none (get_sane_name in its mailinfo.c).
const maxPersonName = 60

// unquotePerson takes the quotes off quoted strings, and the backslashes out of these and of comments, whose brackets
// stay.
func unquotePerson(s string) (string, error) {
	var b strings.Builder
	quoted, depth := false, 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && (quoted || depth > 0):
			if i++; i == len(s) {
				return "", fmt.Errorf("it ends in a backslash")
			}
			c = s[i]
		case quoted && c == '"', !quoted && depth == 0 && c == '"':
			quoted = !quoted
			continue
		case !quoted && c == '(':
			depth++
		case !quoted && depth > 0 && c == ')':
			depth--
		}
		b.WriteByte(c)
	}
	if quoted || depth > 0 {
		return "", fmt.Errorf("a quote or a bracket is not closed")
	}
	return b.String(), nil
}

// cutAddress takes the word around the first @ out of a text (handle_from in git's mailinfo.c).
func cutAddress(s string) (name, email string) {
	at := strings.IndexByte(s, '@')
	if at < 0 {
		return s, ""
	}
	const blanks = " \n\t\r\v\f"
	start, before := at, at
	for start > 0 && !strings.ContainsRune(blanks, rune(s[start-1])) {
		if before = start - 1; s[before] == '<' {
			break
		}
		start--
		before = start
	}
	end := len(s)
	after := end
	if i := strings.IndexAny(s[at:], blanks+">"); i >= 0 {
		end, after = at+i, at+i+1
	}
	name = strings.Join(strings.Fields(s[:before]+" "+s[after:]), " ")
	if strings.HasPrefix(name, "(") && strings.HasSuffix(name, ")") {
		name = name[1 : len(name)-1]
	}
	return name, s[start:end]
}
