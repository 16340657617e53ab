package signin

import (
	"strings"
	"testing"
	"time"
)

func TestGuessable(t *testing.T) {
	for _, bad := range []string{
		"password1234", "Password1234!", "P@ssw0rd!P@ssw0rd!", "p.a.s.s.w.o.r.d", "passwordpassword", "thisismypassword", "password-2024!",
		"Postrider2026", "ilovepostrider", "postrider-mail-admin", "administrator", "changeme1234", "letmeinletmein", "welcome12345",
		"123456789012", "987654321098", "111111222222", "abcdefghijkl", "aaaabbbbcccc", "qwertyuiop12", "1qaz2wsx3edc", "q1w2e3r4t5y6",
		"qazwsxedcrfv", "zxcvbnm,./12", "!@#$%^&*()_+", "poiuytrewq12", "qwertzuiop12", "azertyuiop12", "Summer2024!!", "januar2024januar",
		"iloveyou1234", "trustno1trustno1", "football2024", "dragondragon12", "monkeymonkey", "charlie12345", "correcthorsebatterystaple",
		"ada.lovelace", "AdaLovelace1", "lovelace2026", "4d4-l0v3l4c3", "ada lovelace 1915", "xkqpxkqpxkqp", "xkq1xkq1xkq1xkq1",
		strings.Repeat("password", 128),
	} {
		if err := check("ada.lovelace", bad); !isRefused(err) {
			t.Errorf("%.30q is taken", bad)
		} else if !strings.Contains(err.Error(), "first that are tried") {
			t.Errorf("%.30q: %v", bad, err)
		}
	}
	for _, fine := range []string{
		good, other, "another good password", "something else again", "correct horse battery", "caf\u00e9 on the corner", "mein sch\u00f6ner garten",
		"Xk3!vT9#qLm2", "xkqpwvmzrhtb", "`&?%{\"(;]+/~)", "814263957061", "my dog eats postriders", "\u043a\u043e\u0448\u043a\u0430 \u043d\u0430 \u043a\u0440\u044b\u0448\u0435",
		strings.Repeat("seven blue lanterns ", 50) + "a", "tqpzrmvcxwhk1234567890",
	} {
		if err := check("ada.lovelace", fine); err != nil {
			t.Errorf("%.30q: %v", fine, err)
		}
	}
	// Nobody keeps the process busy with a password.
	begun := time.Now()
	for _, long := range []string{strings.Repeat("a", maxPassword), strings.Repeat("ab", maxPassword/2), strings.Repeat("1q2w", maxPassword/4)} {
		guessable(strings.Repeat("a", maxName), long)
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("three long passwords took %v", took)
	}
}
