package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"

	"postrider/internal/starters"
)

// templatesCommand is `postrider templates ...`.
type templatesCommand struct {
	Push     templatesPush     `cmd:"" help:"Bring a folder of templates to the server in POSTRIDER_URL."`
	Pull     templatesPull     `cmd:"" help:"Bring the templates of the server into a folder."`
	Diff     templatesDiff     `cmd:"" help:"Show what push would change; exit 3 if there is anything."`
	Starters templatesStarters `cmd:"" help:"List the templates that come with Postrider, or write one as a folder of plain files to begin with."`
}

type templatesStarters struct {
	Name string `arg:"" optional:"" help:"Which one to write. None: list them."`
	Into string `name:"into" default:"." type:"path" placeholder:"FOLDER" help:"Where its folder goes. Default: here."`
}

// Run implements the command.
func (c *templatesStarters) Run(t terminal) error {
	if c.Name == "" {
		return c.list(t)
	}
	s, err := starters.Get(c.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no starter %q: there are %s", c.Name, strings.Join(starters.Names(), ", "))
	}
	if err != nil {
		return err
	}
	folder, err := s.Write(c.Into)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("write %s: something of that name is there, and is left as it is; give another folder with --into", c.Name)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", c.Name, err)
	}
	fmt.Fprintf(t.out, "%s has template.yaml, body.html, body.txt and sample.json: change the brand, the words and the colors.\n", folder)
	return nil
}

func (c *templatesStarters) list(t terminal) error {
	all, err := starters.All()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, s := range all {
		fmt.Fprintf(w, "%s\t%s\n", s.Name, s.About)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(t.out, "\nWrite one with: postrider templates starters NAME")
	return nil
}
