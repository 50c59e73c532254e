variable "nodes" {
  description = "The hosts that become the mesh: a name for each, its address as the other hosts see it, and how SSH reaches it where that is not the same address, port 22 and ssh_user."
  type = map(object({
    address = string
    ssh = optional(object({
      host = optional(string)
      port = optional(number)
      user = optional(string)
    }))
  }))

  validation {
    condition     = length(var.nodes) > 0
    error_message = "A mesh needs at least one host."
  }
}

variable "endpoint_nodes" {
  description = "The names of those nodes on which something listens on target_port."
  type        = set(string)
  default     = ["n2", "n3"]
}

variable "published_port" {
  description = "The port that answers on every node."
  type        = number
  default     = 8080
}

variable "target_port" {
  description = "The port that the endpoints listen on."
  type        = number
  default     = 80
}

variable "ssh_user" {
  description = "Who logs in: root, or someone who may use sudo without a password."
  type        = string
  default     = "root"
}

variable "private_key_file" {
  description = "The SSH private key that the hosts accept."
  type        = string
  default     = "~/.ssh/id_ed25519"
}
