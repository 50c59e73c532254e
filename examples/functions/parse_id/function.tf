output "published" {
  value = {
    cluster = provider::routingmesh::parse_id("demo/web/8080/tcp").cluster         # "demo"
    service = provider::routingmesh::parse_id("demo/web/8080/tcp").service         # "web"
    port    = provider::routingmesh::parse_id("demo/web/8080/tcp").port            # 8080
    name    = provider::routingmesh::parse_id(routingmesh_node.this["n1"].id).name # "n1"
  }
}
