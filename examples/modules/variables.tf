variable "nodes" {
  description = "The hosts that become the mesh: a name for each, and its address as the other hosts and HAProxy reach it."
  type        = map(object({ address = string, labels = optional(map(string)) }))
}

variable "web_nodes" {
  description = "The names of those nodes on which a web server listens on port 80."
  type        = set(string)
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
