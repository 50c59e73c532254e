# Every node asks its own cache, and another one's only while its own is down.
resource "routingmesh_published_port" "cache" {
  service_id     = routingmesh_service.cache.id
  published_port = 6379
  target_port    = 6379
  locality       = "prefer_local"
}
