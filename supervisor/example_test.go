package supervisor_test

import (
	"context"
	"errors"
	"fmt"

	"kitestring/actors"
	"kitestring/supervisor"
)

// A counter that fails at the number 13. What must survive a failure, here
// the sum, is made once and captured by the producer.
type counter struct {
	self actors.Self
	sum  *int
	done chan<- struct{}
}

type add int

func (c *counter) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		fmt.Printf("incarnation %d starts at %d\n", c.self.Epoch(), *c.sum)
	case add:
		if m == 13 {
			c.self.Fail(errors.New("13 again"))
			return
		}
		if *c.sum += int(m); *c.sum == 10 {
			close(c.done)
		}
	}
}

func Example() {
	sum, done := 0, make(chan struct{})
	tree := supervisor.New(supervisor.Options{})
	err := tree.Start(context.Background(), supervisor.Spec{
		Name: "root",
		Children: []supervisor.Spec{{
			Name: "counter",
			Produce: func(self actors.Self) actors.Actor {
				return &counter{self: self, sum: &sum, done: done}
			},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, n := range []add{1, 2, 13, 3, 4} {
		tree.Engine().Send(supervisor.PIDOf("counter"), n)
	}
	<-done
	for _, a := range tree.Snapshot().Actors {
		if a.Kind == "worker" {
			fmt.Printf("%s is %v after %d restart, last error: %s\n", a.Name, a.State, a.Restarts, a.LastError)
		}
	}
	if err := tree.Stop(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// incarnation 1 starts at 0
	// incarnation 2 starts at 3
	// counter is running after 1 restart, last error: 13 again
}
