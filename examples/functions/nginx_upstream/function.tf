output "nginx_conf" {
  value = join("\n", [
    provider::routingmesh::nginx_upstream(
      routingmesh_service.web.name,
      routingmesh_published_port.http.published_port,
      { for name, node in routingmesh_node.this : name => node.address },
      routingmesh_cluster.main.health_address,
    ),
    <<-EOT
      server {
          listen 80;
          location / {
              proxy_pass http://web_8080;
              proxy_connect_timeout 3s;
          }
      }
    EOT
  ])
}
