# Read after the nodes of this configuration, so that the first apply works, too.
data "routingmesh_nodes" "all" {
  depends_on = [routingmesh_node.this]
}

data "routingmesh_nodes" "public" {
  labels     = { side = "public" }
  depends_on = [routingmesh_node.this]
}

# terraform output -raw ansible_inventory > inventory.yml
output "ansible_inventory" {
  value = yamlencode({
    mesh = {
      hosts = {
        for name, node in data.routingmesh_nodes.all.nodes : name => {
          ansible_host = node.ssh.host
          ansible_port = node.ssh.port
          ansible_user = node.ssh.user
          labels       = node.labels
        }
      }
    }
  })
}

# A records for the nodes that face the internet.
output "public_addresses" {
  value = [for node in data.routingmesh_nodes.public.nodes : node.address]
}
