terraform {
  required_providers {
    routingmesh = {
      source = "routingmesh/routingmesh"
    }
  }
}

provider "routingmesh" {
  # One, three or five of the hosts; the others are found through them.
  hosts = ["192.168.200.10", "192.168.200.11", "192.168.200.12"]

  ssh = {
    user        = "root"
    private_key = file("~/.ssh/id_ed25519")
  }
}
