// Package mesh is the domain of the routing mesh: the record (the whole desired
// state of a cluster), the rules it must satisfy, the allocation of what it
// leaves open, and the words in which the provider and the node agent talk
// about it. It is pure: no I/O, no clock, no Terraform, no kernel. The
// provider's meshclient and the agent both import it and nothing else of ours.
package mesh
