// Package meshclient talks to the nodes of a cluster over SSH (package sshdial):
// it reads the record (Snapshot), changes it (commit) and installs the agent on
// hosts that join. It knows no Terraform: errors are typed and readable aloud, and
// the provider turns them into diagnostics.
package meshclient
