package email

import "testing"

func TestIsBlank(t *testing.T) {
	for _, r := range " \t\r\n\x00\u0085\u00a0\u00ad\u200b\u200d\u200e\u202e\u2028\u2060\u3000\ufe0f\ufeff\u3164\u2800\U000e0001\U000e0100" {
		if !IsBlank(r) {
			t.Errorf("%U leaves a mark", r)
		}
	}
	for _, r := range "a0.;_é名🚀\u0301\ufffd" {
		if IsBlank(r) {
			t.Errorf("%U leaves none", r)
		}
	}
}
