package dashboard

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"postrider/internal/apikey"
	"postrider/internal/email"
	"postrider/internal/signin"
	"postrider/internal/store"
)

// A list that is read whole is shown in parts: each item once, and ways to and fro.
func TestPartsOfLists(t *testing.T) {
	h := newHouse(t)
	now := time.Now()
	for i := range partShown + 2 {
		_, hash := apikey.New(email.Live)
		err := h.store.Keys.Add(t.Context(), store.Key{
			ID: email.NewID(email.KeyPrefix), World: email.Live, Name: fmt.Sprintf("item%02d.", i), Prefix: "pr_test_x",
			Scopes: apikey.Scopes(), CreatedAt: now.Add(time.Duration(i) * time.Second),
		}, hash)
		if err == nil {
			err = h.store.Domains.Add(t.Context(), &store.Domain{ID: email.NewID(email.DomainPrefix), Name: fmt.Sprintf("item%02d.test", i), CreatedAt: now})
		}
		if err == nil {
			_, _, err = h.desk.Invite(t.Context(), "", fmt.Sprintf("item%02d.", i), signin.Draft{Role: store.RoleViewer})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/ui/keys", "/ui/domains", "/ui/users"} {
		seen := make(map[string]bool)
		first := body(t, h.ask(path, h.admin, nil), 200)
		next := regexp.MustCompile(`class="next" href="([^"]+)"`)
		way := next.FindStringSubmatch(first)
		if way == nil {
			t.Fatalf("%s leads no further", path)
		}
		last := body(t, h.ask(html.UnescapeString(way[1]), h.admin, nil), 200)
		if next.MatchString(last) || !regexp.MustCompile(`href="`+path+`">← The first`).MatchString(last) || strings.Contains(first, "← The first") {
			t.Errorf("%s: the last page leads further, or not back", path)
		}
		for _, page := range []string{first, last} {
			here := make(map[string]bool)
			for _, name := range regexp.MustCompile(`[^=](item\d\d\.)`).FindAllStringSubmatch(page, -1) {
				here[name[1]] = true
			}
			for name := range here {
				if seen[name] {
					t.Errorf("%s: %s is on both pages", path, name)
				}
				seen[name] = true
			}
		}
		if len(seen) != partShown+2 {
			t.Errorf("%s shows %d items", path, len(seen))
		}
		body(t, h.ask(path+"?from=gone", h.admin, nil), 422)
	}
}
