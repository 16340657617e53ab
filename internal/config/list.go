package config

import (
	"reflect"
	"strings"
)

// Option is one option as it is in force.
type Option struct{ Name, Value, Help string }

// List gives the options of a configuration, without secrets.
func (c *Config) List() []Option {
	var list []Option
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		name := tag.Get("env")
		if name == "" || name == EnvPrefix+"CONFIG" {
			continue
		}
		var words []string
		switch value := v.Field(i); value.Kind() {
		case reflect.Slice:
			for j := range value.Len() {
				words = append(words, hide(text(value.Index(j).Interface()), tag.Get("secret")))
			}
		default:
			words = []string{hide(text(value.Interface()), tag.Get("secret"))}
		}
		help, _, _ := strings.Cut(tag.Get("help"), " Default ${")
		list = append(list, Option{name, strings.Join(words, ","), help})
	}
	return list
}
