package main

import (
	"github.com/alecthomas/kong"

	"postrider/internal/config"
)

// configCommand is `postrider config`.
type configCommand struct{ config.Config }

// Run implements the command.
func (c *configCommand) Run(command *kong.Context, file *config.File, t terminal) error {
	return file.Print(t.out, command)
}
