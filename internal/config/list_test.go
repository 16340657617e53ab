package config

import "testing"

func TestListHidesSecrets(t *testing.T) {
	c := Config{
		RedisURL: "redis://:secret1@host/0", SecretKey: "secret2", Routes: []string{"acme.com=smtp://u:secret3@relay"}, Concurrency: 7,
	}
	values := make(map[string]string)
	for _, o := range c.List() {
		if o.Help == "" {
			t.Errorf("%s has no help", o.Name)
		}
		values[o.Name] = o.Value
	}
	for name, want := range map[string]string{
		"POSTRIDER_REDIS_URL": "redis://:xxxxx@host/0", "POSTRIDER_SECRET_KEY": hidden, "POSTRIDER_ROUTES": "acme.com=smtp://u:xxxxx@relay",
		"POSTRIDER_CONCURRENCY": "7", "POSTRIDER_RELAY": "",
	} {
		if values[name] != want {
			t.Errorf("%s is %q, want %q", name, values[name], want)
		}
	}
	if _, ok := values["POSTRIDER_CONFIG"]; ok {
		t.Error("the file is no option")
	}
}
