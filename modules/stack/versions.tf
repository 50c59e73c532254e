terraform {
  required_version = ">= 1.8" # provider functions

  required_providers {
    routingmesh = {
      source  = "routingmesh/routingmesh"
      version = ">= 0.1.0"
    }
  }
}
