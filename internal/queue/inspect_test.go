package queue

import (
	"context"
	"errors"
	"testing"
	"time"

	"postrider/internal/redistest"
)

func TestListRunDelete(t *testing.T) {
	redistest.Each(t, func(t *testing.T, url string) {
		c := NewClient(connect(t, url))
		if jobs, err := c.List(t.Context(), Default, Pending, 1, 10); err != nil || len(jobs) != 0 {
			t.Errorf("of a queue that never was: %v, %v", jobs, err)
		}
		later, now := job(0), job(0)
		for d, at := range map[Delivery]time.Time{later: time.Now().Add(time.Hour), now: time.Now()} {
			if err := c.Add(t.Context(), Default, d, at); err != nil {
				t.Fatal(err)
			}
		}
		jobs, err := c.List(t.Context(), Default, Scheduled, 1, 10)
		if err != nil || len(jobs) != 1 || jobs[0].Delivery != later || time.Until(jobs[0].NextAt) < 59*time.Minute {
			t.Fatalf("scheduled: %+v, %v", jobs, err)
		}
		if jobs, err := c.List(t.Context(), Default, Pending, 2, 1); err != nil || len(jobs) != 0 {
			t.Errorf("the second page: %+v, %v", jobs, err)
		}
		if _, err := c.List(t.Context(), Default, "lost", 1, 1); err == nil {
			t.Error("no such state: want an error")
		}
		if err := c.Run(t.Context(), Default, later.taskID()); err != nil || !c.is(t, later, Pending) {
			t.Errorf("Run = %v", err)
		}
		if err := c.Run(t.Context(), Default, later.taskID()); !errors.Is(err, ErrRuns) {
			t.Errorf("Run of what is pending = %v", err)
		}
		if err := c.Delete(t.Context(), Default, later.taskID()); err != nil || !c.is(t, later, Absent) {
			t.Errorf("Delete = %v", err)
		}
		for _, change := range []func(context.Context, string, string) error{c.Run, c.Delete} {
			if err := change(t.Context(), Default, later.taskID()); !errors.Is(err, ErrNoJob) {
				t.Errorf("of what is gone = %v", err)
			}
		}
	})
}

func TestPauseAndProcesses(t *testing.T) {
	redistest.Each(t, func(t *testing.T, url string) {
		rdb := connect(t, url)
		c := NewClient(rdb)
		runs, release := make(chan struct{}, 2), make(chan struct{})
		s := NewServer(rdb, ServerOptions{Class: Default, Concurrency: 3, Takers: 2}, func(context.Context, Delivery) error {
			runs <- struct{}{}
			<-release
			return nil
		})
		first, second := job(0), job(0)
		if err := c.Pause(t.Context(), Bulk); !errors.Is(err, ErrUnused) {
			t.Errorf("Pause of a queue that was never used = %v", err)
		}
		if err := c.Add(t.Context(), Default, first, time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		defer s.Shutdown()
		<-runs
		if err := c.Delete(t.Context(), Default, first.taskID()); !errors.Is(err, ErrRuns) {
			t.Errorf("Delete of what runs = %v", err)
		}
		await(t, "the server tells what it does", func() bool {
			list, err := c.Processes(t.Context(), 10)
			return err == nil && len(list) == 1 && list[0].Class == Default && list[0].Concurrency == 3 &&
				len(list[0].Working) == 1 && list[0].Working[0].Job.Delivery == first
		})
		for range 2 { // the second time there is nothing to do
			if err := c.Pause(t.Context(), Default); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Add(t.Context(), Default, second, time.Now()); err != nil {
			t.Fatal(err)
		}
		if sizes, err := c.Sizes(t.Context(), Default); err != nil || !sizes[0].Paused {
			t.Errorf("sizes %+v, %v", sizes, err)
		}
		close(release)
		select {
		case <-runs:
			t.Error("a job of a paused queue ran")
		case <-time.After(300 * time.Millisecond):
		}
		if err := c.Resume(t.Context(), Default); err != nil {
			t.Fatal(err)
		}
		select {
		case <-runs:
		case <-time.After(30 * time.Second):
			t.Error("nothing runs after the pause")
		}
	})
}
