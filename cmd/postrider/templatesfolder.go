package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"postrider/client"
)

// exitDiffers is the exit status of a comparison that found something: of diff, and of
// push and pull with --dry-run.
const exitDiffers = 3

type templatesPush struct {
	Dir     string `arg:"" type:"path" help:"The folder: in it a folder for each template, named by its alias."`
	DryRun  bool   `help:"Check the folder and show what would change, and change nothing; exit 3 if there is anything."`
	Publish bool   `help:"Publish what the folder has, so that live mail is made from it. Otherwise it stays a draft."`
	Delete  bool   `help:"Delete the templates of the server that the folder does not have."`
	JSON    bool   `name:"json" help:"One JSON object a line for each template: alias, action, version."`
}

type templatesPull struct {
	Dir    string `arg:"" type:"path" help:"The folder; it is made if it is not there."`
	DryRun bool   `help:"Show what would change, and write nothing; exit 3 if there is anything."`
	JSON   bool   `name:"json" help:"One JSON object a line for each template: alias, action."`
}

type templatesDiff struct {
	Dir  string `arg:"" type:"path" help:"The folder."`
	JSON bool   `name:"json" help:"One JSON object a line for each template that differs: alias, status, diff."`
}

// templateStep is what happened, or would, to one template.
type templateStep struct {
	Alias   string `json:"alias"`
	Action  string `json:"action"` // create, update, publish, delete, write, unchanged
	Version int    `json:"version,omitempty"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

func isMissing(dir string) bool {
	_, err := os.Stat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// Run implements the command.
func (c *templatesDiff) Run(ctx context.Context, t terminal) error {
	s, err := openSync(ctx, t, c.Dir, false)
	if err != nil {
		return err
	}
	differ := 0
	for _, alias := range s.aliases() {
		same, err := s.same(alias)
		if err != nil {
			return err
		}
		if same {
			continue
		}
		differ++
		changes, err := diff(s.files[alias], s.local[alias])
		if err != nil {
			return err
		}
		if !c.JSON {
			fmt.Fprint(t.out, changes)
			continue
		}
		status := "changed"
		switch {
		case s.files[alias] == nil:
			status = "only_in_folder"
		case s.local[alias] == nil:
			status = "only_on_server"
		}
		if err := printJSON(t.out, map[string]string{"alias": alias, "status": status, "diff": changes}); err != nil {
			return err
		}
	}
	if differ > 0 {
		return failure{fmt.Errorf("%d templates differ", differ), exitDiffers}
	}
	return nil
}

// Run implements the command.
func (c *templatesPull) Run(ctx context.Context, t terminal) error {
	s, err := openSync(ctx, t, c.Dir, true)
	if err != nil {
		return err
	}
	changed := 0
	for _, alias := range s.aliases() {
		if s.files[alias] == nil {
			fmt.Fprintf(t.err, "%s is not on the server; it is left as it is\n", alias)
			continue
		}
		same, err := s.same(alias)
		if err != nil {
			return err
		}
		step := templateStep{Alias: alias, Action: "write", Version: s.remote[alias].Version, DryRun: c.DryRun}
		if same {
			step.Action = "unchanged"
		} else {
			changed++
		}
		if !same && !c.DryRun {
			if err := s.files[alias].write(c.Dir, s.local[alias]); err != nil {
				return fmt.Errorf("write %s: %w", filepath.Join(c.Dir, alias), err)
			}
		}
		if err := step.print(t, c.JSON); err != nil {
			return err
		}
	}
	if s.unlike > 0 {
		fmt.Fprintf(t.err, "%d templates have no alias, and so no folder\n", s.unlike)
	}
	if c.DryRun && changed > 0 {
		return failure{fmt.Errorf("%d templates would be written", changed), exitDiffers}
	}
	return nil
}

// print tells a step, for people or for programs.
func (s templateStep) print(t terminal, asJSON bool) error {
	if asJSON {
		return printJSON(t.out, s)
	}
	if s.Action == "unchanged" {
		return nil
	}
	would := ""
	if s.DryRun {
		would = "would "
	}
	version := ""
	if s.Version > 0 {
		version = fmt.Sprintf(" (version %d)", s.Version)
	}
	fmt.Fprintf(t.out, "%s%s %s%s\n", would, s.Action, s.Alias, version)
	return nil
}

// Run implements the command. The folder is checked as a whole before anything changes.
func (c *templatesPush) Run(ctx context.Context, t terminal) error {
	s, err := openSync(ctx, t, c.Dir, false)
	if err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return fmt.Errorf("nothing was pushed:\n%w", err)
	}
	steps := 0
	order := s.order(s.aliases())
	for _, alias := range order {
		changed, err := c.save(ctx, t, s, alias)
		if err != nil {
			return err
		}
		steps += changed
	}
	for _, alias := range order {
		changed, err := c.publish(ctx, t, s, alias)
		if err != nil {
			return err
		}
		steps += changed
	}
	removed, err := c.remove(ctx, t, s)
	if err != nil {
		return err
	}
	if steps += removed; c.DryRun && steps > 0 {
		return failure{fmt.Errorf("%d changes would be made", steps), exitDiffers}
	}
	return nil
}

// save brings the draft of one template to the server, if it says something else there.
func (c *templatesPush) save(ctx context.Context, t terminal, s *templateSync, alias string) (int, error) {
	same, err := s.same(alias)
	if err != nil {
		return 0, err
	}
	standing, step := s.remote[alias], templateStep{Alias: alias, Action: "update", DryRun: c.DryRun}
	switch {
	case same:
		step.Action, step.Version = "unchanged", standing.Version
		return 0, step.print(t, c.JSON)
	case standing == nil:
		step.Action = "create"
	}
	if c.DryRun {
		return 1, step.print(t, c.JSON)
	}
	edit := s.local[alias].edit()
	var saved *client.Template
	if standing == nil {
		saved, err = s.client.CreateTemplate(ctx, edit)
	} else {
		edit.IfMatch = standing.ETag
		saved, err = s.client.UpdateTemplate(ctx, standing.ID, edit)
	}
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", step.Action, alias, explain(err))
	}
	s.remote[alias], step.Version = saved, saved.Version
	return 1, step.print(t, c.JSON)
}

// publish has what was saved sent, if another version is.
func (c *templatesPush) publish(ctx context.Context, t terminal, s *templateSync, alias string) (int, error) {
	if !c.Publish {
		return 0, nil
	}
	standing, step := s.remote[alias], templateStep{Alias: alias, Action: "publish", DryRun: c.DryRun}
	if c.DryRun {
		same, err := s.same(alias)
		if err != nil || same && standing.DraftVersion == standing.PublishedVersion {
			return 0, err
		}
		return 1, step.print(t, c.JSON)
	}
	if standing.DraftVersion == standing.PublishedVersion {
		return 0, nil
	}
	published, err := s.client.PublishTemplate(ctx, standing.ID, standing.ETag)
	if err != nil {
		return 0, fmt.Errorf("publish %s: %w", alias, explain(err))
	}
	step.Version = published.Version
	return 1, step.print(t, c.JSON)
}

// remove deletes what the folder does not have: what uses others before those.
func (c *templatesPush) remove(ctx context.Context, t terminal, s *templateSync) (int, error) {
	if !c.Delete {
		return 0, nil
	}
	var gone []string
	for alias := range s.remote {
		if s.local[alias] == nil {
			gone = append(gone, alias)
		}
	}
	rank := func(alias string) int {
		return slices.Index([]string{client.KindMessage, client.KindLayout, client.KindPartial}, s.remote[alias].Kind)
	}
	slices.Sort(gone)
	slices.SortStableFunc(gone, func(a, b string) int { return rank(a) - rank(b) })
	for left := gone; len(left) > 0; {
		var used []string // by another that is to go
		for _, alias := range left {
			err := c.removeOne(ctx, t, s, alias)
			var refused *client.Error
			switch {
			case errors.As(err, &refused) && refused.Code == "resource_in_use" && len(left) > 1:
				used = append(used, alias)
			case err != nil:
				return 0, fmt.Errorf("delete %s: %w", alias, explain(err))
			}
		}
		if len(used) == len(left) {
			left = left[:1] // nothing goes: say why
			continue
		}
		left = used
	}
	return len(gone), nil
}

func (c *templatesPush) removeOne(ctx context.Context, t terminal, s *templateSync, alias string) error {
	if !c.DryRun {
		if err := s.client.DeleteTemplate(ctx, s.remote[alias].ID, s.remote[alias].ETag); err != nil {
			return err
		}
	}
	return templateStep{Alias: alias, Action: "delete", DryRun: c.DryRun}.print(t, c.JSON)
}
