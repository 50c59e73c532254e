variable "cluster_id" {
  description = "`id` of the cluster that the stack runs on, whose nodes have to be there first: output `cluster_id` of the module `mesh`."
  type        = string
  nullable    = false
}

variable "project" {
  description = "Name of the stack, with which the names of its networks and services begin."
  type        = string
  nullable    = false
}

variable "file" {
  description = "The text of the Compose file: `file(\"compose.yaml\")`."
  type        = string
  nullable    = false
}

variable "env" {
  description = "Values of the file's variables, `$${NAME}`."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "accept_unsupported" {
  description = "Go on although the file asks for something that the mesh does not have. The output `unsupported` lists it."
  type        = bool
  default     = false
  nullable    = false
}
