package templates_test

import (
	"errors"
	"fmt"

	"postrider/templates"
)

func Example() {
	t, err := templates.Parse(&templates.Source{
		Subject: "Your order {{order.id}}",
		HTML:    `<p>Hi {{default name "there"}},</p><a href="{{order.url}}">See {{order.id}}</a>`,
	}, templates.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	data, err := templates.Data([]byte(`{"order":{"id":"A&1","url":"https://shop.example/?id=A&t=1"}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := t.Render(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(out.Subject)
	fmt.Println(out.HTML)
	// Output:
	// Your order A&1
	// <p>Hi there,</p><a href="https://shop.example/?id=A&amp;t=1">See A&amp;1</a>
}

func ExampleMissingError() {
	t, _ := templates.Parse(&templates.Source{Text: "Hi {{name}}, your code {{code.value}} ends {{code.ends}}."}, templates.Options{})
	_, err := t.Render(map[string]any{"code": map[string]any{"value": "123"}})
	var missing *templates.MissingError
	if errors.As(err, &missing) {
		fmt.Println(missing.Paths())
	}
	// Output: [name code.ends]
}

func ExampleParseError() {
	_, err := templates.Parse(&templates.Source{Subject: "Hi {{uppercase name}}", HTML: "<p title={{name}}>Hi</p>"}, templates.Options{})
	var refused *templates.ParseError
	if errors.As(err, &refused) {
		for _, f := range refused.Faults {
			fmt.Println(f)
		}
	}
	// Output:
	// subject:1:6: there is no helper "uppercase" (here it is called upper: (upper value))
	// html:1:10: a variable has no place in the attribute title, which has no quotes (put the value in quotes: name="{{value}}")
}

func ExampleOptions_lookup() {
	lookup := func(kind templates.Kind, name string) (*templates.Source, error) {
		switch string(kind) + " " + name {
		case "partial button":
			return &templates.Source{HTML: `<a class="button" href="{{url}}">{{label}}</a>`}, nil
		case "layout plain":
			return &templates.Source{HTML: `<main>{{{content}}}</main>`}, nil
		}
		return nil, templates.ErrNotFound
	}
	t, err := templates.Parse(&templates.Source{
		HTML: `<p>{{> button url=reset_url label="Reset password"}}</p>`, Layout: "plain",
	}, templates.Options{Lookup: lookup})
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := t.Render(map[string]any{"reset_url": "https://acme.example/r/1"})
	fmt.Println(out.HTML, err)
	// Output: <main><p><a class="button" href="https://acme.example/r/1">Reset password</a></p></main> <nil>
}

func ExampleTemplate_Variables() {
	t, _ := templates.Parse(&templates.Source{Text: "{{name}}{{#each items}}{{format_number count}}{{/each}}"}, templates.Options{})
	for _, v := range t.Variables() {
		fmt.Println(v.Path, v.Type, v.Required)
	}
	fmt.Println(t.Unused(map[string]any{"nmae": "Ada", "items": []any{}}))
	// Output:
	// name string true
	// items array true
	// items[].count number true
	// [nmae]
}
