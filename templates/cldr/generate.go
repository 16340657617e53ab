//go:build ignore

// Command generate writes cldr.txt from the unpacked npm packages cldr-core,
// cldr-numbers-full and cldr-dates-full:
//
//	npm pack cldr-core@48.2.0 cldr-numbers-full@48.2.0 cldr-dates-full@48.2.0
//	for f in *.tgz; do mkdir -p "${f%-48*}" && tar xzf "$f" -C "${f%-48*}"; done
//	go run generate.go DIR > cldr.txt
//
// sha256 of the packages, and of what comes out:
//
//	5310e0c7a06c1feb83dc8e54c8584bbe0b9c2ea8320172a18d541986b124585d  cldr-core-48.2.0.tgz
//	2d17a1453c559a62112caeed52e0bcfe3cb8539c99d239ae7b7ed4d0827679d9  cldr-numbers-full-48.2.0.tgz
//	0256f1cefeca14f7d515be4872dda48fcdd7e75381430f25aafd0143eae5b430  cldr-dates-full-48.2.0.tgz
//	ccaab40b247a0584f1b275eb9d22a9c32a30442510ed791d40ebcd0f87a4cb81  cldr.txt
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// regions are the variants beside the languages themselves: where many read mail
// and write numbers or dates in a way of their own.
const regions = `de-AT de-CH de-LI en-001 en-150 en-AU en-BE en-CA en-CH en-DE en-DK en-FI en-GB en-HK en-IE en-IL en-IN
	en-KE en-MT en-NG en-NL en-NZ en-PH en-SE en-SG en-SI en-ZA es-419 es-AR es-BO es-CL es-CO es-CR es-DO es-EC es-GT es-MX
	es-PA es-PE es-PR es-PY es-US es-UY es-VE fr-BE fr-CA fr-CH fr-LU fr-MA it-CH ms-SG nl-BE pt-PT pt-CH ro-MD ru-KZ ru-UA
	sr-Latn sv-FI sw-KE ta-SG ur-IN uz-Cyrl yue-Hans zh-Hant zh-Hant-HK zh-Hans-HK zh-Hans-SG ar-AE ar-EG ar-SA ar-MA bn-IN`

type tree = map[string]any

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("generate: say where the packages were unpacked")
	}
	dir := os.Args[1]
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	fmt.Fprintln(out, "# Unicode CLDR 48.2.0 (npm cldr-core, cldr-numbers-full, cldr-dates-full), reduced by generate.go. Licence: LICENSE.")
	fmt.Fprintln(out, "currencies\t"+currencies(dir))
	levels := load(dir, "cldr-core/package/coverageLevels.json")["effectiveCoverageLevels"].(tree)
	var tags []string
	for tag, level := range levels {
		if level == "modern" && !strings.Contains(tag, "-") {
			tags = append(tags, tag)
		}
	}
	tags = append(tags, strings.Fields(regions)...)
	slices.Sort(tags)
	for _, tag := range slices.Compact(tags) {
		fields := locale(dir, tag)
		if base, _, ok := strings.Cut(tag, "-"); ok {
			for i, f := range locale(dir, base) {
				if f == fields[i] {
					fields[i] = "="
				}
			}
		}
		fmt.Fprintln(out, tag+"\t"+strings.Join(fields, "\t"))
	}
}

// currencies lists the codes that are money somewhere today with their decimals.
func currencies(dir string) string {
	data := at(load(dir, "cldr-core/package/supplemental/currencyData.json"), "supplemental", "currencyData").(tree)
	digits := map[string]string{}
	for _, region := range data["region"].(tree) {
		for _, one := range region.([]any) {
			for code, use := range one.(tree) {
				if use := use.(tree); use["_to"] == nil && use["_tender"] == nil {
					digits[code] = "2"
				}
			}
		}
	}
	fractions := data["fractions"].(tree)
	var list []string
	for _, code := range slices.Sorted(maps.Keys(digits)) {
		d := digits[code]
		if f, ok := fractions[code].(tree); ok {
			d = f["_digits"].(string)
		}
		list = append(list, code+d)
	}
	return strings.Join(list, " ")
}

// locale gives the fields of one line, in the order that cldr.go reads them.
func locale(dir, tag string) []string {
	numbers := at(load(dir, "cldr-numbers-full/package/main/"+tag+"/numbers.json"), "main", tag, "numbers").(tree)
	system := numbers["defaultNumberingSystem"].(string)
	symbols := numbers["symbols-numberSystem-"+system].(tree)
	money := numbers["currencyFormats-numberSystem-"+system].(tree)
	group := symbols["group"].(string)
	moneyGroup, moneyDecimal := group, symbols["decimal"].(string)
	if s, ok := symbols["currencyGroup"].(string); ok {
		moneyGroup = s
	}
	if s, ok := symbols["currencyDecimal"].(string); ok {
		moneyDecimal = s
	}
	spelled := at(load(dir, "cldr-numbers-full/package/main/"+tag+"/currencies.json"), "main", tag, "numbers", "currencies").(tree)
	var signs []string
	for _, code := range slices.Sorted(maps.Keys(spelled)) {
		if s, ok := spelled[code].(tree)["symbol"].(string); ok && s != code {
			signs = append(signs, code+"="+s)
		}
	}
	systems := at(load(dir, "cldr-core/package/supplemental/numberingSystems.json"), "supplemental", "numberingSystems").(tree)
	fields := []string{
		at(systems, system, "_digits").(string), symbols["decimal"].(string), group, symbols["minusSign"].(string),
		numbers["minimumGroupingDigits"].(string), at(numbers, "decimalFormats-numberSystem-"+system, "standard").(string),
		money["standard"].(string), moneyDecimal, moneyGroup, strings.Join(signs, "|"),
	}
	return append(fields, dates(dir, tag)...)
}

func dates(dir, tag string) []string {
	c := at(load(dir, "cldr-dates-full/package/main/"+tag+"/ca-gregorian.json"), "main", tag, "dates", "calendars", "gregorian").(tree)
	var fields []string
	for _, form := range []string{"format", "stand-alone"} {
		for _, width := range []string{"wide", "abbreviated"} {
			fields = append(fields, join(at(c, "months", form, width).(tree), "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"))
		}
	}
	for _, width := range []string{"wide", "abbreviated"} {
		fields = append(fields, join(at(c, "days", "format", width).(tree), "sun", "mon", "tue", "wed", "thu", "fri", "sat"))
	}
	return append(fields,
		join(at(c, "dayPeriods", "format", "abbreviated").(tree), "am", "pm"),
		join(c["dateFormats"].(tree), "full", "long", "medium", "short"),
		join(c["timeFormats"].(tree), "medium", "short"),
		join(at(c, "dateTimeFormats-atTime", "standard").(tree), "full", "long", "medium", "short"))
}

func join(t tree, keys ...string) string {
	var list []string
	for _, k := range keys {
		s, ok := t[k].(string)
		if !ok {
			s, _ = t[k].(tree)["_value"].(string)
		}
		list = append(list, s)
	}
	return strings.Join(list, "|")
}

func at(v any, keys ...string) any {
	for _, k := range keys {
		v = v.(tree)[k]
	}
	return v
}

func load(dir, path string) tree {
	b, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		log.Fatal("generate: ", err)
	}
	var t tree
	if err := json.Unmarshal(b, &t); err != nil {
		log.Fatalf("generate: read %s: %v", path, err)
	}
	return t
}
