package domains

import (
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	const key = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"
	const spf = "v=spf1 include:_spf.rp.example.net ~all"
	for _, c := range []struct {
		name, purpose string
		found         []string
		status, hint  string
	}{
		{"as given", "dkim", []string{"v=DKIM1; k=rsa; p=" + key}, Verified, ""},
		{"other order", "dkim", []string{"v=DKIM1;p=" + key + ";k=rsa;"}, Verified, ""},
		{"version not first", "dkim", []string{"p=" + key + ";k=rsa;v=DKIM1;"}, Mismatch, "begin with v=DKIM1"},
		{"version in lower case", "dkim", []string{"v=dkim1; p=" + key}, Mismatch, "begin with v=DKIM1"},
		{"in testing", "dkim", []string{"v=DKIM1; t=y; p=" + key}, Verified, "t=y"},
		{"in testing, strict", "dkim", []string{"v=DKIM1; t=s:y; p=" + key}, Verified, "t=y"},
		{"strict", "dkim", []string{"v=DKIM1; t=s; p=" + key}, Verified, ""},
		{"spaces", "dkim", []string{" v = DKIM1 ;\tk=rsa; p=MIIBIjANBgkqhkiG9w 0BAQEFAAOCAQ8A "}, Verified, ""},
		{"no k, no v", "dkim", []string{"p=" + key}, Verified, ""},
		{"more tags", "dkim", []string{"v=DKIM1; h=sha1:sha256; s=email; t=s; n=hello; p=" + key}, Verified, ""},
		{"beside other text", "dkim", []string{"hello", "v=DKIM1; p=" + key}, Verified, ""},
		{"two keys", "dkim", []string{"v=DKIM1; p=" + key, "v=DKIM1; p=AAAA"}, Mismatch, "several keys"},
		{"other key", "dkim", []string{"v=DKIM1; k=rsa; p=AAAA"}, Mismatch, "another key"},
		{"key in lower case", "dkim", []string{"v=DKIM1; k=rsa; p=" + strings.ToLower(key)}, Mismatch, "another key"},
		{"cut off", "dkim", []string{"v=DKIM1; k=rsa; p=" + key[:20]}, Mismatch, "cut off after 20 of 32"},
		{"revoked", "dkim", []string{"v=DKIM1; k=rsa; p="}, Mismatch, "revoked"},
		{"no p", "dkim", []string{"v=DKIM1; k=rsa"}, Mismatch, "no p="},
		{"other algorithm", "dkim", []string{"v=DKIM1; k=ed25519; p=" + key}, Mismatch, "k=ed25519"},
		{"backslashes", "dkim", []string{`v=DKIM1\; k=rsa\; p=` + key}, Mismatch, "backslashes"},
		{"quotes", "dkim", []string{`"v=DKIM1; k=rsa; p=` + key + `"`}, Mismatch, "quotation marks"},
		{"version", "dkim", []string{"v=DKIM2; p=" + key}, Mismatch, "v=DKIM1"},
		{"only SHA-1", "dkim", []string{"v=DKIM1; h=sha1; p=" + key}, Mismatch, "sha256"},
		{"not for mail", "dkim", []string{"v=DKIM1; s=tlsrpt; p=" + key}, Mismatch, "email"},
		{"tag twice", "dkim", []string{"v=DKIM1; p=AAAA; p=" + key}, Mismatch, "list of tags"},
		{"other text", "dkim", []string{"hello"}, Mismatch, "list of tags"},
		{"nothing", "dkim", nil, Missing, ""},

		{"as given", "return_path_spf", []string{spf}, Verified, ""},
		{"upper case, more", "return_path_spf", []string{"google=x", "V=SPF1 a +include:_SPF.rp.example.net -all"}, Verified, ""},
		{"other include", "return_path_spf", []string{"v=spf1 include:_spf.google.com ~all"}, Mismatch, "add include:_spf.rp.example.net"},
		{"longer name", "return_path_spf", []string{"v=spf1 include:_spf.rp.example.net.evil ~all"}, Mismatch, "add"},
		{"after all", "return_path_spf", []string{"v=spf1 -all include:_spf.rp.example.net"}, Mismatch, "before its all"},
		{"negative", "return_path_spf", []string{"v=spf1 -include:_spf.rp.example.net ~all"}, Mismatch, "add"},
		{"more of SPF", "return_path_spf", []string{"v=spf1 ip4:192.0.2.0/24 ?include:x.test a:x.test/24 mx/24//64 exists:%{i}.x.test include:_spf.rp.example.net exp=e.test ra=x -all"}, Verified, ""},
		{"a term that is no SPF", "return_path_spf", []string{"v=spf1 include:_spf.rp.example.net bogus ~all"}, Mismatch, "bogus"},
		{"an address without its mechanism", "return_path_spf", []string{"v=spf1 192.0.2.1 include:_spf.rp.example.net ~all"}, Mismatch, "192.0.2.1"},
		{"a term that is no SPF behind all", "return_path_spf", []string{"v=spf1 include:_spf.rp.example.net ~all include"}, Mismatch, "include"},
		{"two records", "return_path_spf", []string{spf, "v=spf1 -all"}, Mismatch, "several"},
		{"other texts", "return_path_spf", []string{"hello", "v=spf10 x"}, Missing, ""},

		{"as given", "return_path_mx", []string{"10 mx.rp.example.net"}, Verified, ""},
		{"with a spare", "return_path_mx", []string{"5 mx.rp.example.net", "10 spare.example.net"}, Verified, ""},
		{"other host", "return_path_mx", []string{"10 mx.acme.com"}, Mismatch, "another host"},
		{"null MX", "return_path_mx", []string{"0 ."}, Mismatch, "another host"},
		{"not first", "return_path_mx", []string{"5 mx.acme.com", "10 mx.rp.example.net"}, Mismatch, "preferred"},
		{"equal", "return_path_mx", []string{"10 mx.acme.com", "10 mx.rp.example.net"}, Mismatch, "preferred"},

		{"as given", "dmarc", []string{"v=DMARC1; p=none"}, Verified, ""},
		{"stricter", "dmarc", []string{"v=DMARC1;p=reject; rua=mailto:x@acme.com"}, Verified, ""},
		{"spaces, capitals of the policy", "dmarc", []string{"v = DMARC1 ; p = None ;"}, Verified, ""},
		{"policy last", "dmarc", []string{"v=DMARC1; rua=mailto:x@acme.com; sp=reject; np=quarantine; p=none"}, Verified, ""},
		{"version in lower case", "dmarc", []string{"v=dmarc1; p=none"}, Mismatch, "v=DMARC1, in capitals"},
		{"version not first", "dmarc", []string{"p=none; v=DMARC1"}, Missing, ""},
		{"other version", "dmarc", []string{"v=DMARC10; p=none"}, Missing, ""},
		{"only a version", "dmarc", []string{"v=DMARC1"}, Mismatch, "no p="},
		{"no policy", "dmarc", []string{"v=DMARC1; rua=mailto:x@acme.com"}, Mismatch, "no p="},
		{"nonsense policy", "dmarc", []string{"v=DMARC1; p=nonsense"}, Mismatch, "p=nonsense"},
		{"nonsense policy for what is below", "dmarc", []string{"v=DMARC1; p=none; sp=off"}, Mismatch, "sp=off"},
		{"tag twice", "dmarc", []string{"v=DMARC1; p=none; p=reject"}, Mismatch, "list of tags"},
		{"quotes", "dmarc", []string{`"v=DMARC1; p=none"`}, Mismatch, "quotation marks"},
		{"backslashes", "dmarc", []string{`v=DMARC1\; p=none`}, Mismatch, "backslashes"},
		{"one good, one in lower case", "dmarc", []string{"v=DMARC1; p=none", "v=dmarc1; p=reject"}, Verified, ""},
		{"two", "dmarc", []string{"v=DMARC1; p=none", "v=DMARC1; p=reject"}, Mismatch, "several"},
		{"other text", "dmarc", []string{"v=spf1 -all"}, Missing, ""},
	} {
		t.Run(c.purpose+" "+c.name, func(t *testing.T) {
			want := map[string]string{"dkim": "v=DKIM1; k=rsa; p=" + key, "return_path_spf": spf, "return_path_mx": "mx.rp.example.net"}[c.purpose]
			status, hint := judge(&Record{Purpose: c.purpose, Value: want}, c.found)
			if status != c.status || !strings.Contains(hint, c.hint) || c.hint == "" && hint != "" {
				t.Errorf("%s, hint %q; want %s, %q", status, hint, c.status, c.hint)
			}
		})
	}
}

func FuzzJudge(f *testing.F) {
	for _, seed := range []string{"v=DKIM1; k=rsa; p=AAAA", "v=spf1 include:_spf.x ~all", "10 mx.x", "v=DMARC1; p=none", ";;=;", "p", "v=spf1", ""} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		for purpose, want := range map[string]string{
			"dkim": "v=DKIM1; k=rsa; p=AAAA", "return_path_spf": "v=spf1 include:_spf.x ~all", "return_path_mx": "mx.x", "dmarc": "v=DMARC1; p=none",
		} {
			status, hint := judge(&Record{Purpose: purpose, Value: want}, []string{one, two})
			if status != Verified && status != Missing && status != Mismatch {
				t.Fatalf("status %q", status)
			}
			for _, s := range append(show([]string{one, two}), hint) {
				if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) {
					t.Fatalf("not printable: %q", s)
				}
			}
			if purpose == "dkim" && status == Verified && !strings.Contains(one+two, "p") {
				t.Fatal("verified without a key")
			}
		}
	})
}
