package domains

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"postrider/smtpclient/dns"
)

// judge compares what stands at a record's name with what should. Of DKIM it
// compares what verifiers read, not the text: chunks, spaces and the order of tags
// do not matter.
func judge(r *Record, found []string) (status, hint string) {
	if len(found) == 0 {
		return Missing, ""
	}
	switch r.Purpose {
	case purposeDKIM:
		return judgeDKIM(r.Value, found)
	case purposeMX:
		return judgeMX(r.Value, found)
	case purposeSPF:
		return judgeSPF(r.Value, found)
	case purposeDMARC:
		return judgeDMARC(found)
	}
	return Mismatch, ""
}

func judgeDKIM(want string, found []string) (status, hint string) {
	keys := 0
	right, testing := false, ""
	for _, text := range found {
		fault := dkimFault(want, text)
		if fault == "" {
			right, testing = true, dkimTesting(text)
		}
		if fault != "" && hint == "" {
			hint = fault
		}
		if strings.Contains(text, "p=") {
			keys++
		}
	}
	switch {
	case right && keys == 1:
		return Verified, testing
	case right:
		// RFC 6376 3.6.2.2: what a verifier then does is undefined.
		return Mismatch, "several keys stand at this name: keep only the one shown here"
	}
	return Mismatch, hint
}

// dkimFault says what is wrong with a DKIM key record; empty: nothing.
func dkimFault(want, text string) string {
	if fault := escaped(text); fault != "" {
		return fault
	}
	wanted, _ := parseTags(want)
	tags, ok := parseTags(text)
	if !ok {
		return "the value is not a list of tags like the one shown here"
	}
	key, present := tags["p"]
	_, versioned := tags["v"]
	algorithm := tags["k"]
	if algorithm == "" {
		algorithm = algorithmRSA // RFC 6376 3.6.1: the default
	}
	switch {
	// RFC 6376 3.6.1: v= is DKIM1 exactly, and the first tag.
	case versioned && firstTag(text) != "v=DKIM1":
		return "the value must begin with v=DKIM1"
	case !present:
		return "the value has no p="
	case key == "":
		return "p= is empty, which means that the key is revoked"
	case algorithm != wanted["k"]:
		return fmt.Sprintf("the value says k=%.20s, not k=%s", printable(algorithm), wanted["k"])
	case key != wanted["p"] && strings.HasPrefix(wanted["p"], key):
		return fmt.Sprintf("p= was cut off after %d of %d characters: enter the value in the chunks shown here", len(key), len(wanted["p"]))
	case key != wanted["p"]:
		return "another key stands at this name"
	case tags["h"] != "" && !listed(tags["h"], "sha256"):
		return "h= does not allow sha256"
	case tags["s"] != "" && !listed(tags["s"], "*", "email"):
		return "s= does not allow email"
	}
	return ""
}

// dkimTesting is the hint for a key that is right but marked as a trial.
func dkimTesting(text string) string {
	tags, _ := parseTags(text)
	if !listed(tags["t"], "y") {
		return ""
	}
	// RFC 6376 3.6.1: verifiers must not treat such mail differently from unsigned mail.
	return "t=y says that the domain only tests DKIM, and verifiers may then treat mail as unsigned: remove it"
}

// escaped says what a form made of a value that was entered as in a zone file.
func escaped(text string) string {
	if strings.Contains(text, `\`) {
		return "the value has backslashes in it: enter it without them"
	}
	if strings.Contains(text, `"`) {
		return "the value has quotation marks in it: enter it without them, as one text"
	}
	return ""
}

// firstTag is the first tag of a list without its spaces.
func firstTag(text string) string {
	first, _, _ := strings.Cut(text, ";")
	return unspaced(first)
}

func unspaced(text string) string { return strings.Join(strings.Fields(text), "") }

// parseTags reads a tag list (RFC 6376 3.2) without its spaces, none of which
// matters in the tags of a key.
func parseTags(text string) (map[string]string, bool) {
	tags := map[string]string{}
	for spec := range strings.SplitSeq(text, ";") {
		spec = unspaced(spec)
		if spec == "" {
			continue
		}
		name, value, ok := strings.Cut(spec, "=")
		if _, twice := tags[name]; !ok || name == "" || twice {
			return nil, false
		}
		tags[name] = value
	}
	return tags, len(tags) > 0
}

// listed reports whether a colon-separated list has one of the words.
func listed(list string, words ...string) bool {
	return slices.ContainsFunc(strings.Split(list, ":"), func(s string) bool { return slices.Contains(words, s) })
}

func mxText(mx dns.MX) string { return strconv.Itoa(int(mx.Pref)) + " " + mx.Host }

// judgeMX wants our host to be preferred to all others: bounces go to the first
// that answers. found is sorted by preference.
func judgeMX(want string, found []string) (status, hint string) {
	ours, other := -1, -1
	for _, text := range found {
		pref, host, _ := strings.Cut(text, " ")
		n, _ := strconv.Atoi(pref)
		if host == want && (ours < 0 || n < ours) {
			ours = n
		}
		if host != want && (other < 0 || n < other) {
			other = n
		}
	}
	switch {
	case ours < 0:
		return Mismatch, "the MX names another host"
	case other >= 0 && other <= ours:
		return Mismatch, "another host is preferred, or equal: bounces would go there"
	}
	return Verified, ""
}

// judgeSPF wants exactly one SPF record with our include before its "all" (RFC
// 7208 4.5, 4.6.2). What else the record allows is the domain's own affair.
func judgeSPF(want string, found []string) (status, hint string) {
	include := strings.Fields(want)[1]
	records := ofVersion(found, "v=spf1")
	switch len(records) {
	case 0:
		return Missing, ""
	case 1:
	default:
		return Mismatch, "there are several SPF records, which makes all of them void: merge them into one"
	}
	terms := strings.Fields(strings.ToLower(records[0]))[1:]
	for _, term := range terms {
		if !spfTerm(term) {
			// RFC 7208 4.6: a syntax error anywhere makes the record void.
			return Mismatch, fmt.Sprintf("%.40s is no term of SPF, which makes the record void: correct or remove it", printable(term))
		}
	}
	for _, term := range terms {
		if strings.TrimPrefix(term, "+") == include {
			return Verified, ""
		}
		if strings.TrimLeft(term, "+-~?") == "all" {
			break
		}
	}
	return Mismatch, "add " + include + " to the record, before its all"
}

// spfTerm reports whether a term is a mechanism or a modifier by its name (RFC 7208
// 4.6.1, 12). Unknown modifiers are allowed, unknown mechanisms are not.
func spfTerm(term string) bool {
	end := strings.IndexAny(term, ":/=")
	if end > 0 && term[end] == '=' {
		return true
	}
	if term != "" && strings.IndexByte("+-~?", term[0]) >= 0 {
		term = term[1:]
	}
	end = strings.IndexAny(term, ":/")
	name, value := term, ""
	if end >= 0 {
		name, value = term[:end], term[end:]
	}
	switch name {
	case "all":
		return value == ""
	case "a", "mx", "ptr":
		return true
	case "include", "exists", "ip4", "ip6":
		return len(value) > 1 && value[0] == ':'
	}
	return false
}

// judgeDMARC wants exactly one policy that verifiers will apply, whichever (RFC 7489
// 6.3 and 6.6.3; RFC 9989, which obsoletes it, keeps these records valid).
func judgeDMARC(found []string) (status, hint string) {
	var records []string
	for _, text := range found {
		// Verifiers pass over what does not begin with the version, to the letter.
		switch first := firstTag(strings.Trim(text, `"`)); {
		case first == "v=DMARC1" || first == `v=DMARC1\`:
			records = append(records, text)
		case strings.EqualFold(first, "v=DMARC1"):
			hint = "the record must begin with v=DMARC1, in capitals"
		}
	}
	switch {
	case len(records) > 1:
		return Mismatch, "there are several DMARC records, which makes all of them void: keep one"
	case len(records) == 1:
		hint = dmarcFault(records[0])
	case hint == "":
		return Missing, ""
	}
	if hint != "" {
		return Mismatch, hint
	}
	return Verified, ""
}

// dmarcFault says what is wrong with a DMARC record; empty: nothing.
func dmarcFault(text string) string {
	if fault := escaped(text); fault != "" {
		return fault
	}
	tags, ok := parseTags(text)
	if !ok {
		return "the value is not a list of tags like the one shown here"
	}
	if _, present := tags["p"]; !present {
		return "the value has no p=: publish p=none, p=quarantine or p=reject"
	}
	for _, name := range []string{"p", "sp", "np"} {
		value, present := tags[name]
		if present && !slices.Contains([]string{"none", "quarantine", "reject"}, strings.ToLower(value)) {
			return fmt.Sprintf("%s=%.20s is no policy: it must be none, quarantine or reject", name, printable(value))
		}
	}
	return ""
}

// ofVersion picks the records that begin with a version, ended by the text's end or
// a space.
func ofVersion(found []string, version string) (records []string) {
	for _, text := range found {
		if len(text) < len(version) || !strings.EqualFold(text[:len(version)], version) {
			continue
		}
		if rest := text[len(version):]; rest == "" || rest[0] == ' ' {
			records = append(records, text)
		}
	}
	return records
}
