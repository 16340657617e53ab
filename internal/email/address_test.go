package email

import (
	"errors"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// goodAddress is what one reads as.
type goodAddress struct{ name, in, email, display string }

// badAddress is what one is refused with.
type badAddress struct {
	name, in string
	want     error
}

func goodAddrSpecs() []goodAddress {
	local64 := strings.Repeat("l", 64)
	label63 := strings.Repeat("d", 63)
	// 64 + @ + 189 = 254.
	longest := local64 + "@" + label63 + "." + label63 + "." + strings.Repeat("d", 57) + ".org"
	return []goodAddress{
		{"plain", "ada@example.org", "ada@example.org", ""},
		{"spaces around", "  ada@example.org ", "ada@example.org", ""},
		{"domain lower-cased, local part kept", "Ada.Lovelace@EXAMPLE.Org", "Ada.Lovelace@example.org", ""},
		{"plus label", "ada+news@example.org", "ada+news@example.org", ""},
		{"every atext", "!#$%&'*+-/=?^_`{|}~@example.org", "!#$%&'*+-/=?^_`{|}~@example.org", ""},
		{"digits", "123@example.org", "123@example.org", ""},
		{"one octet", "a@b.cd", "a@b.cd", ""},
		{"percent hack is just a local part", "a%b.example@example.org", "a%b.example@example.org", ""},
		{"bang path is just a local part", "host!user@example.org", "host!user@example.org", ""},
		{"underscore in the local part", "a_b@example.org", "a_b@example.org", ""},
		{"local part of 64", local64 + "@example.org", local64 + "@example.org", ""},
		{"label of 63", "a@" + label63 + ".org", "a@" + label63 + ".org", ""},
		{"path of 254", longest, longest, ""},
		{"hyphens in a label", "a@b--c-d.example.org", "a@b--c-d.example.org", ""},
		{"digits in a label", "a@123.example.org", "a@123.example.org", ""},
		{"digits begin the last label", "a@example.4u", "a@example.4u", ""},
		{"needless quotes dropped", `"ada"@example.org`, "ada@example.org", ""},
		{"needless quotes dropped round a dot", `"ada.l"@example.org`, "ada.l@example.org", ""},
		{"needless backslash dropped", `"a\d\a"@example.org`, "ada@example.org", ""},
		{"quoted space", `"ada l"@example.org`, `"ada l"@example.org`, ""},
		{"quoted at", `"a@b"@example.org`, `"a@b"@example.org`, ""},
		{"quoted quote", `"a\"b"@example.org`, `"a\"b"@example.org`, ""},
		{"quoted backslash", `"a\\b"@example.org`, `"a\\b"@example.org`, ""},
		{"quoted two dots", `"a..b"@example.org`, `"a..b"@example.org`, ""},
		{"quoted specials", `"a(b),:;<>[]"@example.org`, `"a(b),:;<>[]"@example.org`, ""},
		{"quoted local part in brackets", `Ada <"a>b"@example.org>`, `"a>b"@example.org`, "Ada"},
	}
}

func goodNames() []goodAddress {
	return []goodAddress{
		{"brackets only", "<ada@example.org>", "ada@example.org", ""},
		{"name", "Ada <ada@example.org>", "ada@example.org", "Ada"},
		{"name without a space", "Ada<ada@example.org>", "ada@example.org", "Ada"},
		{"name of words", "Ada  King   Lovelace <ada@example.org>", "ada@example.org", "Ada King Lovelace"},
		{"name with a dot", "Ada K. Lovelace <ada@example.org>", "ada@example.org", "Ada K. Lovelace"},
		{"name with an apostrophe", "Flann O'Brien <f@example.org>", "f@example.org", "Flann O'Brien"},
		{"quoted name with a comma", `"Lovelace, Ada" <ada@example.org>`, "ada@example.org", "Lovelace, Ada"},
		{"quoted name with an at", `"ada@home" <ada@example.org>`, "ada@example.org", "ada@home"},
		{"quoted name with brackets", `"<x@y.z>" <ada@example.org>`, "ada@example.org", "<x@y.z>"},
		{"quoted name with quotes", `"the \"one\" \\" <ada@example.org>`, "ada@example.org", `the "one" \`},
		{"quoted name keeps spaces inside", `"a  b" <ada@example.org>`, "ada@example.org", "a  b"},
		{"quoted name loses spaces around", `"  a " <ada@example.org>`, "ada@example.org", "a"},
		{"empty quoted name", `"" <ada@example.org>`, "ada@example.org", ""},
		{"quoted and plain words", `Ada "K." Lovelace <ada@example.org>`, "ada@example.org", "Ada K. Lovelace"},
		{"name in UTF-8", "Zoë Ångström <z@example.org>", "z@example.org", "Zoë Ångström"},
		{"name in Japanese", "花子 <hanako@example.jp>", "hanako@example.jp", "花子"},
		{"name in Hebrew", "דנה <dana@example.org>", "dana@example.org", "דנה"},
		{"name of an emoji", "🚀 <r@example.org>", "r@example.org", "🚀"},
		{"name with a line separator", "a\u2028b <r@example.org>", "r@example.org", "a\u2028b"},
		{"encoded-word taken literally", "=?utf-8?q?x?= <a@example.org>", "a@example.org", "=?utf-8?q?x?="},
	}
}

func goodInternationalDomains() []goodAddress {
	return []goodAddress{
		{"international domain", "a@bücher.example", "a@xn--bcher-kva.example", ""},
		{"international domain in capitals", "a@BÜCHER.example", "a@xn--bcher-kva.example", ""},
		{"A-label", "a@XN--BCHER-KVA.example", "a@xn--bcher-kva.example", ""},
		{"international top level", "a@пример.рф", "a@xn--e1afmkfd.xn--p1ai", ""},
		{"Japanese domain", "a@例え.テスト", "a@xn--r8jz45g.xn--zckzah", ""},
		{"ideographic full stop", "a@例え。テスト", "a@xn--r8jz45g.xn--zckzah", ""},
		{"sharp s is kept", "a@faß.example", "a@xn--fa-hia.example", ""},
		{"full-width letters", "a@ｅｘａｍｐｌｅ.org", "a@example.org", ""},
		{"right-to-left domain", "a@דוגמה.example", "a@xn--6dbbec0c.example", ""},
	}
}

func TestParseAddressValid(t *testing.T) {
	for _, c := range slices.Concat(goodAddrSpecs(), goodNames(), goodInternationalDomains()) {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseAddress(c.in)
			if err != nil {
				t.Fatalf("ParseAddress(%q): %v", c.in, err)
			}
			want := Address{Email: c.email, Name: c.display}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("ParseAddress(%q) (-want +got):\n%s", c.in, d)
			}
			checkRoundTrip(t, got)
		})
	}
}

func badLocalParts() []badAddress {
	return []badAddress{
		{"empty", "", ErrMailbox},
		{"spaces", "   ", ErrMailbox},
		{"no at", "ada.example.org", ErrMailbox},
		{"nothing before the at", "@example.org", ErrMailbox},
		{"nothing after the at", "ada@", ErrMailbox},
		{"two ats", "a@b@example.org", ErrMailbox},
		{"dot first", ".a@example.org", ErrMailbox},
		{"dot last", "a.@example.org", ErrMailbox},
		{"two dots", "a..b@example.org", ErrMailbox},
		{"space in the local part", "a b@example.org", ErrMailbox},
		{"space round the at", "a @ example.org", ErrMailbox},
		{"obsolete spaces round dots", "a . b@example.org", ErrMailbox},
		{"empty quoted local part", `""@example.org`, ErrMailbox},
		{"quote not closed", `"a@example.org`, ErrMailbox},
		{"backslash last", `"a\`, ErrMailbox},
		{"text after a quoted local part", `"a"b@example.org`, ErrMailbox},
		{"space after a quoted local part", `"a@evil.example" @example.org`, ErrMailbox},
		{"obsolete mixed local part", `a."b"@example.org`, ErrMailbox},
		{"bare quote", `a"b@example.org`, ErrMailbox},
		{"bare backslash", `a\b@example.org`, ErrMailbox},
		{"local part of 65", strings.Repeat("l", 65) + "@example.org", ErrMailbox},
		{"path of 255", strings.Repeat("l", 64) + "@" + strings.Repeat(strings.Repeat("d", 61)+".", 3) + "orgs", ErrMailbox},
		{"label of 64", "a@" + strings.Repeat("d", 64) + ".org", ErrMailbox},
		{"longer than the pre-check", strings.Repeat("n", 999) + " <a@example.org>", ErrMailbox},
	}
}

func badDomains() []badAddress {
	return []badAddress{
		{"single label", "root@localhost", ErrMailbox},
		{"IPv4 address", "a@192.0.2.1", ErrMailbox},
		{"numeric last label", "a@example.123", ErrMailbox},
		{"domain literal", "a@[192.0.2.1]", ErrMailbox},
		{"IPv6 literal", "a@[IPv6:2001:db8::1]", ErrMailbox},
		{"dot first in the domain", "a@.example.org", ErrMailbox},
		{"dot last in the domain", "a@example.org.", ErrMailbox},
		{"ideographic dot last", "a@例え.テスト。", ErrMailbox},
		{"two dots in the domain", "a@example..org", ErrMailbox},
		{"hyphen first", "a@-example.org", ErrMailbox},
		{"hyphen last", "a@example-.org", ErrMailbox},
		{"underscore in the domain", "a@_dmarc.example.org", ErrMailbox},
		{"underscore in an international domain", "a@b_ü.example.org", ErrMailbox},
		{"quoted domain", `a@"example.org"`, ErrMailbox},
		{"space in the domain", "a@exam ple.org", ErrMailbox},
		{"slash in the domain", "a@example.org/x", ErrMailbox},
		{"full-width at in the domain", "a@example.org＠evil.example", ErrMailbox},
		{"bad A-label", "a@xn--\x61\x61\x61\x61\x61\x61.example", ErrMailbox},
		{"A-label of ASCII", "a@xn--example-.org", ErrMailbox},
		{"joiner without a reason", "a@b\u200dc.example", ErrMailbox},
		{"mixed direction in a label", "a@אa1.example", ErrMailbox},
	}
}

func badForms() []badAddress {
	return []badAddress{
		{"comment after", "a@example.org (Ada)", ErrMailbox},
		{"comment before", "(Ada) a@example.org", ErrMailbox},
		{"comment inside", "a(x)@example.org", ErrMailbox},
		{"comment in the name", "Ada (x) <a@example.org>", ErrMailbox},
		{"two mailboxes", "a@example.org, b@example.org", ErrMailbox},
		{"two mailboxes by semicolon", "a@example.org; b@example.org", ErrMailbox},
		{"two mailboxes in brackets", "<a@example.org>, <b@example.org>", ErrMailbox},
		{"two brackets", "<a@example.org> <b@example.org>", ErrMailbox},
		{"group", "team: a@example.org;", ErrMailbox},
		{"empty group", "undisclosed-recipients:;", ErrMailbox},
		{"source route", "<@hop.example:a@example.org>", ErrMailbox},
		{"route without brackets", "@hop.example:a@example.org", ErrMailbox},
		{"unquoted comma in the name", "Lovelace, Ada <a@example.org>", ErrMailbox},
		{"unquoted at in the name", "a@b.example <c@example.org>", ErrMailbox},
		{"words that touch", `Ada"L" <a@example.org>`, ErrMailbox},
		{"name quote not closed", `"Ada <a@example.org>`, ErrMailbox},
		{"bracket not closed", "Ada <a@example.org", ErrMailbox},
		{"bracket not opened", "Ada a@example.org>", ErrMailbox},
		{"empty brackets", "Ada <>", ErrMailbox},
		{"spaces in the brackets", "Ada < a@example.org >", ErrMailbox},
		{"nested brackets", "<<a@example.org>>", ErrMailbox},
		{"text after the brackets", "<a@example.org> Ada", ErrMailbox},
		{"name only", "Ada", ErrMailbox},
		{"mailto", "mailto:a@example.org", ErrMailbox},
	}
}

func badCharacters() []badAddress {
	return []badAddress{
		{"CR", "a@example.org\r", ErrMailbox},
		{"LF", "Ada\n <a@example.org>", ErrMailbox},
		{"CRLF and a header", "a@example.org\r\nBcc: b@example.org", ErrMailbox},
		{"NUL", "a\x00@example.org", ErrMailbox},
		{"tab", "Ada\t<a@example.org>", ErrMailbox},
		{"delete", "a\x7f@example.org", ErrMailbox},
		{"next line", "Ada\u0085 <a@example.org>", ErrMailbox},
		{"quoted CRLF", "\"a\\\r\nb\"@example.org", ErrMailbox},
		{"not UTF-8", "\xff <a@example.org>", ErrMailbox},
		{"right-to-left override in the name", "Ada \u202eadA <a@example.org>", ErrMailbox},
		{"isolate in the name", "Ada \u2066 <a@example.org>", ErrMailbox},
		{"name of 321", strings.Repeat("n", 321) + " <a@example.org>", ErrDisplayName},
		{"UTF-8 local part", "zoë@example.org", ErrSMTPUTF8},
		{"UTF-8 quoted local part", `"zoë x"@example.org`, ErrSMTPUTF8},
		{"UTF-8 all over", "花子 <花子@例え.テスト>", ErrSMTPUTF8},
		{"UTF-8 local part and a bad domain", "zoë@localhost", ErrMailbox},
	}
}

func TestParseAddressInvalid(t *testing.T) {
	for _, c := range slices.Concat(badLocalParts(), badDomains(), badForms(), badCharacters()) {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseAddress(c.in)
			if !errors.Is(err, c.want) {
				t.Fatalf("ParseAddress(%q) = %+v, %v, want %v", c.in, got, err, c.want)
			}
			if got != (Address{}) {
				t.Errorf("ParseAddress(%q) gave %+v beside an error", c.in, got)
			}
		})
	}
}

func TestNewAddress(t *testing.T) {
	cases := []struct {
		name, spec, display string
		want                Address
		err                 error
	}{
		{"both", "a@Example.org", "Ada", Address{"a@example.org", "Ada"}, nil},
		{"no name", "a@example.org", "", Address{"a@example.org", ""}, nil},
		{"name with specials", "a@example.org", `L, A <x@y> "z" \`, Address{"a@example.org", `L, A <x@y> "z" \`}, nil},
		{"spaces round the name", "a@example.org", "  Ada ", Address{"a@example.org", "Ada"}, nil},
		{"name of 320", "a@example.org", strings.Repeat("\\", 320), Address{"a@example.org", strings.Repeat("\\", 320)}, nil},
		{"name of 320 characters", "a@example.org", strings.Repeat("名", 320), Address{"a@example.org", strings.Repeat("名", 320)}, nil},
		{"name of 321", "a@example.org", strings.Repeat("n", 321), Address{}, ErrDisplayName},
		{"name of 321 is too long", "a@example.org", strings.Repeat("n", 321), Address{}, ErrTooLong},
		{"name of 321 characters", "a@example.org", strings.Repeat("🚀", 321), Address{}, ErrTooLong},
		{"line break in the name", "a@example.org", "a\r\nb", Address{}, ErrDisplayName},
		{"NUL in the name", "a@example.org", "a\x00b", Address{}, ErrDisplayName},
		{"bidi in the name", "a@example.org", "a\u2069b", Address{}, ErrDisplayName},
		{"not UTF-8", "a@example.org", "a\xffb", Address{}, ErrDisplayName},
		{"no address", "", "Ada", Address{}, ErrMailbox},
		{"mailbox as the address", "Ada <a@example.org>", "", Address{}, ErrMailbox},
		{"brackets round the address", "<a@example.org>", "", Address{}, ErrMailbox},
		{"space round the address", " a@example.org", "", Address{}, ErrMailbox},
		{"line break in the address", "a@example.org\r\n", "", Address{}, ErrMailbox},
		{"UTF-8 local part", "ä@example.org", "", Address{}, ErrSMTPUTF8},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := NewAddress(c.spec, c.display)
			if !errors.Is(err, c.err) || got != c.want {
				t.Fatalf("NewAddress(%q, %q) = %+v, %v, want %+v, %v", c.spec, c.display, got, err, c.want, c.err)
			}
			if err == nil {
				checkRoundTrip(t, got)
			}
		})
	}
}

func TestAddressParts(t *testing.T) {
	cases := []struct{ email, local, domain, normalized string }{
		{"Ada@example.org", "Ada", "example.org", "ada@example.org"},
		{`"A@b"@example.org`, `"A@b"`, "example.org", `"a@b"@example.org`},
		{"", "", "", ""},
	}
	for _, c := range cases {
		a := Address{Email: c.email}
		if a.LocalPart() != c.local || a.Domain() != c.domain || a.Normalized() != c.normalized {
			t.Errorf("%q: %q, %q, %q", c.email, a.LocalPart(), a.Domain(), a.Normalized())
		}
	}
}

// An error is shown to callers and logged: it must not carry the address along.
func TestAddressErrorsDoNotEcho(t *testing.T) {
	for _, in := range []string{"sekret", "sekret@", "sekret@localhost", "sekret@sek_ret.org", "sekret, x <sekret@sekret.org>", "sekrét@sekret.org"} {
		_, err := ParseAddress(in)
		if err == nil || strings.Contains(err.Error(), "sek") {
			t.Errorf("ParseAddress(%q): %v", in, err)
		}
	}
}

func TestParseAddressIsLinear(t *testing.T) {
	for name, in := range map[string]string{
		"parentheses": strings.Repeat("(", 1_000_000),
		"quotes":      strings.Repeat(`"`, 1_000_000),
		"brackets":    strings.Repeat("<", 1_000_000) + ">",
		"dots":        "a@" + strings.Repeat(".", 1_000_000),
		"labels":      "a@" + strings.Repeat("ü.", 500_000),
	} {
		// The best of several runs: a busy machine makes one slow, not all.
		best := time.Hour
		for range 20 {
			start := time.Now()
			if _, err := ParseAddress(in); err == nil {
				t.Fatalf("%s: accepted", name)
			}
			best = min(best, time.Since(start))
		}
		if best > time.Millisecond {
			t.Errorf("%s: a million took %v", name, best)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{
		"ada@example.org", "Ada <ada@example.org>", `"a, b" <"c d"@bücher.example>`, `"a@evil" @good.org`, "x: y@z.org;",
		"a@xn--bcher-kva.example", "=?utf-8?q?x?= <a@b.cd>", "(c) a@b.cd", "<@h:a@b.cd>", "a@例え。テスト", "J. D. <j@d.example>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			if !errors.Is(err, ErrMailbox) && !errors.Is(err, ErrDisplayName) && !errors.Is(err, ErrSMTPUTF8) {
				t.Fatalf("%q: error of no kind: %v", s, err)
			}
			return
		}
		if strings.ContainsAny(a.Email+a.Name, "\r\n\x00") || !utf8.ValidString(a.Name) || !isASCII(a.Email) {
			t.Fatalf("%q: %+v", s, a)
		}
		if len(a.LocalPart()) > 64 || len(a.Domain()) > 253 || len(a.Email) > 254 {
			t.Fatalf("%q: too long: %+v", s, a)
		}
		checkRoundTrip(t, a)
	})
}

// checkRoundTrip formats a and reads it again, with this parser and with another.
func checkRoundTrip(t *testing.T, a Address) {
	t.Helper()
	again, err := ParseAddress(a.String())
	if err != nil || again != a {
		t.Fatalf("%+v formatted as %q reads as %+v, %v", a, a.String(), again, err)
	}
	apart, err := NewAddress(a.Email, a.Name)
	if err != nil || apart != a {
		t.Fatalf("%+v taken apart reads as %+v, %v", a, apart, err)
	}
	other, err := mail.ParseAddress(a.String())
	if err != nil {
		t.Fatalf("net/mail on %q: %v", a.String(), err)
	}
	if !strings.HasPrefix(a.Email, `"`) && other.Address != a.Email {
		t.Fatalf("net/mail reads %q as %q", a.String(), other.Address)
	}
}
