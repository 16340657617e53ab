package main

import "strings"

// configPath finds the configuration file's path before the command line is
// parsed, since the file takes part in that.
func configPath(args, environ []string) string {
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if path, ok := strings.CutPrefix(arg, "--config="); ok {
			return path
		}
		if arg == "--config" && i+1 < len(args) {
			return args[i+1]
		}
	}
	for _, pair := range environ {
		if path, ok := strings.CutPrefix(pair, "POSTRIDER_CONFIG="); ok {
			return path
		}
	}
	return ""
}
