package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/internal/config"
	"postrider/internal/email"
	"postrider/internal/store"
)

// auditCommand is `postrider audit`.
type auditCommand struct {
	Limit int  `default:"50" help:"At most so many. Default 50."`
	JSON  bool `name:"json" help:"One JSON object a line."`

	config.Config `group:"Settings"`
}

// changeLine is a change as it is printed for scripts.
type changeLine struct {
	At      time.Time `json:"at"`
	World   string    `json:"world"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"`
	Object  string    `json:"object"`
	Detail  string    `json:"detail"`
	Request string    `json:"request_id"`
}

// Validate refuses a limit that is none.
func (a *auditCommand) Validate() error {
	if a.Limit < 1 {
		return errors.New("--limit: must be at least 1")
	}
	return a.Config.Validate()
}

// Run implements the command.
func (a *auditCommand) Run(ctx context.Context, t terminal) error {
	return withStore(ctx, a.Config, func(s *store.Store) error {
		list, _, err := s.Audit.Latest(ctx, []email.World{email.Live, email.Test}, "", a.Limit)
		if err != nil {
			return err
		}
		if len(list) == 0 && !a.JSON {
			fmt.Fprintln(t.err, "Nobody has changed anything that is recorded.")
			return nil
		}
		return a.print(t, list)
	})
}

func (a *auditCommand) print(t terminal, list []store.Change) error {
	if a.JSON {
		for _, c := range list {
			if err := printJSON(t.out, changeLine{c.At, string(c.World), c.Actor, c.Action, c.Object, c.Detail, c.Request}); err != nil {
				return err
			}
		}
		return nil
	}
	rows := newTable(t.out, "WHEN", "WORLD", "WHO", "WHAT", "OF", "DETAIL")
	for _, c := range list {
		rows.row(clock(c.At), string(c.World), clean(c.Actor), clean(c.Action), clean(c.Object), clean(c.Detail))
	}
	return rows.Flush()
}
