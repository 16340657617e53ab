package signin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		registry := prometheus.NewRegistry()
		f.Metrics = NewMetrics(registry)
		f.administrator()
		for _, password := range []string{good, other, good} {
			_, _ = f.SignIn(t.Context(), "ada", password, net1())
		}
		for range 12 {
			_, _ = f.SignIn(t.Context(), "nobody", other, net1())
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := f.SignIn(ctx, "ada", good, net1()); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		want := "# HELP postrider_sign_ins_total Tries to sign in to the dashboard with a password, by what came of them.\n# TYPE postrider_sign_ins_total counter\n"
		for _, c := range []struct {
			result string
			n      int
		}{{"busy", 0}, {"failed", 1}, {"succeeded", 2}, {"throttled", 2}, {"wrong", 11}} {
			want += fmt.Sprintf("postrider_sign_ins_total{result=%q} %d\n", c.result, c.n)
		}
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	})
}
