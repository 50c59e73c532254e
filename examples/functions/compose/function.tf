locals {
  stack = provider::routingmesh::compose(file("compose.yaml"), "shop", { TAG = "1.27" })
}

output "unsupported" {
  value = local.stack.unsupported # e.g. ["services.web.build: the nodes build no images; …"]
}
