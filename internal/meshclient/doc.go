// Package meshclient keeps a cluster's record on its nodes: it reads the record
// (Snapshot), changes it (commit), says what the nodes lack of it (Drift), and has
// hosts join and leave. It calls one node's agent with package agentapi, and that
// over SSH with package sshdial. It knows no Terraform: errors are typed and readable
// aloud, and the provider turns them into diagnostics.
package meshclient
