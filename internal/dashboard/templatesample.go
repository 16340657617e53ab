package dashboard

import (
	"maps"
	"slices"
	"strings"

	"postrider/internal/library"
	"postrider/templates"
)

// modelOf is data that show a version: its examples, also of what nothing shows, and a
// value for what has none.
func modelOf(t *library.Stored, shown *library.Preview) map[string]any {
	model := map[string]any{}
	for _, x := range t.Content.Variables {
		value, err := templates.Data([]byte(`{"v":` + string(x.Example) + `}`))
		if err != nil {
			continue // it has none
		}
		in, names := model, strings.Split(x.Key, ".")
		for _, name := range names[:len(names)-1] {
			inner, ok := in[name].(map[string]any)
			if !ok {
				inner = map[string]any{}
				in[name] = inner
			}
			in = inner
		}
		in[names[len(names)-1]] = value["v"]
	}
	if shown.Data == nil {
		return model
	}
	filled, _ := filledIn(shown.Data, model).(map[string]any)
	return filled
}

// filledIn is data with what only the model has.
func filledIn(data, model any) any {
	switch m := model.(type) {
	case map[string]any:
		d, ok := data.(map[string]any)
		if !ok && data != nil {
			return data
		}
		out := maps.Clone(m)
		for k, x := range d {
			out[k] = filledIn(x, m[k])
		}
		return out
	case []any:
		d, ok := data.([]any)
		if !ok || len(m) == 0 {
			break
		}
		out := make([]any, len(d))
		for i, x := range d {
			out[i] = filledIn(x, m[0])
		}
		return out
	}
	if data == nil {
		return model
	}
	return data
}

// undeclared are the variables that the texts use and no row declares, by their first names.
func undeclared(used []templates.Inferred, rows []variableRow) (names []string) {
	for _, x := range used {
		declared := slices.ContainsFunc(rows, func(r variableRow) bool {
			rest, ok := strings.CutPrefix(x.Path, r.Key)
			return ok && (rest == "" || rest[0] == '.' || rest[0] == '[') || strings.HasPrefix(r.Key, x.Path+".")
		})
		if name := firstName(x.Path); !declared && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func firstName(path string) string {
	if i := strings.IndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return path
}

// declare adds rows for what the texts use and nothing declares.
func (f *templateForm) declare(used []templates.Inferred) {
	for _, name := range undeclared(used, f.Rows) {
		row := variableRow{Key: name, Type: string(templates.TypeString)}
		for _, x := range used {
			rest, ok := strings.CutPrefix(x.Path, name)
			switch {
			case !ok || firstName(x.Path) != name:
				continue
			case strings.HasPrefix(rest, "["):
				row.Type = string(templates.TypeArray)
			case strings.HasPrefix(rest, "."):
				row.Type = string(templates.TypeObject)
			case x.Type != templates.TypeAny:
				row.Type = string(x.Type)
			}
			row.Required = row.Required || x.Required
		}
		f.Rows = append(f.Rows, row)
	}
}
