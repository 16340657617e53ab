package shape

import "testing"

// TestRules: a provider with a rule of its own earns more connections than the rest.
func TestRules(t *testing.T) {
	s := New(Options{Rules: map[string]int{"relay.example": 20, "narrow.example": 1}})
	for name, want := range map[string]int{"relay.example": 20, "narrow.example": 1, "mx.example": 10} {
		for range 500 {
			slot, later := s.Wait(t.Context(), name, "default", 0)
			if slot == nil {
				t.Fatalf("%s: no slot before %v", name, later)
			}
			slot.Release(Good)
		}
		held := 0
		for {
			slot, _ := s.Wait(t.Context(), name, "default", 0)
			if slot == nil {
				break
			}
			held++
			defer slot.Release(Good)
		}
		if held != want {
			t.Errorf("%s gives %d slots at once, want %d", name, held, want)
		}
	}
}
