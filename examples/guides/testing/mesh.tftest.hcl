mock_provider "routingmesh" {
  mock_resource "routingmesh_published_port" {
    defaults = { published_port = 30000, id = "demo/web/30000/tcp" }
  }
}

run "published" {
  assert {
    condition     = output.port == 30000 # provider::routingmesh::parse_id(routingmesh_published_port.http.id).port
    error_message = "The output must have the published port."
  }
}
