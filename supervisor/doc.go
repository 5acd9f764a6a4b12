// Package supervisor supervises actors: it starts, watches, restarts and stops them.
//
// # Promise
//
//   - An actor that panics, reports an error, loses a task, hangs or makes no
//     progress is replaced under the same name, address and mailbox; its
//     siblings do not notice. The process never exits because of an actor.
//   - A restart starts from now: the producer, the seed and Started run again,
//     so what may have changed is asked for again.
//   - No sender waits for an actor: [Inlet.Push] and Send take a mutex for
//     moments and return, whatever the receiver does. All memory is bounded.
//   - Control messages of one sender arrive in order, are never behind ticks
//     and survive restarts of the receiver (the one that was being handled
//     does not). Ticks meet the bounds of the receiver's mailbox; what that
//     costs is counted.
//   - What an abandoned (hung) incarnation does when it goes on is dropped.
//
// # Limits
//
//   - A goroutine cannot be killed: a hung handler keeps its stack until it
//     returns. [Status.Zombies] counts them.
//   - A batch of ticks pushed by a fenced incarnation's task is not
//     recognised as late: its context is cancelled and it must end by it.
//   - A message that was being handled when its actor failed is gone.
//
// # On hollywood
//
// The engine, PIDs, Send and SpawnProc are hollywood's. All that it knows of a
// child is one process of this package's, the cell, which is not removed before
// the supervisor stops. Mailbox, restart and supervision are this package's:
// hollywood's restart counts for a lifetime, ends the process and loses
// messages, and its mailboxes have no bound.
//
// # Use
//
// A [Spec] describes a worker or a group of children, [Supervisor.Start] starts it, and a
// [Snapshot] shows it. Declarations are in package spec, the queues of a mailbox in
// queue, measured times in histogram. Of the program it imports only the contract
// (package actors); what is supervised, and in which order, is the program's.
package supervisor
