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
	right := false
	for _, text := range found {
		fault := dkimFault(want, text)
		right = right || fault == ""
		if fault != "" && hint == "" {
			hint = fault
		}
		if strings.Contains(text, "p=") {
			keys++
		}
	}
	switch {
	case right && keys == 1:
		return Verified, ""
	case right:
		// RFC 6376 3.6.2.2: what a verifier then does is undefined.
		return Mismatch, "several keys stand at this name: keep only the one shown here"
	}
	return Mismatch, hint
}

// dkimFault says what is wrong with a DKIM key record; empty: nothing.
func dkimFault(want, text string) string {
	if strings.Contains(text, `\`) {
		return "the value has backslashes in it: enter it without them"
	}
	if strings.Contains(text, `"`) {
		return "the value has quotation marks in it: enter it without them, as one text"
	}
	wanted, _ := parseTags(want)
	tags, ok := parseTags(text)
	if !ok {
		return "the value is not a list of tags like the one shown here"
	}
	key, present := tags["p"]
	version, versioned := tags["v"]
	algorithm := tags["k"]
	if algorithm == "" {
		algorithm = algorithmRSA // RFC 6376 3.6.1: the default
	}
	switch {
	case versioned && version != "DKIM1":
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

// parseTags reads a tag list (RFC 6376 3.2) without its spaces, none of which
// matters in the tags of a key.
func parseTags(text string) (map[string]string, bool) {
	tags := map[string]string{}
	for spec := range strings.SplitSeq(text, ";") {
		spec = strings.Map(func(r rune) rune {
			if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
				return -1
			}
			return r
		}, spec)
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
	records := ofVersion(found, "v=spf1", ' ')
	switch len(records) {
	case 0:
		return Missing, ""
	case 1:
	default:
		return Mismatch, "there are several SPF records, which makes all of them void: merge them into one"
	}
	for _, term := range strings.Fields(strings.ToLower(records[0]))[1:] {
		if strings.TrimPrefix(term, "+") == include {
			return Verified, ""
		}
		if strings.TrimLeft(term, "+-~?") == "all" {
			break
		}
	}
	return Mismatch, "add " + include + " to the record, before its all"
}

// judgeDMARC wants exactly one policy, whichever (RFC 7489 6.6.3).
func judgeDMARC(found []string) (status, hint string) {
	switch len(ofVersion(found, "v=dmarc1", ';')) {
	case 0:
		return Missing, ""
	case 1:
		return Verified, ""
	}
	return Mismatch, "there are several DMARC records, which makes all of them void: keep one"
}

// ofVersion picks the records that begin with a version, ended by the text's end,
// a space, or the separator.
func ofVersion(found []string, version string, separator byte) (records []string) {
	for _, text := range found {
		if len(text) < len(version) || !strings.EqualFold(text[:len(version)], version) {
			continue
		}
		if rest := text[len(version):]; rest == "" || rest[0] == ' ' || rest[0] == separator {
			records = append(records, text)
		}
	}
	return records
}
