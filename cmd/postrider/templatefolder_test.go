package main

import (
	"slices"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// What is written into template.yaml is read as it was, whatever a text holds.
func TestTemplateHeadsAreReadAsWritten(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"a\r\nb", "a\nb", "a\n b", "a\rb", "a\u0085b", "a\u2028b", "a\tb", " a", "a ", "a\n", "\na", "a\n\n", "a\r\n", "  a\nb", "a \nb", "\ta\nb", "a\n\tb",
		"\t", "\n", " ", "\n\n", "é\r", "", "#a", "a #b", "a: b", "a:", "- a", "-", "?", "---", "...", "a\n---\nb", "a\n...\nb", "true", "yes", "on", "~", "null",
		"1", "1e3", "0x10", "0o7", "1_000", ".inf", ".nan", "-.inf", "2026-01-01", "'a'", `"a"`, `a\nb`, "{{a}}", "{{#if a}}\n  b\n{{/if}}", "{a}", "[a]", "*a", "&a", "!a", "|a",
		">a", "%a", "@a", "`a", "=", "<<", "\ufeffa", "a\ufeff", "😀", "\u202ea", "a\x07b", "x\x7fy", "a\x00b",
	} {
		want := templateHead{Name: "n", Subject: s, From: s, Variables: []variableHead{
			{Key: "k", Type: "string", Default: s, Description: s, Example: s},
			{Key: "o", Type: "object", Default: map[string]any{"x": []any{s, uint64(1), 1.5, true}}},
		}}
		tree := want
		tree.Variables = slices.Clone(want.Variables)
		tree.Variables[1].Default = map[string]any{"x": []any{s, uint64(1), 1.5, true}}
		raw, err := yaml.MarshalWithOptions(tree.tree(), yamlForm()...)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		var got templateHead
		if err := yaml.UnmarshalWithOptions(raw, &got, yaml.Strict()); err != nil {
			t.Errorf("%q: %v\n%s", s, err, raw)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s\n%s", s, diff, raw)
		}
	}
}
