package config

import (
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
)

// File is a kong.Resolver that takes values from a YAML file whose names are
// those of the environment without POSTRIDER_, in lower case.
type File struct {
	path   string
	values map[string]any
}

// OpenFile reads a configuration file; an empty path is an empty file.
func OpenFile(path string) (*File, error) {
	f := &File{path: path, values: make(map[string]any)}
	if path == "" {
		return f, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if err := yaml.Unmarshal(raw, &f.values); err != nil {
		return nil, fmt.Errorf("read configuration %s: not YAML of the form name: value", path)
	}
	return f, nil
}

// Validate refuses names that are no options.
func (f *File) Validate(app *kong.Application) error {
	known := Names(app)
	var unknown []string
	for name := range f.values {
		if !known[EnvPrefix+strings.ToUpper(name)] {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	sort.Strings(unknown)
	return fmt.Errorf("%s: unknown options: %s", f.path, strings.Join(unknown, ", "))
}

// Resolve gives the file's value of a flag, unless the environment has one.
func (f *File) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil
		}
		value, ok := f.values[strings.ToLower(strings.TrimPrefix(env, EnvPrefix))]
		if !ok {
			continue
		}
		if list, isList := value.([]any); isList {
			words := make([]string, len(list))
			for i, v := range list {
				words[i] = fmt.Sprint(v)
			}
			return strings.Join(words, ","), nil
		}
		return fmt.Sprint(value), nil
	}
	return nil, nil
}

// CheckEnviron refuses POSTRIDER_ variables that are no options. Those of an app's
// client may stand beside them.
func CheckEnviron(app *kong.Application, environ []string) error {
	known := Names(app)
	known[EnvPrefix+"URL"], known[EnvPrefix+"API_KEY"], known[EnvPrefix+"WEBHOOK_SECRET"] = true, true, true
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, EnvPrefix) && !known[name] {
			return fmt.Errorf("unknown environment variable %s; `postrider serve --help` lists the options", name)
		}
	}
	return nil
}

// Names lists the environment variables of all commands' flags.
func Names(app *kong.Application) map[string]bool {
	names := make(map[string]bool)
	var walk func(n *kong.Node)
	walk = func(n *kong.Node) {
		for _, flag := range n.Flags {
			for _, env := range flag.Envs {
				names[env] = true
			}
		}
		for _, child := range n.Children {
			walk(child)
		}
	}
	walk(app.Node)
	return names
}
