package cldr_test

import (
	"strings"
	"testing"
	"time"

	"postrider/templates/cldr"
)

func find(t *testing.T, tag string) *cldr.Locale {
	t.Helper()
	l, ok := cldr.Find(tag)
	if !ok {
		t.Fatalf("no locale for %q", tag)
	}
	return l
}

// spaces makes the kinds of space visible in a table.
func spaces(s string) string {
	return strings.NewReplacer("\u00a0", "_", "\u202f", "~", "\u200e", "", "\u200f", "").Replace(s)
}

func TestNumbersAndMoney(t *testing.T) {
	for _, c := range []struct{ locale, decimal, number, code, money string }{
		{"en", "1234567.50", "1,234,567.50", "USD", "$1,234,567.50"},
		{"en", "-5.00", "-5.00", "EUR", "-€5.00"},
		{"en", "12.00", "12.00", "CHF", "CHF_12.00"},
		{"en-IN", "12345678", "1,23,45,678", "INR", "₹1,23,45,678"},
		{"de", "1234.50", "1.234,50", "EUR", "1.234,50_€"},
		{"de-AT", "-1234.50", "-1_234,50", "EUR", "-€_1.234,50"},
		{"de-CH", "1234.50", "1'234.50", "CHF", "CHF_1'234.50"},
		{"fr", "1234567.5", "1~234~567,5", "EUR", "1~234~567,5_€"},
		{"es", "1234", "1234", "EUR", "1234_€"},
		{"es", "12345", "12.345", "EUR", "12.345_€"},
		{"pt_BR", "9.90", "9,90", "BRL", "R$_9,90"},
		{"ja", "1200", "1,200", "JPY", "￥1,200"},
		{"mr", "1234", "१,२३४", "INR", "₹१,२३४"},
		{"no", "-3", "−3", "NOK", "−3_kr"},
	} {
		l := find(t, c.locale)
		if got := spaces(string(l.AppendNumber(nil, c.decimal))); got != c.number {
			t.Errorf("%s: number %s is %q, want %q", c.locale, c.decimal, got, c.number)
		}
		if got := spaces(string(l.AppendMoney(nil, c.decimal, c.code))); got != c.money {
			t.Errorf("%s: %s of %s is %q, want %q", c.locale, c.decimal, c.code, got, c.money)
		}
	}
}

func TestDates(t *testing.T) {
	at := time.Date(2026, 1, 7, 15, 4, 5, 0, time.UTC)
	for _, c := range []struct{ locale, full, short, both string }{
		{"en", "Wednesday, January 7, 2026", "1/7/26", "January 7, 2026 at 3:04~PM"},
		{"en-GB", "Wednesday, 7 January 2026", "07/01/2026", "7 January 2026 at 15:04"},
		{"de", "Mittwoch, 7. Januar 2026", "07.01.26", "7. Januar 2026 um 15:04"},
		{"de-AT", "Mittwoch, 7. Jänner 2026", "07.01.26", "7. Jänner 2026 um 15:04"},
		{"ja", "2026年1月7日水曜日", "2026/01/07", "2026年1月7日 15:04"},
		{"pl", "środa, 7 stycznia 2026", "7.01.2026", "7 stycznia 2026 15:04"},
		{"zh-TW", "2026年1月7日 星期三", "2026/1/7", "2026年1月7日 下午3:04"},
	} {
		l := find(t, c.locale)
		for pattern, want := range map[string]string{
			l.DatePattern(cldr.Full): c.full, l.DatePattern(cldr.Short): c.short, l.DateTimePattern(cldr.Long): c.both,
		} {
			if got := spaces(string(l.AppendDate(nil, at, pattern))); got != want {
				t.Errorf("%s: %q gives %q, want %q", c.locale, pattern, got, want)
			}
		}
	}
}

func TestPatternLetters(t *testing.T) {
	at := time.Date(2026, 12, 3, 0, 4, 5, 67e6, time.FixedZone("CET", 3600))
	l := find(t, "en")
	for pattern, want := range map[string]string{
		"yyyy yy y": "2026 26 2026", "MM M MMM LLLL": "12 12 Dec December", "dd d": "03 3", "EEEE E": "Thursday Thu",
		"HH H hh h KK kk": "00 0 12 12 00 24", "mm:ss.SSS": "04:05.067", "z xxx xx": "CET +01:00 +0100",
		"a": "AM", "'o''clock' h": "o'clock 12", "'open": "open", "Q": "Q",
	} {
		if got := string(l.AppendDate(nil, at, pattern)); got != want {
			t.Errorf("%q gives %q, want %q", pattern, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	for tag, want := range map[string]string{
		"de-DE": "de", "DE_at": "de-AT", "pt-AO": "pt-PT", "zh-HK": "zh-Hant-HK", "sr-latn-rs": "sr-Latn", "iw": "he", "in-ID": "id", "tl": "fil",
	} {
		if got := find(t, tag).Tag; got != want {
			t.Errorf("%s finds %s, want %s", tag, got, want)
		}
	}
	for _, tag := range []string{"", "xx", "d", "currencies", "#", "de\t", strings.Repeat("de-", 50)} {
		if l, ok := cldr.Find(tag); ok {
			t.Errorf("%q finds %s", tag, l.Tag)
		}
	}
}

func TestDecimals(t *testing.T) {
	for code, want := range map[string]int{"USD": 2, "JPY": 0, "KWD": 3, "eur": -1, "XXX": -1, "": -1, "2 A": -1, "DEM": -1} {
		n, ok := cldr.Decimals(code)
		if !ok {
			n = -1
		}
		if n != want {
			t.Errorf("%q has %d decimals, want %d", code, n, want)
		}
	}
}
