// Command render measures how fast a template becomes a mail: a receipt with 20 lines,
// parsed once, beside Go's html/template with the same page, data and formatted
// amounts in the same run. The two take turns, so that what else the machine does
// meets both; it ends with 1 if their pages differ.
//
//	go run ./bench/render
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"html/template"
	"os"
	"slices"
	"strings"
	"time"

	"postrider/templates"
	"postrider/templates/cldr"
)

// lines is how many the receipt has.
const lines = 20

const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Receipt %[1]s</title></head>
<body style="margin:0;background:#f4f4f5">
<table role="presentation" width="100%%" cellpadding="0" cellspacing="0"><tr><td align="center">
<h1 style="font:600 22px sans-serif">Thank you, %[2]s</h1>
<p>Your order <a href="%[3]s">%[1]s</a> is on its way.</p>
<table width="560" cellpadding="8">
%[4]s<tr><td colspan="3" align="right">Total</td><td align="right">%[5]s</td></tr>
</table>
<p style="color:#71717a">Questions? Write to <a href="mailto:%[6]s">%[6]s</a>.</p>
</td></tr></table>
</body></html>
`

func main() {
	rounds := flag.Int("rounds", 7, "turns of each")
	turn := flag.Duration("time", 500*time.Millisecond, "of each turn")
	flag.Parse()
	if err := run(*rounds, *turn); err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

func run(rounds int, turn time.Duration) error {
	data := receipt()
	ours, err := handlebars(data)
	if err != nil {
		return err
	}
	theirs, err := standard(data)
	if err != nil {
		return err
	}
	if a, b := ours(), theirs(); a != b {
		return fmt.Errorf("the pages differ:\n%s\n%s", a, b)
	}
	var a, b []float64
	for range rounds {
		a = append(a, rate(ours, turn))
		b = append(b, rate(theirs, turn))
	}
	slices.Sort(a)
	slices.Sort(b)
	fmt.Printf("a receipt with %d lines, %d bytes of HTML, one goroutine, median of %d turns of %v\n", lines, len(ours()), rounds, turn)
	fmt.Printf("templates      %8.0f renders/s  (%.0f to %.0f)\n", a[rounds/2], a[0], a[rounds-1])
	fmt.Printf("html/template  %8.0f renders/s  (%.0f to %.0f)\n", b[rounds/2], b[0], b[rounds-1])
	fmt.Printf("ratio          %8.2f\n", a[rounds/2]/b[rounds/2])
	return nil
}

// rate renders for a while.
func rate(render func() string, turn time.Duration) float64 {
	began := time.Now()
	n := 0
	for time.Since(began) < turn {
		for range 20 {
			render()
		}
		n += 20
	}
	return float64(n) / time.Since(began).Seconds()
}

func receipt() map[string]any {
	var list []any
	for i := range lines {
		list = append(list, map[string]any{
			"sku": fmt.Sprintf("SKU-%04d", i), "title": fmt.Sprintf(`Tea & "Biscuits" no. %d`, i),
			"quantity": json.Number("2"), "amount": json.Number(fmt.Sprintf("%d.50", 10+i)), "url": fmt.Sprintf("https://shop.example/p/%d?ref=mail&x=1", i),
		})
	}
	return map[string]any{
		"id": "A-1042", "name": "Ada <Lovelace>", "url": "https://shop.example/orders/A-1042?t=1&u=2", "support": "help@shop.example",
		"total": json.Number("1234.50"), "lines": list,
	}
}

func handlebars(data map[string]any) (func() string, error) {
	line := `{{#each lines}}<tr><td>{{sku}}</td><td><a href="{{url}}">{{title}}</a></td><td align="right">{{quantity}}</td>` +
		`<td align="right">{{format_currency amount "EUR" "de"}}</td></tr>
{{/each}}`
	source := fmt.Sprintf(page, "{{id}}", "{{name}}", "{{url}}", line, `{{format_currency total "EUR" "de"}}`, "{{support}}")
	t, err := templates.Parse(&templates.Source{HTML: source}, templates.Options{})
	if err != nil {
		return nil, err
	}
	if _, err := t.Render(data); err != nil {
		return nil, err
	}
	return func() string {
		out, err := t.Render(data)
		if err != nil {
			panic(err)
		}
		return out.HTML
	}, nil
}

func standard(data map[string]any) (func() string, error) {
	de, _ := cldr.Find("de")
	money := func(n json.Number) string {
		whole, fraction, _ := strings.Cut(string(n), ".")
		return string(de.AppendMoney(make([]byte, 0, 32), whole+"."+(fraction + "00")[:2], "EUR"))
	}
	line := `{{range .lines}}<tr><td>{{.sku}}</td><td><a href="{{.url}}">{{.title}}</a></td><td align="right">{{.quantity}}</td>` +
		`<td align="right">{{money .amount}}</td></tr>
{{end}}`
	source := fmt.Sprintf(page, "{{.id}}", "{{.name}}", "{{.url}}", line, "{{money .total}}", "{{.support}}")
	t, err := template.New("receipt").Funcs(template.FuncMap{"money": money}).Parse(source)
	if err != nil {
		return nil, err
	}
	if err := t.Execute(&bytes.Buffer{}, data); err != nil {
		return nil, err
	}
	return func() string {
		var b bytes.Buffer
		if err := t.Execute(&b, data); err != nil {
			panic(err)
		}
		return b.String()
	}, nil
}
