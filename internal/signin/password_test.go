package signin

import (
	"errors"
	"strings"
	"testing"
)

// The letters of a password may be written in other ways; all of it counts.
func TestPasswordForms(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, long := t.Context(), strings.Repeat("seven blue lanterns ", 50)
		token := f.administrator()
		for _, c := range []struct{ set, enter string }{
			{"caf\u00e9 on the corner", "cafe\u0301 on the corner"}, {long + "a", long + "a"},
		} {
			next, err := f.ChangePassword(ctx, f.who(token), f.password(c.set), c.set, net1())
			if err != nil {
				t.Fatal(err)
			}
			token = next
			if _, err := f.SignIn(ctx, "ada", c.enter, net1()); err != nil {
				t.Errorf("%.30q: %v", c.enter, err)
			}
		}
		if _, err := f.SignIn(ctx, "ada", long+"b", net1()); !errors.Is(err, ErrWrong) {
			t.Errorf("the last of 1001 octets does not count: %v", err)
		}
	})
}

// password is ada's before the one that is set now, in TestPasswordForms.
func (f *fixture) password(set string) string {
	if strings.HasPrefix(set, "caf") {
		return good
	}
	return "caf\u00e9 on the corner"
}

func TestPasswordsThatAreRefused(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		link, err := f.First(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"", "short", "elevenchars", "äöüäöüäöü", "aaaaaaaaaaaaaaaa", "ababababababab", "tab\tand\nline\x00x", strings.Repeat("abcdef", 200), "the-name-of-ada", "\xff\xfe\xff\xfe\xff\xfe\xff\xfe\xff\xfe\xff\xfeabcd"} {
			if _, err := f.Redeem(t.Context(), link, "the-name-of-ada", bad, net1()); !isRefused(err) {
				t.Errorf("%.20q: %v", bad, err)
			}
		}
		for _, bad := range []string{"", " ", "a b", "a\nb", "<script>\x00", strings.Repeat("a", 65), "\xff"} {
			if _, err := f.Redeem(t.Context(), link, bad, good, net1()); !isRefused(err) {
				t.Errorf("name %.20q: %v", bad, err)
			}
		}
		if _, err := f.Redeem(t.Context(), link, "ada", good, net1()); err != nil {
			t.Errorf("after what was refused the link is over: %v", err)
		}
	})
}
