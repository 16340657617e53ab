package config

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// hidden stands for a secret.
const hidden = "xxxxx"

// Print writes the options as they are in force, in the form of a configuration
// file, each with where its value comes from: flag, environment, file or default.
// Secrets are hidden, also the passwords inside URLs. The file is the one that the
// command line was parsed with.
func (f *File) Print(w io.Writer, command *kong.Context) error {
	onCommandLine := make(map[*kong.Flag]bool)
	for _, p := range command.Path {
		if p.Flag != nil && !p.Resolved {
			onCommandLine[p.Flag] = true
		}
	}
	if f.path != "" {
		if _, err := fmt.Fprintf(w, "# file: %s\n", f.path); err != nil {
			return fmt.Errorf("print the configuration: %w", err)
		}
	}
	for _, flag := range command.Flags() {
		if len(flag.Envs) == 0 || flag.Name == "config" {
			continue
		}
		name := strings.ToLower(strings.TrimPrefix(flag.Envs[0], EnvPrefix))
		line := name + ": " + printable(flag)
		if _, err := fmt.Fprintf(w, "%-60s # %s\n", line, f.source(flag, name, onCommandLine[flag])); err != nil {
			return fmt.Errorf("print the configuration: %w", err)
		}
	}
	return nil
}

func (f *File) source(flag *kong.Flag, name string, onCommandLine bool) string {
	if onCommandLine {
		return "flag --" + flag.Name
	}
	if _, ok := os.LookupEnv(flag.Envs[0]); ok {
		return "environment " + flag.Envs[0]
	}
	if _, ok := f.values[name]; ok {
		return "file"
	}
	return "default"
}

// printable is an option's value as YAML, without secrets.
func printable(flag *kong.Flag) string {
	secret := flag.Tag.Get("secret")
	switch v := flag.Target; v.Kind() {
	case reflect.Bool, reflect.Int, reflect.Uint16:
		return fmt.Sprint(v.Interface())
	case reflect.Slice:
		words := make([]string, v.Len())
		for i := range words {
			words[i] = hide(text(v.Index(i).Interface()), secret)
		}
		return strconv.Quote(strings.Join(words, ","))
	default:
		return strconv.Quote(hide(text(v.Interface()), secret))
	}
}

// text writes durations as people do: 5m, not 5m0s.
func text(value any) string {
	d, ok := value.(time.Duration)
	if !ok {
		return fmt.Sprint(value)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// hide removes what must not be shown: all of a value, or the password of a URL,
// which may stand behind the domain of a route.
func hide(value, secret string) string {
	if secret == "" || value == "" {
		return value
	}
	if secret != "url" {
		return hidden
	}
	before, raw, ok := strings.Cut(value, "=")
	if !ok || strings.Contains(before, ":") {
		before, raw = "", value
	} else {
		before += "="
	}
	u, err := url.Parse(raw)
	if err != nil {
		return before + hidden
	}
	return before + u.Redacted()
}
