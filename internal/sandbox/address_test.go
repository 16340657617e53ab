package sandbox

import (
	"strings"
	"testing"
)

func TestSimulator(t *testing.T) {
	tests := []struct {
		address string
		is      bool
		fault   string // part of the error; empty: none
	}{
		{"delivered@sandbox.test", true, ""},
		{"Delivered+any.label@SANDBOX.test", true, ""},
		{"soft-bounced@sandbox.test", true, ""},
		{"failed@sandbox.test", true, ""},
		{"slow-60@sandbox.test", true, ""},
		{"smtp-421@sandbox.test", true, ""},
		{"smtp-550-5.7.26@sandbox.test", true, ""},
		{"smtp-599-5.999.999+x@sandbox.test", true, ""},
		{"slow-61@sandbox.test", true, "0 to 60"},
		{"slow--1@sandbox.test", true, "0 to 60"},
		{"slow-@sandbox.test", true, "0 to 60"},
		{"smtp-250@sandbox.test", true, "400 to 599"},
		{"smtp-600@sandbox.test", true, "400 to 599"},
		{"smtp-0550@sandbox.test", true, "400 to 599"},
		{"smtp-@sandbox.test", true, "400 to 599"},
		{"smtp-550-4.7.1@sandbox.test", true, "enhanced code"},
		{"smtp-550-5.7@sandbox.test", true, "enhanced code"},
		{"smtp-550-5.07.1@sandbox.test", true, "enhanced code"},
		{"smtp-550-5.1000.1@sandbox.test", true, "enhanced code"},
		{"smtp-550-@sandbox.test", true, "enhanced code"},
		{"late-bounced@sandbox.test", true, "not available yet"},
		{"complained+x@sandbox.test", true, "not available yet"},
		{"unsubscribed@sandbox.test", true, "not available yet"},
		{"suppressed@sandbox.test", true, ""},
		{"typo@sandbox.test", true, "soft-bounced@"},
		{"@sandbox.test", true, "delivered@"},
		{"delivered@sandbox.test.example.com", false, ""},
		{"delivered@x.sandbox.test", false, ""},
		{"sandbox.test", false, ""},
		{"", false, ""},
	}
	for _, test := range tests {
		t.Run(test.address, func(t *testing.T) {
			is, err := Simulator(test.address)
			if is != test.is {
				t.Errorf("is %v, want %v", is, test.is)
			}
			if (err != nil) != (test.fault != "") {
				t.Fatalf("error %v, want %q", err, test.fault)
			}
			if err != nil && !strings.Contains(err.Error(), test.fault) {
				t.Errorf("error %q lacks %q", err, test.fault)
			}
		})
	}
}

func TestAddressesAreSimulators(t *testing.T) {
	for _, a := range Addresses() {
		if is, err := Simulator(a.Address); !is || err != nil {
			t.Errorf("%s: %v, %v", a.Address, is, err)
		}
	}
}

func FuzzSimulator(f *testing.F) {
	for _, seed := range []string{"delivered@sandbox.test", "smtp-550-5.7.26+x@sandbox.test", "slow-60@sandbox.test", "smtp-999999999999@sandbox.test", "a@b", "@"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		is, err := Simulator(address)
		if !is || err != nil {
			return
		}
		s, err := scriptOf(address)
		if err != nil {
			t.Fatalf("%q is a simulator without a script: %v", address, err)
		}
		for _, r := range s.refusals {
			if r.Code < 400 || r.Code > 599 || r.EnhancedCode[0] != -1 && r.EnhancedCode[0] != r.Code/100 {
				t.Errorf("%q replies %d %v", address, r.Code, r.EnhancedCode)
			}
		}
	})
}
