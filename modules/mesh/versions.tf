terraform {
  required_version = ">= 1.5"

  required_providers {
    routingmesh = {
      source  = "routingmesh/routingmesh"
      version = ">= 0.1.0"
    }
  }
}
