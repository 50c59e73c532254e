# terraform apply -invoke=action.routingmesh_check.all
action "routingmesh_check" "all" {}

# Or as a gate: no image is rolled out while the mesh is broken.
resource "terraform_data" "rollout" {
  input = var.image

  lifecycle {
    action_trigger {
      events  = [before_create, before_update]
      actions = [action.routingmesh_check.all]
    }
  }
}

variable "image" {
  type = string
}
